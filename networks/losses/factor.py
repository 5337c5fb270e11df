"""Contrastive loss of Mammo-FActOR: an image with an attribute against the images of the batch without it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .multi_task import MISSING

__all__ = ["FActORLoss"]


class FActORLoss(nn.Module):
    r"""Loss of image scores by attribute (Mammo-FActOR, arXiv:2405.12255, after ViLLA, arXiv:2308.11194).

    .. math:: -\frac{1}{|P|} \sum_{(b, a) \in P} \log \frac{e^{s_{ba}}}{e^{s_{ba}} + \sum_{b' \in N_a} e^{s_{b'a}}}

    over the pairs P of an image and an attribute that it has; :math:`N_a` are the images of the batch without
    attribute a. A batch without such a pair gives 0, and still a gradient, of 0.

    Args:
        published: the released code's denominator: it puts 1 in for every image that has the attribute, so that the
            loss of a pair stays above 0 even where there is nothing to tell it from.

    Shape:
        - scores: ``(B, A)``, such as :class:`FActOR` gives, already divided by the temperature.
        - labels: ``(B, A)``, 1 the image has the attribute, 0 it has not, -1 unknown: counted neither way.
        - output: scalar, 0 or more.

    Raises:
        ValueError: shapes differ, or a label is none of these.
    """

    def __init__(self, published: bool = False) -> None:
        super().__init__()
        self.published = published

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        if scores.ndim != 2 or scores.shape != labels.shape:
            raise ValueError(
                f"expected scores and labels (B, A) alike, got {tuple(scores.shape)} and {tuple(labels.shape)}"
            )
        positive, negative = labels == 1, labels == 0
        if not bool((positive | negative | (labels == MISSING)).all()):
            raise ValueError(f"labels must be 1, 0 or {MISSING}, got {labels.unique().tolist()}")
        others = scores.masked_fill(~negative, -torch.inf)
        if self.published:
            # The released code multiplies scores by "is negative": the others stay in the sum as e^0.
            others = torch.cat([others, scores.new_zeros(scores.shape).masked_fill(~positive, -torch.inf)])
        margins = scores[positive] - others.logsumexp(dim=0).expand_as(scores)[positive]
        return -F.logsigmoid(margins).sum() / positive.sum().clamp(min=1)
