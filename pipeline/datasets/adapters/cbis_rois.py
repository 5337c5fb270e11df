"""Which file of a CBIS-DDSM abnormality is its mask: the tables and file numbers do not tell, the content
does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pydicom
from numpy.typing import NDArray

from .cbis_files import PICTURE_SUFFIXES, ImageFile

__all__ = ["RoiFiles", "assign_rois", "needs_shapes"]

MAX_PIXELS = 2**27
"""Larger than any film scan; a header that claims more is not decoded."""

JPEG_BLUR = 40
"""Grey values that JPEG may move a mask's black and white by."""


@dataclass(frozen=True)
class RoiFiles:
    """Mask and crop of one abnormality, None where there is none, and what is doubtful about them."""

    mask: str | None = None
    crop: str | None = None
    problem: str = ""


def needs_shapes(files: Sequence[ImageFile]) -> bool:
    """Whether the sizes of the files must be known, because their series do not say what they are."""
    return bool(files) and not _told_by_series(files)


def assign_rois(
    files: Sequence[ImageFile], shapes: Mapping[str, tuple[int, int]], image_shape: tuple[int, int] | None
) -> RoiFiles:
    """Tell mask from crop: by the series' descriptions, else by size, else by grey values.

    A mask has the size of its image; a crop is smaller. Where that does not decide (some masks of CBIS-DDSM
    differ from their image by a few per cent in size), the mask is the file with two grey values.

    Args:
        files: of one abnormality.
        shapes: rows and columns by path, of the files whose header could be read.
        image_shape: of the whole mammogram; None if unknown.
    """
    if not files:
        return RoiFiles(problem="no mask and no crop on disk")
    if _told_by_series(files):
        roles = {file.role: file.path for file in files}
        return RoiFiles(roles.get("mask"), roles.get("crop"), "" if "mask" in roles else "only the crop is on disk")
    readable = [file.path for file in files if file.path in shapes]
    if not readable:
        return RoiFiles(problem="unreadable header of mask and crop")
    masks = [path for path in readable if shapes[path] == image_shape]
    if len(masks) != 1:
        masks = [path for path in masks or readable if is_binary(path)]
    # Several: copies of one download; then any of them serves.
    mask = max(masks, key=lambda path: shapes[path], default=None)
    crop = next((path for path in readable if path not in masks), None)
    if mask is None:
        return RoiFiles(None, crop if len(readable) == 1 else None, "no file of the abnormality is a mask")
    if image_shape is not None and shapes[mask] != image_shape:
        return RoiFiles(mask, crop, f"mask and image differ in size: {shapes[mask]} and {image_shape}")
    return RoiFiles(mask, crop)


def is_binary(path: str) -> bool:
    """Whether a file holds exactly two grey values (a JPEG copy: nearly). Decodes the pixels."""
    pixels = _decode(path)
    if pixels is None or not pixels.size or pixels.min() == pixels.max():
        return False
    low, high = int(pixels.min()), int(pixels.max())
    if Path(path).suffix.lower() in (".jpg", ".jpeg"):
        ends = (pixels <= low + JPEG_BLUR) | (pixels >= high - JPEG_BLUR)
        return high - low > 4 * JPEG_BLUR and bool(ends.mean() > 0.99)
    return bool(((pixels == low) | (pixels == high)).all())


def _told_by_series(files: Sequence[ImageFile]) -> bool:
    """Whether each file has a role of its own."""
    roles = [file.role for file in files]
    return all(role in ("crop", "mask") for role in roles) and len(set(roles)) == len(roles)


def _decode(path: str) -> NDArray[Any] | None:
    if path.lower().endswith(PICTURE_SUFFIXES):
        return cv2.imread(path, cv2.IMREAD_GRAYSCALE)
    try:
        dataset = pydicom.dcmread(path)
        if int(dataset.Rows) * int(dataset.Columns) > MAX_PIXELS:
            return None
        return dataset.pixel_array
    except Exception:  # hostile input: a file that does not decode is no mask, and assign_rois says so
        return None
