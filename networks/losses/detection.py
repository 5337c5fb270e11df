"""The objective of a lesion detector, whose losses are computed inside the network."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class DetectionObjective(nn.Module):
    """Sum of a detector's losses, with its parts kept for the log, and of a spectral penalty.

    Args:
        box_weight: of the box regression against the classification, 0 or more.
        spectral: without arguments, such as :class:`SpectralNormPenalty`; None leaves it out.

    Attributes:
        parts: the detached terms of the last call, weighted as they were added, by name.

    Shape:
        - losses: ``{"classification": scalar, "box_regression": scalar}``, as
          :class:`~mammo.networks.LesionDetector` gives them in training.
        - targets: not looked at; they were matched inside the network.
        - output: scalar.
    """

    def __init__(self, box_weight: float = 1.0, spectral: nn.Module | None = None) -> None:
        super().__init__()
        self.box_weight = box_weight
        self.spectral = spectral
        self.parts: dict[str, Tensor] = {}

    def forward(self, losses: Mapping[str, Tensor], targets: Sequence[Any]) -> Tensor:
        terms = {
            "classification": losses["classification"],
            "box_regression": self.box_weight * losses["box_regression"],
        }
        if self.spectral is not None:
            terms["spectral"] = self.spectral()
        self.parts = {name: term.detach() for name, term in terms.items()}
        return torch.stack(list(terms.values())).sum()
