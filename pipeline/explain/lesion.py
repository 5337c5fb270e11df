"""Where a record's known lesions lie on the network's grid."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...transforms import MammogramError, MammogramReader

logger = logging.getLogger(__name__)


def lesion_region(
    record: Mapping[str, Any], root: str | Path, to_original: NDArray[np.float32], size: Sequence[int]
) -> NDArray[np.bool_] | None:
    """Pixels of the network's grid that show a known lesion.

    Args:
        record: with ``roi_masks`` (paths) or ``boxes`` (row0, col0, row1, col1 in original pixels, half-open).
        root: folder that the paths are relative to.
        to_original: ``(3, 3)``, from (row, column, 1) of the grid to original pixels.
        size: rows and columns of the grid.

    Returns:
        ``(H, W)`` bool, or None where the record knows no lesion, or none whose mask can be read (which is logged).
        A lesion smaller than a pixel of the grid still marks that pixel.
    """
    matrix = np.asarray(to_original, dtype=np.float64)
    masks = [mask for path in record.get("roi_masks", ()) if (mask := _read_mask(Path(root, path))) is not None]
    known = [(mask, (0, 0)) for mask in masks] or [_filled(box) for box in record.get("boxes", ())]
    region = np.zeros(tuple(size), dtype=bool)
    for mask, origin in known:
        _mark(region, mask, np.asarray(origin), matrix)
    return region if region.any() else None


def _mark(region: NDArray[np.bool_], mask: NDArray[np.bool_], origin: NDArray[np.int_], matrix: NDArray[Any]) -> None:
    """Mark what ``mask``, whose first pixel is ``origin`` of the original image, covers on the grid."""
    grid = _nearest(np.argwhere(mask) + origin, np.linalg.inv(matrix))
    inside = ((grid >= 0) & (grid < region.shape)).all(axis=1)
    region[tuple(grid[inside].T)] = True
    # Where the grid is finer than the original, these points are sparse: look from each pixel of the grid, too.
    pixels = np.indices(region.shape).reshape(2, -1).T
    original = _nearest(pixels, matrix) - origin
    inside = ((original >= 0) & (original < mask.shape)).all(axis=1)
    region[tuple(pixels[inside].T)] |= mask[tuple(original[inside].T)]


def _nearest(points: NDArray[np.int_], matrix: NDArray[Any]) -> NDArray[np.int_]:
    """Pixels ``(N, 2)`` that ``matrix`` takes the pixel centres ``(N, 2)`` to."""
    mapped = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return np.floor(mapped[:, :2] + 0.5).astype(int)


def _read_mask(path: Path) -> NDArray[np.bool_] | None:
    reader = MammogramReader(voi="none")
    try:
        values = np.asarray(reader.get_data(reader.read(path))[0]).squeeze()
    except MammogramError as error:
        logger.warning("lesion mask left out: %s", error)
        return None
    return values > values.max() / 2


def _filled(box: Sequence[float]) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """The box as a mask of ones, and its first pixel."""
    top, left = int(np.floor(box[0])), int(np.floor(box[1]))
    return np.ones((int(np.ceil(box[2])) - top, int(np.ceil(box[3])) - left), dtype=bool), (top, left)
