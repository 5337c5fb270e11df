"""Resampling of one channel: averages over areas when shrinking, lines when growing, nearest for masks."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import torch

__all__ = ["RowBlocks", "nearest_indices", "resample"]

RowBlocks = Callable[[int, int], np.ndarray]
"""Gives rows ``first`` to ``last`` (exclusive) of a picture as float32; the picture need not exist as a whole."""

_BLOCK_PX = 96  # rows or columns taken at a time: a block of a film scan stays in a core's cache


def resample(rows: RowBlocks, shape: tuple[int, int], size: tuple[int, int], unit_range: bool = False) -> np.ndarray:
    """Resample a picture of ``shape`` to ``size``, each axis as it needs.

    Shrinking gives each new pixel the mean of the area that it covers, with fractions at its rim, as two
    products with banded matrices; cv2.INTER_AREA computes the same two to three times as slowly. Growing is
    bilinear. Pixel centres lie at half pixels, so edges stay on edges.

    Args:
        rows: the picture, by blocks of rows.
        shape: its rows and columns.
        size: rows and columns of the result.
        unit_range: the picture is in [0, 1], so that a mean beyond is rounding and is cut.
    """
    inner = min(shape[0], size[0]), min(shape[1], size[1])
    if inner == shape:
        small = np.ascontiguousarray(rows(0, shape[0]), dtype=np.float32)
    else:
        tall = torch.empty(inner[0], shape[1])  # (new rows, old columns)
        for new, old, weights in _area_blocks(shape[0], inner[0]):
            block = np.ascontiguousarray(rows(old.start, old.stop), dtype=np.float32)
            torch.matmul(weights, torch.from_numpy(block), out=tall[new])
        result = torch.empty(inner)
        for new, old, weights in _area_blocks(shape[1], inner[1]):
            result[:, new] = tall[:, old] @ weights.T
        small = (result.clamp_(0, 1) if unit_range else result).numpy()
    return small if inner == size else cv2.resize(small, size[::-1], interpolation=cv2.INTER_LINEAR)


def nearest_indices(old: int, new: int) -> np.ndarray:
    """Old index under the centre of each new pixel."""
    return ((np.arange(new) + 0.5) * old / new).astype(np.intp)


def _area_blocks(old: int, new: int) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """Yield slices of new and old pixels with the share of each old pixel in each new one."""
    scale = old / new
    left = np.arange(new)[:, None] * scale
    first = left.astype(np.intp)
    pixels = first + np.arange(int(np.ceil(scale)) + 1)  # (new, old pixels that one may touch)
    shared = np.minimum(pixels + 1, left + scale) - np.maximum(pixels, left)
    shares = (np.clip(shared, 0, None) / scale).astype(np.float32)
    step = max(1, round(_BLOCK_PX / scale))
    for start in range(0, new, step):
        part = slice(start, min(start + step, new))
        begin, end = int(first[start, 0]), int(pixels[part.stop - 1, -1]) + 1
        weights = np.zeros((part.stop - start, end - begin), dtype=np.float32)
        np.put_along_axis(weights, pixels[part] - begin, shares[part], axis=1)
        # The last pixels may touch none beyond the picture: their share there is zero.
        stop = min(end, old)
        yield part, slice(begin, stop), torch.from_numpy(weights[:, : stop - begin])
