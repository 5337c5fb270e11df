"""Area under the ROC curve over several classes, of which validation may lack some."""

from __future__ import annotations

from monai.metrics import ROCAUCMetric
from sklearn.metrics import roc_auc_score
from torch import Tensor


class MacroAUC(ROCAUCMetric):
    """:func:`macro_auc` of what MONAI's metric gathers of all processes, for its ``IgniteMetricHandler``."""

    def aggregate(self, average: object = None) -> float:
        """The figure, from one-hot labels and class probabilities ``(N, K)``; ``average`` plays no part."""
        return macro_auc(*self.get_buffer())


def macro_auc(probabilities: Tensor, labels: Tensor) -> float:
    """Mean over classes of the area under the ROC curve of the class against all others, or over labels of many.

    A class that all labels hold, or none, does not count; MONAI's and scikit-learn's figures are then undefined, and
    no epoch would be the best. With all classes there it equals scikit-learn's ``multi_class="ovr"``.

    Args:
        probabilities: ``(N, K)``.
        labels: ``(N, K)`` of {0, 1}; one-hot for classes, and any number of ones a row for many labels at once.

    Returns:
        0 to 1, chance 0.5.

    Raises:
        ValueError: no column has both ones and zeros.
    """
    truth, scores = (labels > 0).cpu().numpy(), probabilities.cpu().numpy()
    counts = truth.sum(axis=0).tolist()
    ranked = [k for k, count in enumerate(counts) if 0 < count < len(truth)]
    if not ranked:
        raise ValueError(f"labels per class are {counts}: an area under the curve needs two classes")
    areas = [roc_auc_score(truth[:, k], scores[:, k]) for k in ranked]
    return float(sum(areas) / len(areas))
