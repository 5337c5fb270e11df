"""Risk of cancer over the years after a mammogram: an additive-hazard head on the mammogram classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .classifier import MammogramClassifier
from .swin import SwinEncoder


class AdditiveHazard(nn.Module):
    r"""Log-odds of cancer within 1 to K years that cannot fall with time (Yala et al. 2021, Mirai).

    .. math:: \operatorname{logit} P(t < k) = b(z) + \sum_{j=1}^{k} \operatorname{ReLU}(h_j(z)), \quad k = 1 \dots K

    with linear b and h (doi 10.1126/scitranslmed.aba4373).

    Shape:
        - features: ``(B, C)``.
        - output: ``(B, 2 K)``: for each year 0 and the log-odds, so that a softmax over the pair gives the probability
          of no cancer and of cancer within that year.
    """

    def __init__(self, in_channels: int, years: int = 5) -> None:
        super().__init__()
        self.base = nn.Linear(in_channels, 1)
        self.hazard = nn.Linear(in_channels, years)
        for layer in (self.base, self.hazard):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        log_odds = self.base(features) + self.hazard(features).relu().cumsum(dim=1)  # (B, K)
        return torch.stack([torch.zeros_like(log_odds), log_odds], dim=-1).flatten(1)


class RiskClassifier(MammogramClassifier):
    """A mammogram classifier whose tasks are cancer within one year, two years and so on, never falling.

    Args:
        encoder: see :class:`MammogramClassifier`.
        tasks: two classes (0: no cancer by then, 1: cancer) for each year, in the order of the years.
        **options: the other arguments of :class:`MammogramClassifier`.

    Shape:
        - as :class:`MammogramClassifier`; logits ``(B, 2 K)`` for K years.

    Raises:
        ValueError: a task of other than two classes, and as :class:`MammogramClassifier`.
    """

    def __init__(self, encoder: SwinEncoder, tasks: Mapping[str, int], **options: Any) -> None:
        super().__init__(encoder, tasks, **options)
        if any(classes != 2 for classes in self.tasks.values()):
            raise ValueError(f"each year of risk is a task of two classes, cancer by then or not; got {self.tasks}")
        # In the place of a linear map: the rest of the network only calls it.
        self.head = AdditiveHazard(encoder.out_channels, len(self.tasks))  # type: ignore[assignment]
