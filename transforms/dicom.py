"""Reading a mammogram: any file in, one float32 image in [0, 1] and plain metadata out."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import ImageReader, MetaTensor
from monai.transforms import MapTransform
from monai.utils import StrEnum
from pydicom.dataset import FileDataset

from .dicom_file import MAMMOGRAPHY_MODALITIES, check_header, open_dicom
from .errors import MammogramError, ReadFailure, refusing
from .grayscale import grayscale_table
from .header import describe_header
from .picture import Picture, ramp_end
from .pixel_data import decode_with_itk, decode_with_pydicom
from .raster import is_nifti, read_nifti, read_raster

__all__ = ["Backend", "LoadMammogramd", "MammogramReader", "fill_view"]


_LONGEST = 20  # times the short side


class Backend(StrEnum):
    """Which library decodes DICOM pixels."""

    PYDICOM = "pydicom"
    ITK = "itk"


class MammogramReader(ImageReader):
    """MONAI reader for 2-D mammograms; ``LoadImage(reader=MammogramReader())`` works too.

    The result is ``(rows, columns)`` as a viewer shows it, float32 in [0, 1] with 0 = air; how stored
    values become [0, 1] is written at :func:`~mammo.transforms.grayscale.grayscale_table`. PNG, PGM, TIFF
    and JPEG files span the range of their type, NIfTI likewise; the content decides, not the name.

    Args:
        backend: ``"pydicom"`` or ``"itk"``; both give the same pixels.
        voi: ``"auto"`` (first VOI LUT or window), ``"none"`` (range of Bits Stored) or an index.
        frame: frame to take from a multi-frame object, from 0, or ``"max"`` for the maximum over all of them; without,
            such an object is refused.
        bits_stored: bits in use of files that are not DICOM (12 for 12-bit values in a 16-bit PNG).
        max_pixels: largest rows x columns that is decoded.
        modalities: accepted Modality (0008,0060).

    Raises:
        MammogramError: from :meth:`read`, for a file that is not one usable mammogram.
    """

    def __init__(
        self,
        backend: str = Backend.PYDICOM,
        voi: str | int = "auto",
        *,
        frame: int | str | None = None,
        bits_stored: int | None = None,
        max_pixels: int = 1 << 26,
        modalities: Collection[str] = MAMMOGRAPHY_MODALITIES,
    ) -> None:
        super().__init__()
        if not (isinstance(voi, int) or voi in ("auto", "none")):
            raise ValueError(f"voi='{voi}'; expected 'auto', 'none' or the index of a VOI alternative")
        self.backend = Backend(backend)
        self.voi = voi
        self.frame = _checked_frame(frame)
        self.bits_stored = bits_stored
        self.max_pixels = max_pixels
        self.modalities = tuple(modalities)

    def verify_suffix(self, filename: Sequence[PathLike[str] | str] | PathLike[str] | str) -> bool:
        return True

    def read(self, data: Sequence[PathLike[str] | str] | PathLike[str] | str, **kwargs: Any) -> Picture:
        """Read one file; MONAI's loaders may hand it over as a sequence of one. ``frame=`` overrides the reader's."""
        frame = _checked_frame(kwargs.get("frame"))
        frame = self.frame if frame is None else frame
        if not isinstance(data, (str, PathLike)):
            if len(data) != 1:
                raise ValueError(f"{len(data)} files; a mammogram is one file")
            data = data[0]
        picture = self._read_one(data, frame)
        if max(picture.shape) > _LONGEST * min(picture.shape):
            message = f"{picture.shape[0]} x {picture.shape[1]} pixels: a strip, not a picture"
            raise MammogramError(data, ReadFailure.NOT_A_MAMMOGRAM, message)
        return picture

    def get_data(self, img: Picture) -> tuple[np.ndarray, dict[str, Any]]:
        """Return pixels ``(rows, columns)``, float32 in [0, 1], and metadata, as MONAI's loaders expect them."""
        return img.pixels(), self.describe(img)

    def describe(self, picture: Picture) -> dict[str, Any]:
        """Metadata with the spatial entries of MONAI; the affine is ``diag(row_mm, column_mm, 1, 1)``.

        What the file does not tell is absent: PyTorch cannot collate None.
        """
        row_mm, column_mm = picture.meta["pixel_spacing_mm"] or (1.0, 1.0)
        affine = np.diag([row_mm, column_mm, 1.0, 1.0])
        known = {name: value for name, value in picture.meta.items() if value is not None}
        return known | {
            "affine": affine,
            "original_affine": affine.copy(),
            "spatial_shape": np.asarray(picture.shape),
            "original_channel_dim": float("nan"),
            "space": "RAS",  # MONAI would add an enum, which weights_only loading refuses
        }

    def _read_one(self, path: str | PathLike[str], frame: int | str | None) -> Picture:
        if not Path(path).is_file():
            raise MammogramError(path, ReadFailure.MISSING, "no such file")
        if is_nifti(path):
            return read_nifti(path, self.max_pixels, self.bits_stored)
        with open(path, "rb") as file:
            is_dicom = file.read(132)[128:] == b"DICM"
        if is_dicom:
            return self._read_dicom(path, frame)
        return read_raster(path, self.max_pixels, self.bits_stored)

    def _read_dicom(self, path: str | PathLike[str], frame: int | str | None) -> Picture:
        header = open_dicom(path, self.max_pixels)
        check_header(header, path, self.max_pixels, self.modalities)
        with refusing(path, ReadFailure.UNDECODABLE, "the header cannot be read"):
            frames = _frames(header, path, frame)
            meta = describe_header(header, path)
        decode = decode_with_itk if self.backend == Backend.ITK else decode_with_pydicom
        stored = decode(header, path, frames[0])
        if _is_blank(stored) and len(frames) == 1:
            message = f"every pixel is {stored[0, 0]}: there is no picture in it"
            raise MammogramError(path, ReadFailure.ALL_ZERO, message)
        with refusing(path, ReadFailure.INVALID_VOI, "modality LUT, VOI or padding cannot be applied"):
            gray = grayscale_table(header, self.voi)
        beyond = _beyond_bits_stored(header, stored)
        meta.update(voi=gray.voi, backend=str(self.backend), frame=frame, beyond_bits_stored=beyond)
        # The pattern of a signed value, read as unsigned, is its place in the table.
        picture = Picture(stored.view(f"u{stored.dtype.itemsize}"), gray.table, meta, ramp_end(gray.table))
        if len(frames) == 1:
            return picture
        brightest = picture.pixels().copy()
        for number in frames[1:]:  # one frame at a time: a tomosynthesis holds a gigabyte and more
            values = decode(header, path, number)
            np.maximum(brightest, cv2.LUT(values.view(picture.stored.dtype), gray.table), out=brightest)
        return Picture(brightest, None, meta)


class LoadMammogramd(MapTransform):
    """Read mammograms named in a dictionary: ``d[key]`` path -> :class:`MetaTensor` ``(1, rows, columns)``.

    The affine is ``diag(row_mm, column_mm, 1, 1)``, 1 mm where the spacing is unknown, so that MONAI's and
    our spatial transforms keep the way back to original rows and columns. ``laterality`` and ``view`` of
    the dictionary are filled from the file where they are missing; what the file does not tell stays absent. A
    ``frame`` of the dictionary overrides the argument.

    Args:
        keys: keys of the paths.
        backend: see :class:`MammogramReader`, as for the arguments that follow.
        voi: contrast step.
        frame: frame of a multi-frame object.
        bits_stored: bits in use of files that are not DICOM.
        max_pixels: largest rows x columns that is decoded.
        allow_missing_keys: see :class:`monai.transforms.MapTransform`.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        backend: str = Backend.PYDICOM,
        voi: str | int = "auto",
        *,
        frame: int | str | None = None,
        bits_stored: int | None = None,
        max_pixels: int = 1 << 26,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.reader = MammogramReader(backend, voi, frame=frame, bits_stored=bits_stored, max_pixels=max_pixels)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            pixels, meta = self.reader.get_data(self.reader.read(d[key], frame=d.get("frame")))
            d[key] = MetaTensor(torch.from_numpy(pixels)[None], meta=meta)
            fill_view(d, meta)
        return d


def fill_view(d: dict[Hashable, Any], meta: Mapping[str, Any]) -> None:
    """Fill ``laterality`` and ``view`` of a record from a file's metadata where the record lacks them."""
    for name in ("laterality", "view"):
        if not d.get(name) and meta.get(name):
            d[name] = meta[name]


def _checked_frame(frame: Any) -> int | str | None:
    if frame is None or frame == "max" or (isinstance(frame, int) and frame >= 0):
        return frame
    raise ValueError(f"frame={frame!r}; expected a number from 0, or 'max'")


def _frames(header: FileDataset, path: str | PathLike[str], frame: int | str | None) -> Sequence[int]:
    """The frames to decode."""
    count = int(header.get("NumberOfFrames") or 1)
    if count < 1:
        raise MammogramError(path, ReadFailure.UNDECODABLE, f"Number of Frames (0028,0008) is {count}")
    if frame is None and count == 1:
        return [0]
    if frame == "max":
        return range(count)
    if frame is None:
        message = f"{count} frames (tomosynthesis or multi-frame); expected a 2-D mammogram, or give frame="
        raise MammogramError(path, ReadFailure.MULTI_FRAME, message)
    if int(frame) >= count:
        message = f"frame={frame}, but the file holds frames 0 to {count - 1}"
        raise MammogramError(path, ReadFailure.MULTI_FRAME, message)
    return [int(frame)]


def _is_blank(stored: np.ndarray) -> bool:
    # A coarse sample settles it for every real picture; only where it is constant all pixels are looked at.
    return all(bool((part == stored[0, 0]).all()) for part in (stored[::64, ::64], stored))


def _beyond_bits_stored(header: FileDataset, stored: np.ndarray) -> bool:
    bits = int(header.BitsStored)
    if bits == int(header.BitsAllocated):
        return False
    first = -(1 << (bits - 1)) if header.PixelRepresentation else 0
    low, high, _, _ = cv2.minMaxLoc(stored)
    return bool(low < first or high >= first + (1 << bits))
