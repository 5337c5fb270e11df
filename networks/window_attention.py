"""Attention within windows and its gradient, a few windows at a time."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["attend", "attend_backward"]

_CHUNK = 1 << 18
"""Scores of the windows that are worked on at a time: what the cache of a core can hold."""


def _chunks(qkv: Tensor, heads: int) -> list[slice]:
    count, tokens, _ = qkv.shape
    step = max(1, _CHUNK // (heads * tokens * tokens)) if qkv.device.type == "cpu" else count
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _split_heads(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """``(W, N, 3 C)`` to queries, keys and values ``(W heads, N, C / heads)``."""
    windows, tokens, width = qkv.shape
    parts = qkv.view(windows, tokens, 3, heads, width // 3 // heads).permute(2, 0, 3, 1, 4).contiguous()
    queries, keys, values = parts.flatten(1, 2).unbind(0)
    return queries, keys, values


def _maps(queries: Tensor, keys: Tensor, bias: Tensor, mask: Tensor | None, start: int) -> Tensor:
    """Attention maps ``(W heads, N, N)`` of the windows from ``start`` on."""
    heads, tokens = bias.shape[:2]
    scores = queries.new_empty(len(queries), tokens, tokens)
    scores.baddbmm_(queries, keys.mT, beta=0, alpha=queries.shape[-1] ** -0.5)
    by_window = scores.view(-1, heads, tokens, tokens).add_(bias.to(scores.dtype))
    if mask is not None:
        numbers = torch.arange(start, start + len(by_window), device=mask.device) % len(mask)
        by_window += mask[numbers, None].to(scores.dtype)
    return torch.softmax(scores, -1)


def _join_heads(values: Tensor, heads: int, out: Tensor) -> None:
    """``(W heads, N, d)`` into ``out`` ``(W, N, heads d)``, or a part of it that is as wide."""
    windows, tokens, _ = out.shape
    out.unflatten(2, (heads, -1)).copy_(values.view(windows, heads, tokens, -1).transpose(1, 2))


def attend(qkv: Tensor, bias: Tensor, mask: Tensor | None, *, keep: bool) -> tuple[Tensor, Tensor | None]:
    """Attended values, and the attention maps where they are to be kept.

    Args:
        qkv: ``(W N, 3 C)``, queries, keys and values of all heads side by side.
        bias: ``(heads, N, N)``, added to the scaled scores.
        mask: ``(W of an image, N, N)``, added too; None for 0.
        keep: whether the maps are given back.

    Returns:
        ``(W N, C)``; and ``(W, heads, N, N)`` or None.
    """
    heads, tokens = bias.shape[:2]
    channels = qkv.shape[1] // 3
    qkv = qkv.view(-1, tokens, 3 * channels)
    attended = qkv.new_empty(len(qkv), tokens, channels)
    kept = qkv.new_empty(len(qkv), heads, tokens, tokens) if keep else None
    for chunk in _chunks(qkv, heads):
        queries, keys, values = _split_heads(qkv[chunk], heads)
        maps = _maps(queries, keys, bias, mask, chunk.start)
        if kept is not None:
            kept[chunk] = maps.view(-1, heads, tokens, tokens)
        _join_heads(torch.bmm(maps, values), heads, attended[chunk])
    return attended.view(-1, channels), kept


def attend_backward(
    grad: Tensor, qkv: Tensor, bias: Tensor, mask: Tensor | None, kept: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of :func:`attend`.

    Args:
        grad: of the attended values, ``(W N, C)``.
        qkv: as given to :func:`attend`.
        bias: as given to it.
        mask: as given to it.
        kept: the maps that it gave; None to compute them again.

    Returns:
        Gradients of ``qkv`` and of ``bias`` (in its type), and the attended values again.
    """
    heads, tokens = bias.shape[:2]
    channels = grad.shape[1]
    scale = (channels // heads) ** -0.5
    qkv, grad = qkv.view(-1, tokens, 3 * channels), grad.view(-1, tokens, channels)
    qkv_grad, attended, bias_grad = torch.empty_like(qkv), torch.empty_like(grad), torch.zeros_like(bias)
    for chunk in _chunks(qkv, heads):
        queries, keys, values = _split_heads(qkv[chunk], heads)
        maps = _maps(queries, keys, bias, mask, chunk.start) if kept is None else kept[chunk].flatten(0, 1)
        out = grad[chunk].unflatten(2, (heads, -1)).transpose(1, 2).reshape(values.shape)
        scores_grad = torch._softmax_backward_data(torch.bmm(out, values.mT), maps, -1, maps.dtype)
        bias_grad += scores_grad.view(-1, heads, tokens, tokens).sum(0, dtype=bias.dtype)
        queries_grad, keys_grad, values_grad = qkv_grad[chunk].split(channels, dim=2)
        _join_heads(torch.bmm(scores_grad, keys).mul_(scale), heads, queries_grad)
        _join_heads(torch.bmm(scores_grad.mT, queries).mul_(scale), heads, keys_grad)
        _join_heads(torch.bmm(maps.mT, out), heads, values_grad)
        _join_heads(torch.bmm(maps, values), heads, attended[chunk])
    return qkv_grad.view(-1, 3 * channels), bias_grad, attended.view(-1, channels)
