"""DeLong's test for two AUCs on the same images, a cross-check of the paired bootstrap."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

from .discrimination import check_two_classes


@dataclass(frozen=True)
class DeLong:
    """Two AUCs, the standard error of their difference and its two-sided p value.

    ``standard_error`` is 0 and ``p_value`` 1 where both models rank alike.
    """

    auc_a: float
    auc_b: float
    standard_error: float
    p_value: float


def delong(labels: ArrayLike, scores_a: ArrayLike, scores_b: ArrayLike, patients: ArrayLike | None = None) -> DeLong:
    """Compare two models by DeLong et al. 1988, with the midranks of Sun and Xu 2014.

    Args:
        labels: ``(n,)`` of 0 and 1.
        scores_a: ``(n,)`` scores of the first model.
        scores_b: ``(n,)`` scores of the second on the same rows.
        patients: ``(n,)``, the patient of each row. Given, the variance is that of clustered data (Obuchowski
            1997); left out, every row counts as independent, which several images of one patient are not.

    Raises:
        ValueError: lengths differ, a class is absent, or fewer than two patients (rows) hold a class.
    """
    truth, first = check_two_classes(labels, scores_a)
    second = check_two_classes(labels, scores_b)[1]
    owner = np.arange(truth.size) if patients is None else np.unique(np.asarray(patients), return_inverse=True)[1]
    components = [_components(truth, scores) for scores in (first, second)]
    auc_a, auc_b = (positive.mean() for positive, _ in components)
    # Everything is linear in the components, so the variance of the difference needs only their differences.
    positive = components[0][0] - components[1][0]
    negative = components[0][1] - components[1][1]
    gap = float(auc_a - auc_b)
    error = float(np.sqrt(_clustered_variance(positive - gap, negative - gap, truth, owner)))
    p_value = float(2 * norm.sf(abs(gap) / error)) if error > 0 else float(gap == 0)
    return DeLong(float(auc_a), float(auc_b), error, p_value)


def _components(truth: NDArray[np.intp], scores: NDArray[np.float64]) -> tuple[np.ndarray, np.ndarray]:
    """For each positive the share of negatives below it, for each negative that of positives above."""
    positive, negative = scores[truth == 1], scores[truth == 0]
    ranks = rankdata(np.r_[positive, negative])
    m, n = len(positive), len(negative)
    return (ranks[:m] - rankdata(positive)) / n, 1 - (ranks[m:] - rankdata(negative)) / m


def _clustered_variance(
    positive: np.ndarray, negative: np.ndarray, truth: NDArray[np.intp], owner: NDArray[np.intp]
) -> float:
    """Obuchowski's variance from centred components; DeLong's where each row is its own patient."""
    sums = [
        np.bincount(owner[truth == value], part, minlength=owner.max() + 1)
        for value, part in ((1, positive), (0, negative))
    ]
    holders = [np.unique(owner[truth == value]).size for value in (1, 0)]
    if min(holders) < 2:
        raise ValueError(f"DeLong needs two patients of each class, got {holders[0]} positive, {holders[1]} negative")
    sizes = len(positive), len(negative)
    own = sum(k / (k - 1) * (s @ s) / size**2 for k, s, size in zip(holders, sums, sizes, strict=True))
    everybody = np.unique(owner).size
    shared = everybody / (everybody - 1) * (sums[0] @ sums[1]) / (sizes[0] * sizes[1])
    return max(float(own + 2 * shared), 0.0)
