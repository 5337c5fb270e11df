"""Networks that follow another one slowly, and the views that both look at."""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn

__all__ = ["follow", "frozen_copy", "image_of_view"]

Network = TypeVar("Network", bound=nn.Module)


def frozen_copy(network: Network) -> Network:
    """A copy of ``network`` that no gradient reaches."""
    return deepcopy(network).requires_grad_(False)


@torch.no_grad()
def follow(slow: nn.Module, fast: nn.Module, momentum: float) -> None:
    """Move the weights of ``slow`` to ``momentum * slow + (1 - momentum) * fast``; buffers stay its own.

    Args:
        slow: of the same layout as ``fast``.
        fast: the network that is trained.
        momentum: 0 copies ``fast``, 1 leaves ``slow`` as it is.
    """
    for mine, other in zip(slow.parameters(), fast.parameters(), strict=True):
        mine.lerp_(other, 1 - momentum)


def image_of_view(view: Tensor, channels: int) -> Tensor:
    """The image ``(B, channels, H, W)`` of a view, which may have the breast mask behind it as one channel more.

    Raises:
        ValueError: for a view of other channels.
    """
    if view.ndim != 4 or view.shape[1] not in (channels, channels + 1):
        raise ValueError(
            f"a view is (B, {channels}, H, W), or (B, {channels + 1}, H, W) with the breast mask last; "
            f"got {tuple(view.shape)}"
        )
    return view[:, :channels]
