"""Swin stages in less time and memory than MONAI's own forward pass, by MONAI's modules and weights.

Each half of a block is one autograd function, whose backward pass computes again what is cheap (normalised tokens,
GELU, attended values, in float32 attention too) instead of keeping it. Per token and channel a block keeps 9 numbers
(tokens twice, queries, keys and values, hidden units), MONAI's about 20.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from monai.networks.nets.swin_unetr import BasicLayer, PatchMergingV2, SwinTransformerBlock, WindowAttention
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .masked_blocks import run_masked_block
from .window_attention import attend, attend_backward
from .windows import Windows, all_windows, kept_windows

__all__ = ["run_stage"]


def run_stage(stage: BasicLayer, x: Tensor, kept: Tensor | None = None) -> Tensor:
    """What ``stage(x)`` gives, for blocks without dropout (stochastic depth may be).

    With ``kept``, attention sees the tokens that are kept and no others, and only those are computed; what is not kept
    is 0, in the result and as a child in patch merging. A merged token is kept where any of its children is.

    A stage with a hook, a block with one anywhere inside, such as those whose attention is recorded, and a network that
    is traced run MONAI's own forward pass. Gradients cannot be differentiated again.

    Args:
        stage: blocks, and patch merging or nothing.
        x: ``(B, C, h, w)``.
        kept: ``(B, 1, h, w)`` bool; None keeps all.

    Returns:
        ``(B, C', h', w')``.
    """
    if kept is not None:
        return _run_kept(stage, x, kept)
    if torch.jit.is_tracing() or torch.compiler.is_exporting() or is_hooked(stage):
        maps: Tensor = stage(x.contiguous())
        return maps
    batch, channels, *size = x.shape
    tokens = x.permute(0, 2, 3, 1).reshape(-1, channels)
    for block in cast(list[SwinTransformerBlock], stage.blocks):
        windows = all_windows(
            batch, (size[0], size[1]), block.window_size, block.shift_size, block.attn.num_heads, x.device
        )
        if any(is_hooked(part) for part in block.modules()):
            tokens = block(tokens.view(batch, *size, channels), windows.mask).reshape(-1, channels)
        else:
            tokens = _run_block(block, tokens, windows, batch)
    maps = tokens.view(batch, *size, channels)
    if stage.downsample is not None:
        maps = stage.downsample(maps)
    return maps.permute(0, 3, 1, 2)


def _run_kept(stage: BasicLayer, x: Tensor, kept: Tensor) -> Tensor:
    batch, channels, *size = x.shape
    where = kept.flatten().nonzero()[:, 0]
    tokens = x.permute(0, 2, 3, 1).reshape(-1, channels).index_select(0, where)
    windows: dict[tuple[int, ...], Windows] = {}
    for block in cast(list[SwinTransformerBlock], stage.blocks):
        if torch.jit.is_tracing() or any(is_hooked(part) for part in (stage, *block.modules())):
            maps = _spread(tokens, where, batch, size)
            tokens = run_masked_block(block, maps, kept[:, 0]).reshape(-1, channels).index_select(0, where)
            continue
        shift = tuple(block.shift_size)
        if shift not in windows:
            windows[shift] = kept_windows(kept[:, 0], block.window_size, shift, block.attn.num_heads)
        tokens = _run_block(block, tokens, windows[shift], batch)
    if stage.downsample is None:
        return _spread(tokens, where, batch, size).permute(0, 3, 1, 2)
    parents = merged(kept)
    where = parents.flatten().nonzero()[:, 0]
    children = _children(kept, parents)  # (T', 4)
    zero = tokens.new_zeros(1, channels)
    tokens = torch.cat([tokens, zero]).index_select(0, children.flatten()).view(-1, 4 * channels)
    merging = cast(PatchMergingV2, stage.downsample)
    tokens = merging.reduction(merging.norm(tokens))
    return _spread(tokens, where, batch, parents.shape[2:]).permute(0, 3, 1, 2)


def merged(kept: Tensor) -> Tensor:
    """Which tokens ``(B, 1, ceil(h / 2), ceil(w / 2))`` bool behind patch merging have a child that is kept."""
    return F.max_pool2d(kept.float(), 2, ceil_mode=True) > 0


def _children(kept: Tensor, parents: Tensor) -> Tensor:
    """``(T', 4)``: which of the T kept tokens go into each merged one, in MONAI's order; T where one is not kept."""
    total = int(kept.sum())
    numbers = torch.full(kept.shape, total, device=kept.device)
    numbers[kept] = torch.arange(total, device=kept.device)
    rows, columns = kept.shape[2:]
    numbers = F.pad(numbers, (0, columns % 2, 0, rows % 2), value=total)
    four = [numbers[..., j::2, i::2] for i in range(2) for j in range(2)]
    return torch.stack(four, dim=-1)[parents]


def _spread(tokens: Tensor, where: Tensor, batch: int, size: Sequence[int]) -> Tensor:
    """Kept tokens ``(T, C)`` to ``(B, h, w, C)`` with zeros between."""
    maps = tokens.new_zeros(batch * size[0] * size[1], tokens.shape[1])
    return maps.index_copy(0, where, tokens).view(batch, *size, -1)


def is_hooked(part: nn.Module) -> bool:
    """Whether a hook waits on ``part`` itself."""
    return bool(part._forward_hooks or part._forward_pre_hooks or part._backward_hooks or part._backward_pre_hooks)


def _run_block(block: SwinTransformerBlock, tokens: Tensor, windows: Windows, batch: int) -> Tensor:
    for half in (_attend, _transform):
        if block.use_checkpoint:
            tokens = checkpoint(half, block, tokens, windows, batch, use_reentrant=False)
        else:
            tokens = half(block, tokens, windows, batch)
    return tokens


def _attend(block: SwinTransformerBlock, tokens: Tensor, windows: Windows, batch: int) -> Tensor:
    attention, norm = block.attn, block.norm1
    bias = _position_bias(attention)
    how = _How(norm.eps, _compute_dtype(tokens), _kept_share(block, windows, batch, tokens))
    return _Attention.apply(
        tokens, norm.weight, norm.bias, attention.qkv.weight, attention.qkv.bias, bias,
        attention.proj.weight, attention.proj.bias, windows, how,
    )  # fmt: skip


def _transform(block: SwinTransformerBlock, tokens: Tensor, windows: Windows, batch: int) -> Tensor:
    mlp, norm = block.mlp, block.norm2
    how = _How(norm.eps, _compute_dtype(tokens), _kept_share(block, windows, batch, tokens))
    return _Perceptron.apply(
        tokens, norm.weight, norm.bias, mlp.linear1.weight, mlp.linear1.bias, mlp.linear2.weight, mlp.linear2.bias, how
    )


class _How(NamedTuple):
    """Settings of half a block.

    Attributes:
        eps: of its layer norm.
        dtype: of matrix products.
        kept: ``(T, 1)``, what the branch is multiplied by for stochastic depth; None for 1.
    """

    eps: float
    dtype: torch.dtype
    kept: Tensor | None


def _compute_dtype(tokens: Tensor) -> torch.dtype:
    kind = tokens.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else tokens.dtype


def _kept_share(block: SwinTransformerBlock, windows: Windows, batch: int, tokens: Tensor) -> Tensor | None:
    if isinstance(block.drop_path, nn.Identity) or not block.training:
        return None
    shares = block.drop_path(tokens.new_ones(batch, 1))
    return shares.index_select(0, windows.image)


def _position_bias(attention: WindowAttention) -> Tensor:
    """``(heads, N, N)`` of a full window."""
    index = cast(Tensor, attention.relative_position_index)
    return (
        attention.relative_position_bias_table[index.reshape(-1)].view(*index.shape, -1).permute(2, 0, 1).contiguous()
    )


_ONEDNN: tuple[torch.dtype, ...] = ()
if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
    _ONEDNN = (torch.float32,)
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():  # not on every CPU
        _ONEDNN = (torch.float32, torch.bfloat16)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.mT + bias``; on a CPU by oneDNN, up to 1.5 times as fast as MKL, which PyTorch takes for float32."""
    if x.device.type == "cpu" and x.dtype in _ONEDNN:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return product
    return F.linear(x, weight, bias)


class _Attention(torch.autograd.Function):
    """``tokens + scatter(proj(attention(qkv(gather(norm(tokens))))))``."""

    @staticmethod
    def forward(
        ctx: Any,
        tokens: Tensor,
        gain: Tensor,
        offset: Tensor,
        qkv_weight: Tensor,
        qkv_bias: Tensor,
        bias: Tensor,
        proj_weight: Tensor,
        proj_bias: Tensor,
        windows: Windows,
        how: _How,
    ) -> Tensor:
        with torch.autocast(tokens.device.type, enabled=False):
            normal, mean, rstd = _norm(tokens, gain, offset, how.eps)
            normal = windows.gather(normal.to(how.dtype))
            qkv = _linear(normal, qkv_weight.to(how.dtype), qkv_bias.to(how.dtype))
            # In half precision maps are small, and computing them again costs more of a step.
            keep = any(ctx.needs_input_grad) and how.dtype in (torch.bfloat16, torch.float16)
            attended, maps = attend(qkv, bias, windows.chunks, keep=keep)
            branch = windows.scatter(_linear(attended, proj_weight.to(how.dtype), proj_bias.to(how.dtype)))
            if any(ctx.needs_input_grad):
                ctx.save_for_backward(tokens, mean, rstd, gain, offset, qkv, bias, qkv_weight, proj_weight, *maps)
                ctx.windows, ctx.how = windows, how
            return _added(tokens, branch, how)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        [grad] = grads
        tokens, mean, rstd, gain, offset, qkv, bias, qkv_weight, proj_weight, *maps = ctx.saved_tensors
        windows, how = ctx.windows, ctx.how
        with torch.autocast(grad.device.type, enabled=False):
            branch = windows.gather(_branch_grad(grad, how))
            attended_grad = _linear(branch, proj_weight.to(how.dtype).mT)
            qkv_grad, bias_grad, attended = attend_backward(attended_grad, qkv, bias, windows.chunks, maps)
            proj_weight_grad, proj_bias_grad = branch.mT @ attended, branch.sum(0)
            normal = _norm(tokens, gain, offset, how.eps)[0]
            normal = windows.gather(normal.to(how.dtype))
            qkv_weight_grad, qkv_bias_grad = qkv_grad.mT @ normal, qkv_grad.sum(0)
            normal_grad = windows.scatter(_linear(qkv_grad, qkv_weight.to(how.dtype).mT))
            tokens_grad, gain_grad, offset_grad = _norm_backward(normal_grad, tokens, mean, rstd, gain, offset)
            tokens_grad += grad
        kind = gain.dtype
        return (
            tokens_grad, gain_grad, offset_grad, qkv_weight_grad.to(kind), qkv_bias_grad.to(kind), bias_grad,
            proj_weight_grad.to(kind), proj_bias_grad.to(kind), None, None,
        )  # fmt: skip


class _Perceptron(torch.autograd.Function):
    """``tokens + linear2(gelu(linear1(norm(tokens))))``."""

    @staticmethod
    def forward(
        ctx: Any,
        tokens: Tensor,
        gain: Tensor,
        offset: Tensor,
        weight1: Tensor,
        bias1: Tensor,
        weight2: Tensor,
        bias2: Tensor,
        how: _How,
    ) -> Tensor:
        with torch.autocast(tokens.device.type, enabled=False):
            normal, mean, rstd = _norm(tokens, gain, offset, how.eps)
            weight1, weight2 = weight1.to(how.dtype), weight2.to(how.dtype)
            hidden = _linear(normal.to(how.dtype), weight1, bias1.to(how.dtype))
            del normal
            if any(ctx.needs_input_grad):
                ctx.save_for_backward(tokens, mean, rstd, gain, offset, weight1, weight2, hidden)
                ctx.how = how
            branch = _linear(F.gelu(hidden), weight2, bias2.to(how.dtype))
            return _added(tokens, branch, how)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        [grad] = grads
        tokens, mean, rstd, gain, offset, weight1, weight2, hidden = ctx.saved_tensors
        how = ctx.how
        with torch.autocast(grad.device.type, enabled=False):
            branch = _branch_grad(grad, how)
            active = F.gelu(hidden)
            weight2_grad, bias2_grad = branch.mT @ active, branch.sum(0)
            active = _linear(branch, weight2.mT)
            hidden_grad = torch.ops.aten.gelu_backward.grad_input(active, hidden, grad_input=active)
            normal = _norm(tokens, gain, offset, how.eps)[0].to(how.dtype)
            weight1_grad, bias1_grad = hidden_grad.mT @ normal, hidden_grad.sum(0)
            normal = _linear(hidden_grad, weight1.mT)
            tokens_grad, gain_grad, offset_grad = _norm_backward(normal, tokens, mean, rstd, gain, offset)
            tokens_grad += grad
        kind = gain.dtype
        return (
            tokens_grad, gain_grad, offset_grad, weight1_grad.to(kind), bias1_grad.to(kind), weight2_grad.to(kind),
            bias2_grad.to(kind), None,
        )  # fmt: skip


def _added(tokens: Tensor, branch: Tensor, how: _How) -> Tensor:
    if how.kept is not None:
        branch = branch.mul_(how.kept.to(branch.dtype))
    return branch.add_(tokens) if branch.dtype == tokens.dtype else tokens + branch


def _branch_grad(grad: Tensor, how: _How) -> Tensor:
    if how.kept is not None:
        grad = grad * how.kept
    return grad.to(how.dtype)


def _norm(tokens: Tensor, gain: Tensor, offset: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Layer norm with means and reciprocal deviations."""
    tokens = _as_weights(tokens, gain)
    found: tuple[Tensor, Tensor, Tensor] = torch.native_layer_norm(tokens, tokens.shape[1:], gain, offset, eps)
    return found


def _as_weights(tokens: Tensor, gain: Tensor) -> Tensor:
    """Tokens in the type of the weights, which CUDA's layer norm demands and the CPU's does not."""
    return tokens if tokens.device.type == "cpu" else tokens.to(gain.dtype)


def _norm_backward(
    grad: Tensor, tokens: Tensor, mean: Tensor, rstd: Tensor, gain: Tensor, offset: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    tokens = _as_weights(tokens, gain)
    grads: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.native_layer_norm_backward(
        grad.to(tokens.dtype), tokens, tokens.shape[1:], mean, rstd, gain, offset, [True, True, True]
    )
    return grads
