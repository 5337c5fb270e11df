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


def attend(qkv: Tensor, bias: Tensor, mask: Tensor | None, *, keep: bool) -> tuple[Tensor, Tensor]:
    """Attended values, and the attention maps where they are to be kept.

    Args:
        qkv: ``(W N, 3 C)``, queries, keys and values of all heads side by side.
        bias: ``(heads, N, N)``, added to the scaled scores.
        mask: ``(W of an image, N, N)``, added too; None for 0.
        keep: whether the maps are given back.

    Returns:
        ``(W N, C)``; and ``(W, heads, N, N)``, or nothing of that shape.
    """
    heads, tokens = bias.shape[:2]
    channels = qkv.shape[1] // 3
    qkv = qkv.view(-1, tokens, 3 * channels)
    bias = bias.to(qkv.dtype)
    attended = qkv.new_empty(len(qkv), tokens, channels)
    maps = qkv.new_empty(len(qkv) if keep else 0, heads, tokens, tokens)
    for chunk in _chunks(qkv, heads):
        queries, keys, values = _split_heads(qkv[chunk], heads)
        scores = queries.new_empty(len(queries), tokens, tokens)
        scores.baddbmm_(queries, keys.mT, beta=0, alpha=(channels // heads) ** -0.5)
        by_window = scores.view(-1, heads, tokens, tokens).add_(bias)
        if mask is not None:
            numbers = torch.arange(chunk.start, chunk.stop, device=qkv.device) % len(mask)
            by_window += mask[numbers, None].to(qkv.dtype)
        shares = torch.softmax(scores, -1)
        if keep:
            maps[chunk] = shares.view_as(by_window)
        attended[chunk].view(-1, tokens, heads, channels // heads).copy_(
            torch.bmm(shares, values).view(-1, heads, tokens, channels // heads).transpose(1, 2)
        )
    return attended.view(-1, channels), maps


def attend_backward(grad: Tensor, qkv: Tensor, maps: Tensor, tokens: int) -> tuple[Tensor, Tensor]:
    """Gradients of queries, keys and values, ``(W N, 3 C)``, and of the bias, ``(heads, N, N)`` in float32 or more.

    Args:
        grad: of the attended values, ``(W N, C)``.
        qkv: as given to :func:`attend`.
        maps: as :func:`attend` gave them.
        tokens: N.
    """
    heads, width = maps.shape[1], grad.shape[1] // maps.shape[1]
    scale = width**-0.5
    qkv, grad = qkv.view(-1, tokens, 3 * grad.shape[1]), grad.view(-1, tokens, heads, width)
    qkv_grad = torch.empty_like(qkv)
    bias_grad = torch.zeros(maps.shape[1:], device=maps.device, dtype=torch.promote_types(maps.dtype, torch.float32))
    for chunk in _chunks(qkv, heads):
        queries, keys, values = _split_heads(qkv[chunk], heads)
        shares = maps[chunk].flatten(0, 1)
        out = grad[chunk].transpose(1, 2).reshape(-1, tokens, width)
        shares_grad = torch.bmm(out, values.mT)
        scores_grad = torch._softmax_backward_data(shares_grad, shares, -1, shares.dtype)
        bias_grad += scores_grad.view(-1, heads, tokens, tokens).sum(0)
        parts = qkv_grad[chunk].view(-1, tokens, 3, heads, width).permute(2, 0, 3, 1, 4)  # (3, W, heads, N, d)
        split = (-1, heads, tokens, width)
        parts[0].copy_(torch.bmm(scores_grad, keys).mul_(scale).view(split))
        parts[1].copy_(torch.bmm(scores_grad.mT, queries).mul_(scale).view(split))
        parts[2].copy_(torch.bmm(shares.mT, out).view(split))
    return qkv_grad.view(-1, qkv.shape[2]), bias_grad
