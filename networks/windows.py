"""How the tokens of a batch of maps are cut into attention windows, all of them or only those that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from monai.networks.nets.swin_unetr import compute_mask, get_window_size, window_partition
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Chunk", "Windows", "all_windows", "kept_windows"]

_CHUNK = 1 << 18
"""Scores of the windows that are worked on at a time: what the cache of a core can hold."""

_STEP = 8
"""Windows with kept tokens are filled up to a multiple of this, so that many have the same size."""

_NOT_THERE = -1e4
"""Score of a place without a token: its weight is 0 in every precision."""


class Chunk(NamedTuple):
    """Windows of equal size that are worked on at a time.

    Attributes:
        rows: of the sorted tokens, those of these windows.
        windows: how many.
        tokens: places of a window, n.
        fill: ``(windows n)``, the row, counted from the first of ``rows``, at each place; None where rows are places.
        real: ``(len(rows))``, the place of each row; None likewise.
        pairs: ``(windows n n)``, the entry of the flattened position bias of query and key; None where windows are
            whole.
        mask: ``(., n, n)``, added to the scores; None for 0.
        numbers: ``(windows)``, the row of ``mask`` of each window; None where they go together.
    """

    rows: slice
    windows: int
    tokens: int
    fill: Tensor | None = None
    real: Tensor | None = None
    pairs: Tensor | None = None
    mask: Tensor | None = None
    numbers: Tensor | None = None


class Windows(NamedTuple):
    """Tokens sorted by window.

    Attributes:
        order: ``(P)``, the token of each row, window by window; 0 where there is only padding.
        place: ``(T)``, the row of each token.
        padding: ``(P, 1)`` of {0, 1}, 0 where there is only padding; None where there is none.
        image: ``(T)``, the image of each token.
        chunks: the windows.
        mask: ``(W of an image, N, N)``, -100 between tokens that only the shift brought together; None without shift.
    """

    order: Tensor
    place: Tensor
    padding: Tensor | None
    image: Tensor
    chunks: tuple[Chunk, ...]
    mask: Tensor | None = None

    def gather(self, tokens: Tensor) -> Tensor:
        """``(T, C)`` to ``(P, C)``, padding as zeros."""
        gathered = tokens.index_select(0, self.order)
        return gathered if self.padding is None else gathered.mul_(self.padding.to(gathered.dtype))

    def scatter(self, gathered: Tensor) -> Tensor:
        """``(P, C)`` to ``(T, C)``, padding left out."""
        return gathered.index_select(0, self.place)


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is made for inference could not be trained with later
def all_windows(
    batch: int, size: tuple[int, int], window: tuple[int, int], shift: tuple[int, int], heads: int, device: torch.device
) -> Windows:
    """Windows of every token of ``batch`` maps of ``size`` rows and columns, padded as MONAI pads."""
    window, shift = get_window_size(size, window, shift)
    rows, columns = (-(-length // side) * side for length, side in zip(size, window, strict=True))
    numbers = torch.arange(batch * size[0] * size[1], device=device).view(batch, *size, 1)
    numbers = F.pad(numbers, (0, 0, 0, columns - size[1], 0, rows - size[0]), value=-1)
    numbers = numbers.roll((-shift[0], -shift[1]), dims=(1, 2))
    order = window_partition(numbers, window).reshape(-1)
    is_token = order >= 0
    place = torch.empty(batch * size[0] * size[1], dtype=torch.long, device=device)
    place[order[is_token]] = torch.arange(len(order), device=device)[is_token]
    tokens = window[0] * window[1]
    mask = compute_mask([rows, columns], window, shift, device) if any(shift) else None
    chunks = []
    for part in _parts(len(order) // tokens, heads * tokens * tokens, device):
        of_mask = None if mask is None else torch.arange(part.start, part.stop, device=device) % len(mask)
        places = slice(part.start * tokens, part.stop * tokens)
        chunks.append(Chunk(places, part.stop - part.start, tokens, mask=mask, numbers=of_mask))
    return Windows(
        order=order.clamp(min=0),
        place=place,
        padding=None if bool(is_token.all()) else is_token[:, None].float(),
        image=torch.arange(batch, device=device).repeat_interleave(size[0] * size[1]),
        chunks=tuple(chunks),
        mask=mask,
    )


def kept_windows(kept: Tensor, window: Sequence[int], shift: Sequence[int], heads: int) -> Windows:
    """Windows of the tokens that are kept: attention sees no others, padding neither.

    Windows of about as many tokens are worked on together (compare the groups of Huang et al. 2022, arXiv:2205.13515).

    Args:
        kept: ``(B, h, w)`` bool; tokens are counted image by image and row by row among those that are True.
        window: rows and columns of a full window.
        shift: of the windows, as the block has it.
        heads: of the attention.
    """
    bias_width = window[0] * window[1]
    window, shift = get_window_size(kept.shape[1:], window, shift)
    image, *place = kept.nonzero(as_tuple=True)
    number, position, region = image, torch.zeros_like(image), torch.zeros_like(image)
    for at, length, side, by in zip(place, kept.shape[1:], window, shift, strict=True):
        padded = -(-length // side) * side
        at = (at - by) % padded
        number = number * (padded // side) + at // side
        position = position * side + at % side
        if by:  # the same three bands as in compute_mask
            region = 3 * region + (at >= padded - side).long() + (at >= padded - by).long()
    tokens = window[0] * window[1]
    counts = torch.bincount(number)
    sizes = (-(-counts // _STEP) * _STEP).clamp(max=tokens)
    order = ((sizes[number] * len(counts) + number) * tokens + position).argsort()
    row = torch.empty_like(order)
    row[order] = torch.arange(len(order), device=order.device)
    counts, sizes = _by_size(counts, sizes)
    return Windows(
        order, row, None, image, _kept_chunks(counts, sizes, position[order], region[order], heads, bias_width)
    )


def _by_size(counts: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Counts and sizes of the windows with tokens, in the order of their rows, on the CPU."""
    counts, sizes = counts.cpu(), sizes.cpu()
    by_size = sizes.argsort(stable=True)
    by_size = by_size[counts[by_size] > 0]
    return counts[by_size], sizes[by_size]


def _kept_chunks(
    counts: Tensor, sizes: Tensor, position: Tensor, region: Tensor, heads: int, bias_width: int
) -> tuple[Chunk, ...]:
    device = position.device
    chunks, start = [], 0
    for size, windows in zip(*(part.tolist() for part in sizes.unique_consecutive(return_counts=True)), strict=True):
        for part in _parts(windows, heads * size * size, device):
            own = counts[:windows][part]
            rows = slice(start, start + int(own.sum()))
            chunks.append(_kept_chunk(own.to(device), rows, size, position[rows], region[rows], bias_width))
            start = rows.stop
        counts = counts[windows:]
    return tuple(chunks)


def _kept_chunk(counts: Tensor, rows: slice, size: int, position: Tensor, region: Tensor, bias_width: int) -> Chunk:
    first = counts.cumsum(0) - counts
    places = torch.arange(size, device=counts.device)
    there = places < counts[:, None]  # (windows, n)
    fill = (first[:, None] + places).where(there, first[:, None])
    position, region = position[fill], region[fill]
    mask = torch.zeros(len(counts), size, size, device=counts.device)
    mask.masked_fill_(region[:, :, None] != region[:, None], -100.0).masked_fill_(~there[:, None], _NOT_THERE)
    return Chunk(
        rows,
        len(counts),
        size,
        fill=fill.flatten(),
        real=there.flatten().nonzero()[:, 0],
        pairs=(position[:, :, None] * bias_width + position[:, None]).flatten(),
        mask=mask,
    )


def _parts(windows: int, scores: int, device: torch.device) -> list[slice]:
    """Cut ``windows`` of ``scores`` each into parts that a core's cache can hold; into one on other devices."""
    step = max(1, _CHUNK // scores) if device.type == "cpu" else max(1, windows)
    return [slice(start, min(start + step, windows)) for start in range(0, windows, step)]
