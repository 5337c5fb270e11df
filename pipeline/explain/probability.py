"""Probabilities of a classifier's first task, the one that is explained."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...networks import MammogramClassifier

Probabilities = Callable[[Tensor], Tensor]
"""From images ``(B, 2, H, W)`` to class probabilities ``(B, K)``."""


def first_task(network: MammogramClassifier) -> Probabilities:
    """Class probabilities of the first task, without gradient."""
    classes = next(iter(network.tasks.values()))

    def probabilities(images: Tensor) -> Tensor:
        with torch.no_grad():
            return network(images)[:, :classes].softmax(dim=1)

    return probabilities


def in_batches(probabilities: Probabilities, images: Tensor, batch: int) -> Tensor:
    """``probabilities`` of many images, ``batch`` at a time."""
    return torch.cat([probabilities(part) for part in images.split(batch)])
