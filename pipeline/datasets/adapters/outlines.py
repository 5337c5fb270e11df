"""Hand-drawn outlines as polygons and boxes inside their image."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, UnidentifiedImageError

__all__ = ["Outline", "clip_outline", "picture_shape"]


class Outline(NamedTuple):
    """An outline inside its image.

    Attributes:
        polygon: [row, column] points in pixels.
        box: row0, col0, row1, col1 of the pixels that the points lie in, half-open.
    """

    polygon: list[list[float]]
    box: list[float]


def clip_outline(points: ArrayLike, shape: tuple[int, int] | None) -> Outline | None:
    """Move points beyond the frame onto its border.

    Args:
        points: ``(N, 2)``, row and column in pixels, N at least 1.
        shape: rows and columns of the image; None where unknown: then only what lies above or left of the frame
            is moved.

    Returns:
        The outline, or None if all of it lies outside the frame.
    """
    given = np.asarray(points, dtype=np.float64)
    limit = np.asarray((np.inf, np.inf) if shape is None else shape, dtype=np.float64)
    low, high = np.floor(given.min(axis=0)), np.floor(given.max(axis=0)) + 1
    if (high <= 0).any() or (low >= limit).any():
        return None
    polygon = np.clip(given, 0, limit - 1)
    box = np.clip([low, high], 0, limit)
    return Outline(polygon.tolist(), box.ravel().tolist())


def picture_shape(path: str | Path) -> tuple[int, int] | None:
    """Rows and columns of a PNG, JPEG or TIFF from its header; None if it has none that can be read."""
    try:
        with Image.open(path) as picture:  # reads the header only
            return picture.height, picture.width
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return None
