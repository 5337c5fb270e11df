"""Area under the ROC curve over several classes, of which validation may lack some."""

from __future__ import annotations

import torch
from monai.metrics import ROCAUCMetric
from sklearn.metrics import roc_auc_score
from torch import Tensor


class MacroAUC(ROCAUCMetric):
    """:func:`macro_auc` of what MONAI's metric gathers of all processes, for its ``IgniteMetricHandler``."""

    def aggregate(self, average: object = None) -> float:
        """The figure, from one-hot labels and class probabilities ``(N, K)``; ``average`` plays no part."""
        probabilities, one_hot = self.get_buffer()
        return macro_auc(probabilities, one_hot.argmax(dim=1))


def macro_auc(probabilities: Tensor, labels: Tensor) -> float:
    """Mean over classes of the area under the ROC curve of the class against all others.

    A class that all labels hold, or none, does not count; MONAI's and scikit-learn's figures are then undefined, and
    no epoch would be the best. With all classes there it equals scikit-learn's ``multi_class="ovr"``.

    Args:
        probabilities: ``(N, K)``.
        labels: ``(N,)`` int64, 0 to K - 1.

    Returns:
        0 to 1, chance 0.5.

    Raises:
        ValueError: labels of one class only.
    """
    truth = labels.flatten().cpu()
    counts = torch.bincount(truth, minlength=probabilities.shape[1])
    ranked = [k for k, count in enumerate(counts.tolist()) if 0 < count < len(truth)]
    if not ranked:
        raise ValueError(f"labels per class are {counts.tolist()}: an area under the curve needs two classes")
    areas = [roc_auc_score((truth == k).numpy(), probabilities[:, k].cpu().numpy()) for k in ranked]
    return float(sum(areas) / len(areas))
