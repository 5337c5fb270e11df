"""The standard chain as one step, for pictures of which only a small copy is wanted."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import StrEnum, look_up_option

from .crop import CropToBreast
from .crop_region import PrepareLesiond
from .dicom import Backend, fill_view
from .laterality import ChestWallLeft
from .pectoral import PectoralMuscle, without_pectoral
from .picture import Picture
from .pixel_facts import find_breast, pixel_facts
from .resample import nearest_indices, resample
from .resize import ResizeMode
from .segmentation import Segmentation

__all__ = ["Background", "PrepareMammogramd"]


class Background(StrEnum):
    """What becomes of the picture outside the breast."""

    KEEP = "keep"
    ZERO = "zero"


class PrepareMammogramd(MapTransform, InvertibleTransform):
    """Read, orient, mask, crop and resize in one go: ``d[key]``, a path or what the reader made of one ->
    ``(1, *spatial_size)``.

    The result is, to the last bit, that of ``LoadMammogramd``, ``ChestWallLeftd``, ``BreastMaskd``,
    ``CropToBreastd``, ``ResizeMammogramd`` and ``RecordGeometryd`` one after another, and carries the same
    records for ``Invertd``; the image's metadata also tells what a gate asks of the pixels. What is saved are
    the pictures in between: a film scan of 16 megapixels is 65 MB as float32, and four of them cost more than
    everything else. Here values become float32 by blocks of rows, inside a core's cache.

    Args:
        keys: key of the path; one.
        mask_key: where the mask goes.
        quality_key: where the mask's quality goes.
        output_key: where the matrix back to original pixels goes.
        laterality_key: key of the side, a tie-break.
        spatial_size: rows and columns of the result.
        mode: see :class:`~mammo.transforms.ResizeMode`.
        margin_px: see :class:`~mammo.transforms.CropToBreast`.
        background: ``keep``, or ``zero`` to blank what the mask leaves out, burned-in markers for one: the last step
            of the chain would be MONAI's ``MaskIntensityd``. A picture whose mask is empty is kept as it is.
        pectoral: ``keep``, or ``exclude`` to take the pectoral muscle out of the mask where it is found.
        pectoral_key: where the muscle's quality goes, if it is looked for.
        crop_key: key of a region in original pixels; an item that has one is prepared by
            :class:`~mammo.transforms.PrepareLesiond`: cut to the region, neither mirrored nor freed of the muscle.
        backend: see :class:`~mammo.transforms.MammogramReader`, as for the arguments that follow.
        voi: contrast step.
        frame: frame of a multi-frame object.
        bits_stored: bits in use of files that are not DICOM.
        max_pixels: largest rows x columns that is decoded.
        allow_missing_keys: see :class:`monai.transforms.MapTransform`.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        mask_key: str = "mask",
        quality_key: str = "mask_quality",
        output_key: str = "to_original",
        laterality_key: str = "laterality",
        *,
        spatial_size: tuple[int, int] = (224, 224),
        mode: str = ResizeMode.PAD,
        margin_px: int = 8,
        background: str = Background.KEEP,
        pectoral: str = PectoralMuscle.KEEP,
        pectoral_key: str = "pectoral_quality",
        crop_key: str = "crop",
        backend: str = Backend.PYDICOM,
        voi: str | int = "auto",
        frame: int | str | None = None,
        bits_stored: int | None = None,
        max_pixels: int = 1 << 26,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.lesion = PrepareLesiond(
            self.keys, crop_key, mask_key, quality_key, output_key, spatial_size=spatial_size, mode=mode,
            backend=backend, voi=voi, frame=frame, bits_stored=bits_stored, max_pixels=max_pixels,
        )  # fmt: skip
        self.reader, self.resizer, self.geometry = self.lesion.reader, self.lesion.resizer, self.lesion.geometry
        self.mask_key, self.quality_key, self.laterality_key = mask_key, quality_key, laterality_key
        self.side = ChestWallLeft()
        self.cropper = CropToBreast(margin_px)
        self.background = look_up_option(background, Background)
        self.pectoral, self.pectoral_key = look_up_option(pectoral, PectoralMuscle), pectoral_key
        self.crop_key = crop_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        if d.get(self.crop_key) is not None:
            return self._region(d)
        for key in self.key_iterator(d):
            picture = d[key]
            if not isinstance(picture, Picture):
                picture = self.reader.read(picture, frame=d.get("frame"))
            fill_view(d, picture.meta)
            small, found, flipped = find_breast(picture, d.get(self.laterality_key))
            d[self.quality_key] = found.quality.value
            picture.meta.update(pixel_facts(small, found, flipped))
            if self.pectoral is PectoralMuscle.EXCLUDE:
                found, muscle = without_pectoral(small, found, d.get("view"))
                d[self.pectoral_key] = muscle.value
            window = self.cropper.with_margin(_spans(found, picture.shape), picture.shape)
            d[key], d[self.mask_key] = self._cut(picture, found, window, flipped)
            d = self.geometry(d)
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        if d.get(self.crop_key) is not None:
            return self.lesion.inverse(d)
        for key in self.key_iterator(d):
            d[key] = self.side.inverse(self.cropper.inverse(self.resizer.inverse(d[key])))
        return d

    def _region(self, d: dict[Hashable, Any]) -> dict[Hashable, Any]:
        d = self.lesion(d)
        for key in self.key_iterator(d):
            if self.background is Background.ZERO and d[self.mask_key].any():
                d[key] = d[key] * d[self.mask_key]
        return d

    def _cut(
        self, picture: Picture, found: Segmentation, window: tuple[slice, slice], flipped: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        (top, bottom), (left, right) = ((part.start, part.stop) for part in window)
        shape = bottom - top, right - left
        inner = self.resizer.inner_size(shape)
        out = torch.zeros(2, 1, *self.resizer.spatial_size)
        image, mask = (part[0, : inner[0], : inner[1]].numpy() for part in out)
        columns = slice(left, right)
        image[:] = resample(
            lambda a, b: picture.rows(slice(top + a, top + b), columns, flipped), shape, inner, unit_range=True
        )
        rows = _small_indices(top, shape[0], inner[0], found.factor, found.mask.shape[0])
        mask[:] = found.mask[rows[:, None], _small_indices(left, shape[1], inner[1], found.factor, found.mask.shape[1])]
        if self.background is Background.ZERO and mask.any():
            image *= mask
        # The steps are recorded on a picture of the original size that takes no memory.
        blank = MetaTensor(torch.zeros(1).expand(1, *picture.shape), meta=self.reader.describe(picture))
        cut = self.cropper.crop(self.side.record(blank, blank, flipped), window)
        return self.resizer.record(cut, out[0], is_mask=False), self.resizer.record(cut, out[1], is_mask=True)


def _spans(found: Segmentation, shape: tuple[int, int]) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """Rows and columns ``(first, last)`` of the full-size mask, from the reduced one."""
    spans = []
    for axis, size in enumerate(shape):
        occupied = np.flatnonzero(found.mask.any(axis=1 - axis))
        if not occupied.size:
            return None, None
        # The last element of the reduced mask stands for what the division leaves over, too.
        reaches_end = occupied[-1] == found.mask.shape[axis] - 1
        last = size if reaches_end else (int(occupied[-1]) + 1) * found.factor
        spans.append((int(occupied[0]) * found.factor, last))
    return spans[0], spans[1]


def _small_indices(start: int, old: int, new: int, factor: int, size: int) -> np.ndarray:
    return np.minimum((start + nearest_indices(old, new)) // factor, size - 1)
