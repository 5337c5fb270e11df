"""Nyström attention for images: landmarks are means of cells of the token grid. Ours."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .landmarks import attend_by_landmarks, check_options, segment_means


class Nystrom2DAttention(nn.Module):
    """Nyströmformer's attention (arXiv:2102.03902) with landmarks and convolution in two dimensions. Ours.

    A segment of a sequence of rows is a strip one token high; tokens near each other in an image are better stood for
    by a cell of the grid. Rows and columns are cut into parts whose lengths differ by one at most, and a landmark is
    the mean of a cell. Tokens in front of the grid, such as the class token, are landmarks of their own, and take no
    part in the convolution.

    Where queries and keys vary slowly over the grid, the error against exact attention is less than half of what as
    many segments leave (``tests/networks/attention/test_nystrom_2d.py``); where they are noise, it is the same.

    Args:
        heads: attention heads.
        grid: rows and columns of tokens.
        prefix_tokens: tokens in front of the grid.
        cells: parts of rows and columns; the landmarks are ``prefix_tokens + cells[0] * cells[1]``. More than the
            grid has are refused, not cut.
        iterations: of the pseudo-inverse.
        kernel: tokens along the side of the depth-wise convolution of the values, an odd number; None leaves it out.

    Shape:
        - q, k, v: ``(B, heads, N, d)`` with N = prefix_tokens + rows * columns; 1 / sqrt(d) is applied inside.
        - output: ``(B, heads, N, d)``.

    Raises:
        ValueError: cells below 1 or above the grid, iterations below 1, an even kernel, or an input of other tokens.
    """

    def __init__(
        self,
        heads: int,
        grid: tuple[int, int],
        prefix_tokens: int = 1,
        *,
        cells: tuple[int, int] = (8, 8),
        iterations: int = 6,
        kernel: int | None = 5,
    ) -> None:
        super().__init__()
        check_options(iterations, kernel)
        self.rows, self.columns = grid
        self.cells = (cells[0], cells[1])
        if not (1 <= cells[0] <= self.rows and 1 <= cells[1] <= self.columns):
            raise ValueError(
                f"{cells[0]} x {cells[1]} cells of a {self.rows} x {self.columns} grid: give cells of 1 x 1 up to "
                "the grid, or use standard attention"
            )
        self.prefix_tokens = prefix_tokens
        self.iterations = iterations
        self.convolution = (
            None if kernel is None else nn.Conv2d(heads, heads, kernel, padding="same", groups=heads, bias=False)
        )

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        tokens = self.prefix_tokens + self.rows * self.columns
        if not torch.jit.is_tracing() and q.shape[-2] != tokens:
            raise ValueError(
                f"a {self.rows} x {self.columns} grid behind {self.prefix_tokens} tokens makes {tokens}, got "
                f"{q.shape[-2]}: build the attention with the grid of these images"
            )
        out = attend_by_landmarks(q, k, v, self._cell_means(q), self._cell_means(k), self.iterations)
        return out if self.convolution is None else out + self._convolve(v, self.convolution)

    def _cell_means(self, x: Tensor) -> Tensor:
        """Landmarks ``(B, heads, prefix_tokens + cells, d)``."""
        prefix, grid = x[:, :, : self.prefix_tokens], x[:, :, self.prefix_tokens :]
        grid = grid.unflatten(-2, (self.rows, self.columns))
        means = segment_means(segment_means(grid, self.cells[0], -3), self.cells[1], -2)
        return torch.cat([prefix.to(means.dtype), means.flatten(-3, -2)], dim=-2)

    def _convolve(self, v: Tensor, convolution: nn.Conv2d) -> Tensor:
        """Neighbours of each value in the grid, ``(B, heads, N, d)``; nothing for the prefix."""
        batch, heads, _, channels = v.shape
        grid = v[:, :, self.prefix_tokens :].mT.reshape(batch, heads * channels, self.rows, self.columns)
        # A filter for each channel runs faster than one for the channels of a head as so many samples.
        filters = convolution.weight.repeat_interleave(channels, dim=0)  # (heads * d, 1, kernel, kernel)
        grid = F.conv2d(grid, filters, padding="same", groups=heads * channels)
        return F.pad(grid.view(batch, heads, channels, -1).mT, (0, 0, self.prefix_tokens, 0))
