"""Where a token lies on its grid, as a vector that is added to it: fixed sines and cosines, or learned."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["LearnedPositions", "SinCosPositions", "sincos_positions"]


def sincos_positions(rows: int, columns: int, channels: int) -> Tensor:
    r"""Fixed positions of masked autoencoders (He et al. 2022, arXiv:2111.06377) for a grid of any shape.

    The first half of the channels follows the column x, the second the row y, each as sines and then cosines of
    :math:`x \cdot 10000^{-4i / \text{channels}}`. Computed in float64, as published weights were;
    ``monai.networks.blocks.pos_embed_utils.build_sincos_position_embedding`` is the same in float32.

    Returns:
        ``(1, rows * columns, channels)`` float32, row by row.

    Raises:
        ValueError: for channels that are no multiple of 4.
    """
    if channels % 4:
        raise ValueError(f"sine and cosine of two axes need a multiple of 4 channels, got {channels}")
    return torch.tensor(_table(rows, columns, channels))


# NumPy, since a tensor kept from a call under inference_mode or torch.export would not do for the next one.
@lru_cache(maxsize=32)
def _table(rows: int, columns: int, channels: int) -> np.ndarray:
    omega = 10000.0 ** (-np.arange(channels // 4) / (channels // 4))
    y, x = np.divmod(np.arange(rows * columns), columns)
    angles = [np.outer(axis, omega) for axis in (x, y)]
    table = np.concatenate([wave(angle) for angle in angles for wave in (np.sin, np.cos)], axis=1)
    return table[None].astype(np.float32)


class SinCosPositions(nn.Module):
    """:func:`sincos_positions` of the usual grid at hand, of any other on demand; nothing is saved or learned.

    Args:
        grid: rows and columns of the usual grid.
        channels: of a token, a multiple of 4.

    Shape:
        - grid: rows and columns.
        - output: ``(1, rows * columns, channels)``.
    """

    table: Tensor

    def __init__(self, grid: tuple[int, int], channels: int) -> None:
        super().__init__()
        self.grid = grid
        self.register_buffer("table", sincos_positions(*grid, channels), persistent=False)

    def forward(self, grid: tuple[int, int]) -> Tensor:
        if grid == self.grid:
            return self.table
        return sincos_positions(*grid, self.table.shape[-1]).to(self.table)


class LearnedPositions(nn.Module):
    """One learned vector for each token of a grid; for another grid the map of them is resized bicubically.

    Args:
        grid: rows and columns that the vectors are learned on.
        channels: of a token.

    Shape:
        - grid: rows and columns.
        - output: ``(1, rows * columns, channels)``.
    """

    def __init__(self, grid: tuple[int, int], channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, channels, *grid))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, grid: tuple[int, int]) -> Tensor:
        learned = tuple(self.weight.shape[-2:])
        weight = self.weight if grid == learned else F.interpolate(self.weight, size=grid, mode="bicubic")
        return weight.flatten(2).mT  # (1, N, C)
