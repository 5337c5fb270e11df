"""MONAI's own Swin block where attention sees kept tokens only: the dense form of what ``fast_swin`` computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from monai.networks.nets.swin_unetr import (
    SwinTransformerBlock,
    WindowAttention,
    compute_mask,
    get_window_size,
    window_partition,
)
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["run_masked_block"]

_NOT_KEPT = -1e4
"""Score of a token that is not kept: its weight is 0 in every precision."""


def run_masked_block(block: SwinTransformerBlock, maps: Tensor, kept: Tensor) -> Tensor:
    """Run ``block`` on whole maps, with the scores of all tokens that are not kept, and of padding, masked.

    Hooks see what they always see. Recorded attention is 0 in the rows and columns of tokens that are not kept.

    Args:
        block: of MONAI.
        maps: ``(B, h, w, C)``.
        kept: ``(B, h, w)`` bool.

    Returns:
        ``(B, h, w, C)``, 0 where a token is not kept.
    """
    window, shift = get_window_size(kept.shape[1:], block.window_size, block.shift_size)
    rows, columns = (-(-length // side) * side for length, side in zip(kept.shape[1:], window, strict=True))
    there = F.pad(kept, (0, columns - kept.shape[2], 0, rows - kept.shape[1]))
    there = there.roll((-shift[0], -shift[1]), dims=(1, 2))[..., None]
    there = window_partition(there, window)[..., 0].flatten(1)  # (B windows, N)
    mask = maps.new_zeros(*there.shape, there.shape[1]).masked_fill_(~there[:, None], _NOT_KEPT)
    if any(shift):
        mask += compute_mask([rows, columns], window, shift, maps.device).repeat(len(kept), 1, 1)
    checkpointed, block.use_checkpoint = block.use_checkpoint, False  # computed again, it would miss the mask
    try:
        with _attention_mask(block.attn, mask, there):
            result: Tensor = block(maps, None)
    finally:
        block.use_checkpoint = checkpointed
    return result * kept[..., None]


@contextmanager
def _attention_mask(attention: WindowAttention, mask: Tensor, there: Tensor) -> Iterator[None]:
    def put_mask(module: nn.Module, inputs: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return inputs, options | {"mask": mask}

    def keep(module: nn.Module, inputs: Any, maps: Tensor) -> Tensor:
        return maps * (there[:, None, :, None] & there[:, None, None])

    handles = [
        attention.register_forward_pre_hook(put_mask, with_kwargs=True),
        attention.softmax.register_forward_hook(keep, prepend=True),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
