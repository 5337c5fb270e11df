"""Embeddings of all processes of a distributed run, with the gradient back to each."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, distributed

__all__ = ["filled_up", "gather_with_gradient"]


def gather_with_gradient(x: Tensor) -> Tensor:
    """Rows of all processes in the order of their ranks; each process gets the gradients of all for its own rows.

    Where every process takes the mean loss of its own rows against the gathered ones, the mean over processes that
    DistributedDataParallel takes of the weights' gradients is the gradient of the loss on the joined batch. All
    processes must call it together, each with as many rows, and all or none of them go backward. Whole numbers are
    gathered as well.

    Shape:
        - x: ``(B, ...)``.
        - output: ``(processes * B, ...)``; x itself where no process group is initialised.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return x
    return cast(Tensor, _Gather.apply(x))


def filled_up(x: Tensor, value: int) -> Tensor:
    """Make the last dimension as long as the longest of all processes, which must call it together.

    Shape:
        - x: ``(..., S)``.
        - output: ``(..., S')``, ended by ``value``; x itself where no process group is initialised.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return x
    longest = torch.tensor(x.shape[-1], device=x.device)
    distributed.all_reduce(longest, distributed.ReduceOp.MAX)
    return torch.nn.functional.pad(x, (0, int(longest) - x.shape[-1]), value=value)


class _Gather(torch.autograd.Function):
    # torch.distributed.nn.functional.all_gather is this, but deprecated, and what replaces it is not public.

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous()
        parts = [torch.empty_like(x) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, x)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # Embeddings are small: summing them whole costs little, and works on gloo, which scatters no sums.
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(gradient)
        return gradient.chunk(distributed.get_world_size())[distributed.get_rank()]
