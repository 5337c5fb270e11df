"""Cross-entropy of cumulative risks whose outcome is known: years behind the end of follow-up do not count."""

from torch import Tensor, nn
from torch.nn import functional as F

from .multi_task import MISSING


class CumulativeRiskLoss(nn.Module):
    r"""Mean of the binary cross-entropy over the years of all images whose outcome is known.

    .. math:: L = \frac{\sum_{bk} m_{bk} \operatorname{BCE}(p_{bk}, y_{bk})}{\sum_{bk} m_{bk}}

    y is 1 where a cancer was diagnosed within k years of image b, m 0 where follow-up ends before year k without one
    (censoring; Yala et al. 2021, doi 10.1126/scitranslmed.aba4373). All years of a woman with cancer are known. A batch
    of which nothing is known gives 0, and stays part of the graph.

    Shape:
        - logits: ``(B, 2 K)``, a pair for each year, see :class:`~mammo.networks.RiskClassifier`.
        - labels: ``(B, K)`` int64, 0 or 1, -1 where the outcome is not known.
        - output: scalar, 0 or more.

    Raises:
        ValueError: shapes that do not fit.
    """

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        if labels.ndim != 2 or logits.shape != (labels.shape[0], 2 * labels.shape[1]):
            raise ValueError(
                f"expected labels (B, K) and logits (B, 2 K); got {tuple(labels.shape)} and {tuple(logits.shape)}"
            )
        pairs = logits.reshape(-1, 2)  # (B K, 2)
        total = F.cross_entropy(pairs, labels.reshape(-1), ignore_index=MISSING, reduction="sum")
        return total / (labels != MISSING).sum().clamp(min=1)
