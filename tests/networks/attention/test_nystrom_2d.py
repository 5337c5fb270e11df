"""Nyström attention on a grid: its exact limit, its cells, its convolution, and what they are for."""

from itertools import pairwise

import pytest
import torch
from mammo.networks.attention import Nystrom2DAttention, NystromAttention
from torch.nn import functional as F


def noise(tokens: int, heads: int = 2, channels: int = 8) -> list[torch.Tensor]:
    return [torch.randn(2, heads, tokens, channels) for _ in range(3)]


def smooth(side: int) -> torch.Tensor:
    """A class token of noise before a field that varies slowly over the grid, ``(2, 2, 1 + side ** 2, 32)``."""
    field = F.interpolate(torch.randn(64, 2, 4, 4), size=side, mode="bicubic", align_corners=True)
    tokens = field.view(2, 32, 2, side**2).permute(0, 2, 3, 1)
    return torch.cat([torch.randn(2, 2, 1, 32), tokens / tokens.std()], dim=2)


def relative(ours: torch.Tensor, exact: torch.Tensor) -> float:
    return ((ours - exact).norm() / exact.norm()).item()


def test_a_cell_for_each_token_is_exact_after_20_iterations():
    attention = Nystrom2DAttention(2, (6, 8), cells=(6, 8), iterations=20, kernel=None)
    q, k, v = noise(49)
    exact = F.scaled_dot_product_attention(q, k, v)
    assert relative(attention(q, k, v), exact) < 1e-3


@pytest.mark.parametrize(("grid", "cells"), [((6, 8), (3, 4)), ((7, 11), (3, 4)), ((9, 5), (1, 5)), ((5, 5), (5, 1))])
@pytest.mark.parametrize("prefix", [0, 1, 2])
def test_landmarks_are_the_prefix_and_the_means_of_cells(grid, cells, prefix):
    rows, columns = grid
    attention = Nystrom2DAttention(2, grid, prefix, cells=cells, iterations=30, kernel=None)
    q, k, v = (x.double() for x in noise(prefix + rows * columns))

    def bounds(size: int, parts: int) -> list[int]:
        return [i * (size // parts) + max(0, i - parts + size % parts) for i in range(parts + 1)]

    def landmarks(x: torch.Tensor) -> torch.Tensor:
        field = x[:, :, prefix:].view(2, 2, rows, columns, 8)
        found = list(x[:, :, :prefix].unbind(2))
        tops, lefts = bounds(rows, cells[0]), bounds(columns, cells[1])
        for top, bottom in pairwise(tops):
            for left, right in pairwise(lefts):
                found.append(field[:, :, top:bottom, left:right].mean((2, 3)))
        return torch.stack(found, dim=2)

    q_means, k_means = landmarks(q), landmarks(k)
    first = (q @ k_means.mT / 8**0.5).softmax(-1)
    middle = (q_means @ k_means.mT / 8**0.5).softmax(-1)
    last = (q_means @ k.mT / 8**0.5).softmax(-1)
    expected = first @ torch.linalg.pinv(middle) @ last @ v
    torch.testing.assert_close(attention(q, k, v), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("prefix", [0, 2])
def test_convolution_adds_neighbours_in_the_grid_and_nothing_to_the_prefix(prefix):
    attention = Nystrom2DAttention(2, (4, 6), prefix, cells=(2, 2), kernel=3)
    plain = Nystrom2DAttention(2, (4, 6), prefix, cells=(2, 2), kernel=None)
    q, k, v = noise(prefix + 24)
    padded = F.pad(v[:, :, prefix:].view(2, 2, 4, 6, 8), (0, 0, 1, 1, 1, 1))
    weight = attention.convolution.weight.view(2, 3, 3)
    added = sum(
        weight[:, i, j, None, None, None] * padded[:, :, i : i + 4, j : j + 6] for i in range(3) for j in range(3)
    )
    expected = torch.cat([torch.zeros(2, 2, prefix, 8), added.flatten(2, 3)], dim=2)
    torch.testing.assert_close(attention(q, k, v) - plain(q, k, v), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_smooth_fields_are_approximated_twice_as_well_as_by_segments(scale):
    q, k, v = smooth(28) * scale, smooth(28) * scale, smooth(28)
    exact = F.scaled_dot_product_attention(q, k, v)
    in_cells = Nystrom2DAttention(2, (28, 28), cells=(7, 9), kernel=None)(q, k, v)
    in_segments = NystromAttention(2, landmarks=64, kernel=None)(q, k, v)  # as many landmarks
    assert relative(in_cells, exact) < 0.5 * relative(in_segments, exact)
