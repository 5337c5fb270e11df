"""Cutting a mammogram to one region, a lesion or a patch, alone or together with reading and resizing."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, get_track_meta
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import TraceKeys, convert_to_tensor

from .dicom import Backend, MammogramReader, fill_view
from .errors import ReadFailure, refusing
from .geometry import RecordGeometryd, to_grid_box
from .picture import Picture
from .pixel_facts import pixel_facts
from .resample import nearest_indices, resample
from .resize import ResizeMammogram, ResizeMode
from .segmentation import Segmentation, reduce_rows, reduction, segment_reduced

__all__ = ["CropRegion", "CropRegiond", "PrepareLesiond"]

Window = tuple[int, int, int, int]
"""Rows and columns ``(row0, col0, row1, col1)`` in whole pixels, half-open; may reach beyond the image."""


class CropRegion(InvertibleTransform):
    """Cut ``(C, H, W)`` to a box, zero where the box reaches beyond the image.

    The box ``[row0, col0, row1, col1]``, half-open, is in pixels of the image as it was read. Where the image was
    mirrored, cropped or resized since, its affines tell where the box lies now. Every pixel that the box touches is
    kept. No box (None) keeps the whole image: a list may mix mammograms and lesions. :meth:`inverse` puts the
    region back at its place and zeros around.

    Args:
        margin: by how much each side of the box grows, as a share of itself, half at either end.

    Raises:
        ValueError: for a negative margin, or a box that lies beside the image.
    """

    def __init__(self, margin: float = 0.0) -> None:
        if not (math.isfinite(margin) and margin >= 0):
            raise ValueError(f"margin={margin}; expected 0 or more, as a share of the box's sides")
        self.margin = float(margin)

    def __call__(  # type: ignore[override]
        self, img: torch.Tensor | np.ndarray, box: Sequence[float] | None
    ) -> torch.Tensor:
        image = convert_to_tensor(img, track_meta=get_track_meta())
        return self.cut(image, self.window(image, box))

    def window(self, image: torch.Tensor, box: Sequence[float] | None) -> Window:
        """Whole pixels of ``image`` that the box, with its margin, touches."""
        rows, columns = int(image.shape[1]), int(image.shape[2])
        if box is None:
            return 0, 0, rows, columns
        row0, col0, row1, col1 = _on_grid(image, _widened(box, self.margin))
        window = math.floor(row0), math.floor(col0), math.ceil(row1), math.ceil(col1)
        if window[0] >= rows or window[1] >= columns or window[2] <= 0 or window[3] <= 0:
            raise ValueError(
                f"the crop {list(box)} lies beside the image of {rows} x {columns} pixels; expected "
                "[row0, col0, row1, col1] in pixels of the image file"
            )
        return window

    def cut(self, image: torch.Tensor, window: Window) -> torch.Tensor:
        """Cut to whole pixels that were decided before."""
        top, left, bottom, right = window
        inside, place = _overlap(window, (int(image.shape[1]), int(image.shape[2])))
        out = torch.zeros(int(image.shape[0]), bottom - top, right - left, dtype=image.dtype, device=image.device)
        out[:, place[0], place[1]] = _plain(image)[:, inside[0], inside[1]]
        return self.record(image, out, window)

    def record(self, image: torch.Tensor, region: torch.Tensor, window: Window) -> torch.Tensor:
        """Give ``region`` the metadata of ``image`` and the record of this step."""
        meta = self.track_transform_meta(
            image,
            sp_size=region.shape[1:],
            affine=_shift(window[0], window[1]),
            extra_info={"window": list(window)},
            orig_size=tuple(image.shape[1:]),
            transform_info=self.get_transform_info(),
        )
        out = convert_to_tensor(region, track_meta=get_track_meta())
        return out.copy_meta_from(meta) if isinstance(out, MetaTensor) else out

    def inverse(self, data: torch.Tensor) -> torch.Tensor:
        transform = self.pop_transform(data)
        window, shape = transform[TraceKeys.EXTRA_INFO]["window"], tuple(transform[TraceKeys.ORIG_SIZE])
        inside, place = _overlap(window, shape)
        full = torch.zeros(int(data.shape[0]), *shape, dtype=data.dtype, device=data.device)
        full[:, inside[0], inside[1]] = _plain(data)[:, place[0], place[1]]
        out = convert_to_tensor(full, track_meta=get_track_meta())
        if isinstance(out, MetaTensor) and isinstance(data, MetaTensor):
            out.copy_meta_from(data)
            out.affine = data.affine @ _shift(-window[0], -window[1])
        return out


class CropRegiond(MapTransform, InvertibleTransform):
    """Dictionary form of :class:`CropRegion`: all ``keys`` are cut to the box under ``crop_key``.

    An item without ``crop_key`` stays whole.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        crop_key: str = "crop",
        margin: float = 0.0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.crop_key = crop_key
        self.transform = CropRegion(margin)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.transform(d[key], d.get(self.crop_key))
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.transform.inverse(d[key])
        return d


class PrepareLesiond(MapTransform, InvertibleTransform):
    """Read, mask, cut to a region and resize in one go: ``d[key]`` path -> ``(1, *spatial_size)``.

    The result is, to the last bit, that of ``LoadMammogramd``, ``BreastMaskd``, ``CropRegiond`` (image and mask),
    ``ResizeMammogramd`` and ``RecordGeometryd`` one after another, and carries the same records for ``Invertd``.
    Saved is the whole film as float32: only the region's rows become values in [0, 1], by blocks. The breast is
    sought in the whole picture, reduced, because a region alone does not show what is air. The image is not
    mirrored: a lesion has no side.

    Args:
        keys: key of the path; one.
        crop_key: key of the region, ``[row0, col0, row1, col1]`` in original pixels; an item without it stays whole.
        mask_key: where the region's part of the breast mask goes; zero beyond the image.
        quality_key: where the quality of the whole picture's mask goes.
        output_key: where the matrix back to original pixels goes.
        spatial_size: rows and columns of the result.
        mode: see :class:`~mammo.transforms.ResizeMode`.
        margin: see :class:`CropRegion`.
        backend: see :class:`~mammo.transforms.MammogramReader`, as for the arguments that follow.
        voi: contrast step.
        frame: frame of a multi-frame object; a ``frame`` of the item comes before it.
        bits_stored: bits in use of files that are not DICOM.
        max_pixels: largest rows x columns that is decoded.
        allow_missing_keys: see :class:`monai.transforms.MapTransform`.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        crop_key: str = "crop",
        mask_key: str = "mask",
        quality_key: str = "mask_quality",
        output_key: str = "to_original",
        *,
        spatial_size: tuple[int, int] = (224, 224),
        mode: str = ResizeMode.PAD,
        margin: float = 0.0,
        backend: str = Backend.PYDICOM,
        voi: str | int = "auto",
        frame: int | str | None = None,
        bits_stored: int | None = None,
        max_pixels: int = 1 << 26,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if len(self.keys) != 1:
            raise ValueError(f"keys={self.keys}; expected one image, since there is one mask_key")
        self.crop_key, self.mask_key, self.quality_key = crop_key, mask_key, quality_key
        self.reader = MammogramReader(backend, voi, frame=frame, bits_stored=bits_stored, max_pixels=max_pixels)
        self.cropper = CropRegion(margin)
        self.resizer = ResizeMammogram(spatial_size, mode)
        self.geometry = RecordGeometryd(self.keys, output_key)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            picture = self.reader.read(d[key], frame=d.get("frame"))
            fill_view(d, picture.meta)
            # The steps are recorded on a picture of the original size that takes no memory.
            blank = MetaTensor(torch.zeros(1).expand(1, *picture.shape), meta=self.reader.describe(picture))
            with refusing(picture.meta["filename_or_obj"], ReadFailure.INVALID_CROP, "the crop cannot be cut"):
                window = self.cropper.window(blank, d.get(self.crop_key))
            factor = reduction(picture.shape)
            small = reduce_rows(picture.rows, picture.shape, factor)
            found = segment_reduced(small, factor)
            blank.meta.update(pixel_facts(small, found, flipped=False))
            d[self.quality_key] = found.quality.value
            image, mask = self._resized(picture, found, window)
            region = torch.zeros(1).expand(1, window[2] - window[0], window[3] - window[1])
            region = self.cropper.record(blank, region, window)
            d[key] = self.resizer.record(region, image, is_mask=False)
            d[self.mask_key] = self.resizer.record(region, mask, is_mask=True)
            d = self.geometry(d)
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.cropper.inverse(self.resizer.inverse(d[key]))
        return d

    def _resized(self, picture: Picture, found: Segmentation, window: Window) -> tuple[torch.Tensor, torch.Tensor]:
        top, left, bottom, right = window
        shape = bottom - top, right - left
        inner = self.resizer.inner_size(shape)
        image, mask = torch.zeros(2, 1, *self.resizer.spatial_size)
        image[0, : inner[0], : inner[1]] = torch.from_numpy(
            resample(lambda first, last: _padded_rows(picture, window, first, last), shape, inner, unit_range=True)
        )
        rows = _small_indices(top, shape[0], inner[0], picture.shape[0], found, 0)
        columns = _small_indices(left, shape[1], inner[1], picture.shape[1], found, 1)
        # One row and column of zeros beyond the mask stand for all that lies beyond the image.
        small = np.pad(found.mask, (0, 1)).astype(np.float32)
        mask[0, : inner[0], : inner[1]] = torch.from_numpy(small[rows[:, None], columns])
        return image, mask


def _widened(box: Sequence[float], margin: float) -> tuple[float, float, float, float]:
    row0, col0, row1, col1 = map(float, box)
    if not (row0 < row1 and col0 < col1):
        raise ValueError(f"the crop {list(box)} is empty; expected [row0, col0, row1, col1], row0 < row1, col0 < col1")
    grow = (row1 - row0) * margin / 2, (col1 - col0) * margin / 2
    return row0 - grow[0], col0 - grow[1], row1 + grow[0], col1 + grow[1]


def _on_grid(image: torch.Tensor, box: tuple[float, float, float, float]) -> tuple[float, ...]:
    """Where a box in original pixels lies on the present grid of ``image``."""
    if not isinstance(image, MetaTensor) or "original_affine" not in image.meta:
        return box
    keep = [0, 1, 3]
    original, present = (
        np.asarray(affine, dtype=np.float64)[np.ix_(keep, keep)]
        for affine in (image.meta["original_affine"], image.affine)
    )
    if np.array_equal(original, present):
        return box
    # What solving leaves of rounding must not add a row.
    return tuple(round(edge, 6) for edge in to_grid_box(box, np.linalg.solve(original, present)))


def _overlap(window: Sequence[int], shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Rows and columns that the window shares with an image of ``shape``: in the image, and in the window."""
    spans = [(window[axis], window[axis + 2], shape[axis]) for axis in (0, 1)]
    inside = [slice(max(first, 0), min(last, size)) for first, last, size in spans]
    place = [slice(part.start - span[0], part.stop - span[0]) for part, span in zip(inside, spans, strict=True)]
    return (inside[0], inside[1]), (place[0], place[1])


def _padded_rows(picture: Picture, window: Window, first: int, last: int) -> np.ndarray:
    """Rows ``first`` to ``last`` of the window, counted in the window, float32 and zero beyond the picture."""
    top, left, _, right = window
    block = np.zeros((last - first, right - left), dtype=np.float32)
    part = (top + first, left, top + last, right)
    inside, place = _overlap(part, picture.shape)
    if inside[0].start < inside[0].stop:
        block[place] = picture.rows(*inside)
    return block


def _small_indices(start: int, old: int, new: int, size: int, found: Segmentation, axis: int) -> np.ndarray:
    """Element of the reduced mask under each new pixel of a region; one past the last for those beyond the image."""
    pixels = start + nearest_indices(old, new)
    small = found.mask.shape[axis]
    return np.where((pixels >= 0) & (pixels < size), np.minimum(pixels // found.factor, small - 1), small)


def _shift(rows: float, columns: float) -> torch.Tensor:
    affine = torch.eye(4, dtype=torch.float64)
    affine[0, 3], affine[1, 3] = rows, columns
    return affine


def _plain(image: torch.Tensor) -> torch.Tensor:
    return image.as_tensor() if isinstance(image, MetaTensor) else image
