"""Gradient caching: embeddings of a large batch in chunks, in the memory of one chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

__all__ = ["in_chunks"]


def in_chunks(network: nn.Module, function: Callable[..., Tensor], chunk: int, *inputs: Tensor) -> Tensor:
    """Outputs of ``function`` for a batch, of which the backward pass holds one chunk at a time.

    Gradient caching (GradCache: Gao et al. 2021, arXiv:2101.06983) by PyTorch's checkpointing: the forward pass keeps
    the outputs alone, the loss sees them all, and the backward pass runs each chunk forward again, with the random
    numbers and the autocast of the first time, before its gradients go through. The gradients are those of a pass in
    chunks that keeps everything, for about a third more time. As all that happens within one forward and one backward
    pass, trainers, loss scaling and DistributedDataParallel know nothing of it.

    Batch norm in training takes the statistics of a chunk, where it would take those of the batch; its running means
    follow the first pass alone.

    Args:
        network: whose batch norms ``function`` runs.
        function: of as many tensors as there are inputs, each ``(chunk, ...)``, to one tensor ``(chunk, ...)``; the
            images of a batch must not look at each other otherwise than by batch norm.
        chunk: images at a time.
        inputs: tensors ``(B, ...)``.

    Returns:
        Tensor ``(B, ...)``.

    Raises:
        ValueError: for a chunk below 1.
    """
    if chunk < 1:
        raise ValueError(f"chunk must be 1 image or more, got {chunk}; None takes the whole batch at once")
    contexts = partial(_contexts, network)
    parts = zip(*(values.split(chunk) for values in inputs), strict=True)
    return torch.cat([checkpoint(function, *part, use_reentrant=False, context_fn=contexts) for part in parts])


def _contexts(network: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _still_statistics(network)


@contextmanager
def _still_statistics(network: nn.Module) -> Iterator[None]:
    """Let batch norms see a batch without counting it."""
    norms = [part for part in network.modules() if isinstance(part, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
