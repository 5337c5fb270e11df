"""Mammograms that are not DICOM: PNG, PGM, TIFF, JPEG and NIfTI, at their own bit depth."""

from io import BytesIO
from os import PathLike, fspath
from pathlib import Path
from typing import cast

import cv2
import nibabel
import numpy as np
from PIL import Image, UnidentifiedImageError

from .errors import MammogramError, ReadFailure
from .header import describe_file
from .picture import Picture

__all__ = ["is_nifti", "read_nifti", "read_raster"]


def is_nifti(path: str | PathLike[str]) -> bool:
    """Whether the name ends as NIfTI files do."""
    return fspath(path).lower().endswith((".nii", ".nii.gz"))


def read_raster(path: str | PathLike[str], max_pixels: int, bits_stored: int | None = None) -> Picture:
    """Read a PNG, PGM, TIFF or JPEG file.

    Args:
        path: the file.
        max_pixels: refuse a larger image before it is decoded.
        bits_stored: bits in use, for instance 12 for 12-bit values in a 16-bit PNG; None for all of them.
            Such files do not tell, and it is not guessed from the values.

    Returns:
        The picture; its range is that of ``bits_stored``. A floating-point TIFF must already be in [0, 1].

    Raises:
        MammogramError: ``not_an_image``, ``unsupported_pixel_format`` or ``too_large``.
    """
    data = Path(path).read_bytes()
    _check_size(data, path, max_pixels)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise MammogramError(path, ReadFailure.UNDECODABLE, f"OpenCV: {error}") from error
    if image is None:
        raise MammogramError(path, ReadFailure.UNDECODABLE, "OpenCV cannot decode the image: broken or truncated")
    return _picture(_gray(image, path), path, bits_stored, None)


def read_nifti(path: str | PathLike[str], max_pixels: int, bits_stored: int | None = None) -> Picture:
    """Read a 2-D NIfTI image; its first axis runs along columns, as ITK and MONAI write them.

    ``bits_stored`` is as in :func:`read_raster`.
    """
    try:
        nifti = cast(nibabel.spatialimages.SpatialImage, nibabel.load(fspath(path)))
        shape = tuple(n for n in nifti.shape if n != 1)
        if len(shape) != 2 or shape[0] * shape[1] > max_pixels:
            message = f"shape {nifti.shape}; expected one 2-D image of at most {max_pixels} pixels"
            raise MammogramError(path, ReadFailure.UNSUPPORTED_PIXEL_FORMAT, message)
        values = np.asarray(nifti.dataobj).reshape(shape).T
    except MammogramError:
        raise
    except Exception as error:  # nibabel and zlib raise errors of their own
        raise MammogramError(path, ReadFailure.NOT_AN_IMAGE, f"not a readable NIfTI file: {error}") from error
    spacing = [float(mm) for mm in cast(nibabel.nifti1.Nifti1Header, nifti.header).get_zooms()[:2]]
    return _picture(values, path, bits_stored, spacing[::-1])


def _gray(image: np.ndarray, path: str | PathLike[str]) -> np.ndarray:
    if image.ndim == 2:
        return image
    channels = image[..., :3] if image.shape[2] in (3, 4) else image
    if (channels == channels[..., :1]).all():
        return np.ascontiguousarray(channels[..., 0])
    message = f"a colour image ({image.shape[2]} channels that differ); expected grayscale"
    raise MammogramError(path, ReadFailure.UNSUPPORTED_PIXEL_FORMAT, message)


def _picture(
    values: np.ndarray, path: str | PathLike[str], bits_stored: int | None, spacing_mm: list[float] | None
) -> Picture:
    low, high = float(values.min()), float(values.max())
    if low == high:
        message = f"every pixel is {low:g}: there is no picture in it"
        raise MammogramError(path, ReadFailure.ALL_ZERO, message)
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        meta = describe_file(path, 8 * values.dtype.itemsize, spacing_mm)
        return Picture(np.ascontiguousarray(values, np.float32), None, meta)
    if values.dtype.kind in "iu" and low >= 0 and high < 1 << 16:
        bits = bits_stored or min(8 * values.dtype.itemsize, 16)
        table = np.clip(np.arange(1 << 16) / ((1 << bits) - 1), 0, 1).astype(np.float32)
        return Picture(np.ascontiguousarray(values, np.uint16), table, describe_file(path, bits, spacing_mm))
    message = f"{values.dtype} from {low:g} to {high:g}; expected 8 or 16 unsigned bits, or floats in [0, 1]"
    raise MammogramError(path, ReadFailure.UNSUPPORTED_PIXEL_FORMAT, message)


def _check_size(data: bytes, path: str | PathLike[str], max_pixels: int) -> None:
    try:
        with Image.open(BytesIO(data)) as header:  # lazy: only the header is read
            columns, rows = header.size
    except UnidentifiedImageError as error:
        message = "neither DICOM nor an image that can be decoded (PNG, PGM, TIFF, JPEG, NIfTI)"
        raise MammogramError(path, ReadFailure.NOT_AN_IMAGE, message) from error
    except (Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise MammogramError(path, ReadFailure.UNDECODABLE, f"broken image header: {error}") from error
    if not 0 < rows * columns <= max_pixels:
        message = f"{rows} x {columns} pixels; allowed are 1 to {max_pixels} (max_pixels)"
        raise MammogramError(path, ReadFailure.TOO_LARGE, message)
