"""The way back from any grid to the rows and columns of the original image."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

__all__ = ["RecordGeometryd", "to_grid_box", "to_original_box"]

Box = tuple[float, float, float, float]
"""Rows and columns ``(row0, col0, row1, col1)``, half-open: pixel (r, c) covers [r, r + 1) x [c, c + 1)."""


class RecordGeometryd(MapTransform):
    """Write the matrix that leads from the present grid to original pixels under ``output_key``.

    The matrix is float32 ``(3, 3)``; it maps homogeneous pixel centres ``(row, column, 1)`` of the present
    image to those of the image as it was read. It comes from the affines that MONAI keeps, so every tracked
    spatial transform before it counts.

    Args:
        keys: key of the image, a :class:`MetaTensor` with ``original_affine`` in its metadata.
        output_key: where the matrix goes.
        allow_missing_keys: see :class:`monai.transforms.MapTransform`.

    Raises:
        ValueError: when the image carries no affines.
    """

    def __init__(
        self, keys: KeysCollection = "image", output_key: str = "to_original", allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_key = output_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            image = d[key]
            if not isinstance(image, MetaTensor) or "original_affine" not in image.meta:
                raise ValueError(
                    f"'{key}' is no MetaTensor with 'original_affine'; read it with LoadMammogramd and "
                    "keep metadata on (monai.data.set_track_meta)"
                )
            original = torch.as_tensor(image.meta["original_affine"], dtype=torch.float64)
            matrix = torch.linalg.solve(_planar(original), _planar(image.affine.to(torch.float64)))
            d[self.output_key] = matrix.to(torch.float32)
        return d


def to_original_box(box: Box, matrix: torch.Tensor | np.ndarray) -> Box:
    """Map a box of the grid to original rows and columns; ``matrix`` is of :class:`RecordGeometryd`."""
    return _map_box(box, np.asarray(matrix, dtype=np.float64))


def to_grid_box(box: Box, matrix: torch.Tensor | np.ndarray) -> Box:
    """Map a box of the original image to the grid; it may reach beyond the grid where that was cropped."""
    return _map_box(box, np.linalg.inv(np.asarray(matrix, dtype=np.float64)))


def _planar(affine: torch.Tensor) -> torch.Tensor:
    """Rows and columns of a ``(4, 4)`` affine, as ``(3, 3)``."""
    keep = torch.tensor([0, 1, affine.shape[-1] - 1])
    return affine[keep][:, keep]


def _map_box(box: Box, matrix: np.ndarray) -> Box:
    # Edges lie half a pixel before the centre of the first pixel inside.
    corners = np.array([[box[0], box[2]], [box[1], box[3]]], dtype=np.float64) - 0.5
    mapped = matrix @ np.vstack([corners, np.ones(2)]) + 0.5
    (row0, row1), (col0, col1) = np.sort(mapped[0]), np.sort(mapped[1])
    return float(row0), float(col0), float(row1), float(col1)
