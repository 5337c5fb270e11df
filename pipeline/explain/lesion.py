"""Where a record's known lesions lie on the network's grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...transforms import MammogramReader


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
        ``(H, W)`` bool, or None where the record knows no lesion. A lesion smaller than a pixel of the grid still
        marks that pixel.
    """
    points = [_mask_points(Path(root, path)) for path in record.get("roi_masks", ())]
    points = points or [_box_points(box) for box in record.get("boxes", ())]
    if not points:
        return None
    original = np.concatenate(points)  # (N, 2): row, column
    homogeneous = np.column_stack([original, np.ones(len(original))])
    grid = np.floor(homogeneous @ np.linalg.inv(np.asarray(to_original, dtype=np.float64)).T + 0.5)[:, :2].astype(int)
    inside = ((grid >= 0) & (grid < np.asarray(size))).all(axis=1)
    region = np.zeros(tuple(size), dtype=bool)
    region[tuple(grid[inside].T)] = True
    return region if region.any() else None


def _mask_points(path: Path) -> NDArray[np.float64]:
    reader = MammogramReader(voi="none")
    image = reader.read(path)
    mask, _ = reader.get_data(image[0] if isinstance(image, list) else image)
    return np.argwhere(np.asarray(mask).squeeze() > 0.5).astype(np.float64)


def _box_points(box: Sequence[float]) -> NDArray[np.float64]:
    rows, columns = np.arange(box[0], box[2]), np.arange(box[1], box[3])
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
