"""The loss of images that are mixtures of two."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

__all__ = ["MixedLabels", "MixedObjective"]


class MixedLabels(NamedTuple):
    """Labels of a batch of mixtures.

    Attributes:
        first: ``(B, T)`` int64, of the images that have ``share``.
        second: ``(B, T)``, of those that were mixed in.
        share: of the first, in [0, 1].
    """

    first: Tensor
    second: Tensor
    share: float


class MixedObjective(nn.Module):
    """A loss of logits and labels, for mixtures the mean over both labels by their shares.

    Args:
        objective: such as :class:`MultiTaskCrossEntropy`.

    Attributes:
        parts: ``classification``, the detached loss of the last call.

    Shape:
        - logits: ``(B, K)``; labels: ``(B, T)`` or :class:`MixedLabels`.
        - output: scalar.
    """

    def __init__(self, objective: nn.Module) -> None:
        super().__init__()
        self.objective = objective
        self.parts: dict[str, Tensor] = {}

    def forward(self, logits: Tensor, labels: Tensor | MixedLabels) -> Tensor:
        if isinstance(labels, MixedLabels):
            first, second = self.objective(logits, labels.first), self.objective(logits, labels.second)
            loss: Tensor = labels.share * first + (1 - labels.share) * second
        else:
            loss = self.objective(logits, labels)
        self.parts = {"classification": loss.detach()}
        return loss
