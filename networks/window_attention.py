"""Attention within windows and its gradient, a few windows at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .windows import Chunk

__all__ = ["attend", "attend_backward"]


def _split_heads(qkv: Tensor, chunk: Chunk, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows ``(P, 3 C)`` to queries, keys and values ``(windows heads, n, C / heads)`` of a chunk."""
    rows = qkv[chunk.rows]
    if chunk.fill is not None:
        rows = rows.index_select(0, chunk.fill)
    parts = rows.view(chunk.windows, chunk.tokens, 3, heads, -1).permute(2, 0, 3, 1, 4).contiguous()
    queries, keys, values = parts.flatten(1, 2).unbind(0)
    return queries, keys, values


def _maps(queries: Tensor, keys: Tensor, bias: Tensor, chunk: Chunk) -> Tensor:
    """Attention maps ``(windows heads, n, n)``."""
    heads, n = len(bias), chunk.tokens
    scores = queries.new_empty(len(queries), n, n)
    scores.baddbmm_(queries, keys.mT, beta=0, alpha=queries.shape[-1] ** -0.5)
    by_window = scores.view(-1, heads, n, n)
    if chunk.pairs is None:
        by_window += bias[:, :n, :n].to(scores.dtype)
    else:
        pairs = bias.flatten(1).to(scores.dtype).index_select(1, chunk.pairs)
        by_window += pairs.view(heads, -1, n, n).transpose(0, 1)
    if chunk.mask is not None:
        mask = chunk.mask if chunk.numbers is None else chunk.mask[chunk.numbers]
        by_window += mask[:, None].to(scores.dtype)
    return torch.softmax(scores, -1)


def _join_heads(values: Tensor, chunk: Chunk, out: Tensor) -> None:
    """``(windows heads, n, d)`` into the chunk's rows of ``out`` ``(P, heads d)``, or a part of it that is as wide."""
    values = values.view(chunk.windows, -1, chunk.tokens, values.shape[-1]).transpose(1, 2).flatten(0, 1)
    if chunk.real is not None:
        values = values.index_select(0, chunk.real)
    out[chunk.rows].unflatten(1, values.shape[1:]).copy_(values)


def attend(qkv: Tensor, bias: Tensor, chunks: Sequence[Chunk], *, keep: bool) -> tuple[Tensor, list[Tensor]]:
    """Attended values, and the attention maps where they are to be kept.

    Args:
        qkv: ``(P, 3 C)``, queries, keys and values of all heads side by side, sorted by window.
        bias: ``(heads, N, N)``, added to the scaled scores.
        chunks: the windows.
        keep: whether the maps are given back.

    Returns:
        ``(P, C)``; and ``(windows heads, n, n)`` of each chunk, or nothing.
    """
    attended = qkv.new_empty(len(qkv), qkv.shape[1] // 3)
    kept = []
    for chunk in chunks:
        queries, keys, values = _split_heads(qkv, chunk, len(bias))
        maps = _maps(queries, keys, bias, chunk)
        if keep:
            kept.append(maps)
        _join_heads(torch.bmm(maps, values), chunk, attended)
    return attended, kept


def attend_backward(
    grad: Tensor, qkv: Tensor, bias: Tensor, chunks: Sequence[Chunk], kept: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of :func:`attend`.

    Args:
        grad: of the attended values, ``(P, C)``.
        qkv: as given to :func:`attend`.
        bias: as given to it.
        chunks: as given to it.
        kept: the maps that it gave; nothing to compute them again.

    Returns:
        Gradients of ``qkv`` and of ``bias`` (in its type), and the attended values again.
    """
    heads, channels = len(bias), grad.shape[1]
    scale = (channels // heads) ** -0.5
    qkv_grad, attended, bias_grad = torch.empty_like(qkv), torch.empty_like(grad), torch.zeros_like(bias)
    queries_grad, keys_grad, values_grad = qkv_grad.split(channels, dim=1)
    for i, chunk in enumerate(chunks):
        queries, keys, values = _split_heads(qkv, chunk, heads)
        maps = kept[i] if kept else _maps(queries, keys, bias, chunk)
        out = _output_grad(grad, chunk, heads)
        scores_grad = torch._softmax_backward_data(torch.bmm(out, values.mT), maps, -1, maps.dtype)
        _add_bias_grad(bias_grad, scores_grad, chunk)
        _join_heads(torch.bmm(scores_grad, keys).mul_(scale), chunk, queries_grad)
        _join_heads(torch.bmm(scores_grad.mT, queries).mul_(scale), chunk, keys_grad)
        _join_heads(torch.bmm(maps.mT, out), chunk, values_grad)
        _join_heads(torch.bmm(maps, values), chunk, attended)
    return qkv_grad, bias_grad, attended


def _output_grad(grad: Tensor, chunk: Chunk, heads: int) -> Tensor:
    """The rows of a chunk as ``(windows heads, n, d)``, zeros where there is no token."""
    rows = grad[chunk.rows]
    if chunk.real is not None:
        rows = rows.new_zeros(chunk.windows * chunk.tokens, rows.shape[1]).index_copy_(0, chunk.real, rows)
    return rows.view(chunk.windows, chunk.tokens, heads, -1).transpose(1, 2).flatten(0, 1)


def _add_bias_grad(bias_grad: Tensor, scores_grad: Tensor, chunk: Chunk) -> None:
    heads, n = len(bias_grad), chunk.tokens
    by_window = scores_grad.view(-1, heads, n, n)
    if chunk.pairs is None:
        bias_grad[:, :n, :n] += by_window.sum(0, dtype=bias_grad.dtype)
    else:
        pairs = by_window.to(bias_grad.dtype).transpose(0, 1).flatten(1)
        bias_grad.view(heads, -1).index_add_(1, chunk.pairs, pairs)
