"""From the network's grid to the whole frame as it is stored."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..explain import enlarge_map

__all__ = ["heat_on_frame"]


def heat_on_frame(heat: Tensor, matrix: Tensor, shape: tuple[int, int], size: tuple[int, int]) -> NDArray[np.float32]:
    """A map of the network's grid on a small copy of the whole frame, in [0, 1]; 0 where the network saw nothing.

    Args:
        heat: ``(H, W)`` >= 0.
        matrix: ``(3, 3)`` from the centres of the grid's pixels to those of the original ones.
        shape: rows and columns of the original.
        size: rows and columns of the copy.
    """
    values = enlarge_map(heat, heat.shape).astype(np.float32)
    values /= max(float(values.max()), float(np.finfo(np.float32).tiny))
    scale = [old / new for old, new in zip(shape, size, strict=True)]
    # From a pixel of the copy to the original (centres at half pixels), from there to the grid.
    to_original = np.array([[scale[0], 0, scale[0] / 2 - 0.5], [0, scale[1], scale[1] / 2 - 0.5], [0, 0, 1]])
    to_grid = np.linalg.inv(np.asarray(matrix, dtype=np.float64)) @ to_original
    rows_first = to_grid[[1, 0]][:, [1, 0, 2]].astype(np.float32)  # cv2 has columns first
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    frame = cv2.warpAffine(values, rows_first, size[::-1], flags=flags, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(frame)
