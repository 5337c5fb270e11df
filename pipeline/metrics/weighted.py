"""Statistics as functions of row weights ``(D, n)``, all bootstrap draws at once.

Each function prepares what does not depend on the weights (sorting, bins) and returns a
:data:`~mammo.pipeline.metrics.intervals.Statistic`. With weights of one they equal scikit-learn's figures.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .intervals import Statistic

Floats = NDArray[np.float64]


class ThresholdSweep:
    """Weighted true and false positives at every distinct score, highest first.

    Calling it with weights ``(D, n)`` gives two ``(D, U)`` arrays, U the number of distinct scores: a row
    counts as positive where its score reaches the threshold. Tied scores move together, so their order
    cannot matter.

    Args:
        labels: ``(n,)`` of 0 and 1.
        scores: ``(n,)``, higher is more suspicious.
    """

    def __init__(self, labels: ArrayLike, scores: ArrayLike) -> None:
        values = np.asarray(scores, dtype=np.float64)
        self.order = np.argsort(-values, kind="stable")
        ranked = values[self.order]
        self.starts = np.flatnonzero(np.r_[True, np.diff(ranked) != 0])
        self.thresholds = ranked[self.starts]
        self.positive = np.asarray(labels)[self.order] == 1

    def __call__(self, weights: Floats) -> tuple[Floats, Floats]:
        ranked = weights[:, self.order]
        true = np.add.reduceat(ranked * self.positive, self.starts, axis=1)
        false = np.add.reduceat(ranked * ~self.positive, self.starts, axis=1)
        return true.cumsum(axis=1), false.cumsum(axis=1)


def weighted_auc(labels: ArrayLike, scores: ArrayLike) -> Statistic:
    """Area under the ROC curve by trapezoids; NaN where a draw holds one class only."""
    sweep = ThresholdSweep(labels, scores)

    def statistic(weights: Floats) -> Floats:
        true, false = sweep(weights)
        steps = np.diff(false, axis=1, prepend=0.0)
        heights = true - np.diff(true, axis=1, prepend=0.0) / 2
        return ratio((steps * heights).sum(axis=1), true[:, -1] * false[:, -1])

    return statistic


def weighted_average_precision(labels: ArrayLike, scores: ArrayLike) -> Statistic:
    """Average precision, the step-wise sum of scikit-learn; NaN where a draw holds no positive."""
    sweep = ThresholdSweep(labels, scores)

    def statistic(weights: Floats) -> Floats:
        true, false = sweep(weights)
        precision = np.nan_to_num(ratio(true, true + false))  # nothing flagged yet: its step is 0 anyway
        gained = np.diff(true, axis=1, prepend=0.0)
        return ratio((gained * precision).sum(axis=1), true[:, -1])

    return statistic


def weighted_sensitivity_at(labels: ArrayLike, scores: ArrayLike, specificity: float) -> Statistic:
    """Highest sensitivity on each draw's own ROC curve whose specificity is at least the one given."""
    sweep = ThresholdSweep(labels, scores)

    def statistic(weights: Floats) -> Floats:
        true, false = sweep(weights)
        allowed = false <= (1 - specificity) * false[:, -1:] + 1e-9
        best = np.where(allowed, true, 0.0).max(axis=1)
        return np.where(false[:, -1] > 0, ratio(best, true[:, -1]), np.nan)

    return statistic


def weighted_specificity_at(labels: ArrayLike, scores: ArrayLike, sensitivity: float) -> Statistic:
    """Highest specificity on each draw's own ROC curve whose sensitivity is at least the one given, above 0."""
    sweep = ThresholdSweep(labels, scores)

    def statistic(weights: Floats) -> Floats:
        true, false = sweep(weights)
        enough = true >= sensitivity * true[:, -1:] - 1e-9
        least = np.where(enough, false, np.inf).min(axis=1)
        return np.where(true[:, -1] > 0, 1 - ratio(least, false[:, -1]), np.nan)

    return statistic


def weighted_probabilistic_f1(labels: ArrayLike, probabilities: ArrayLike) -> Statistic:
    """Probabilistic F1 of RSNA 2022; plain F1 where ``probabilities`` are 0 or 1. NaN without a positive.

    See :func:`~mammo.pipeline.metrics.probabilistic_f1`.
    """
    truth = (np.asarray(labels) == 1).astype(np.float64)
    values = np.asarray(probabilities, dtype=np.float64)

    def statistic(weights: Floats) -> Floats:
        positives = weights @ truth
        score = ratio(2 * (weights @ (values * truth)), weights @ values + positives)
        return np.where(positives > 0, score, np.nan)

    return statistic


def net_benefit_on_grid(labels: ArrayLike, probabilities: ArrayLike, grid: Floats) -> Statistic:
    """Net benefit ``(D, G)`` of acting where the probability reaches each value of ``grid``, inside (0, 1).

    See :func:`~mammo.pipeline.metrics.decision_curve`.
    """
    truth = np.asarray(labels) == 1
    called = np.asarray(probabilities, dtype=np.float64)[:, None] >= grid[None]  # (n, G)
    gain = np.where(truth[:, None], 1.0, -grid / (1 - grid)) * called
    return lambda weights: ratio(weights @ gain, weights.sum(axis=1, keepdims=True))


def weighted_rate(counted: ArrayLike, among: ArrayLike) -> Statistic:
    """Share of the rows of ``among`` ``(n,)`` bool that are also ``counted`` ``(n,)`` bool."""
    below = np.asarray(among, dtype=np.float64)
    above = np.asarray(counted, dtype=np.float64) * below
    return lambda weights: ratio(weights @ above, weights @ below)


def weighted_mean(values: ArrayLike) -> Statistic:
    """Mean of the finite ``values`` ``(n,)``; rows with NaN count neither above nor below."""
    array = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(array)
    filled = np.where(finite, array, 0.0)
    return lambda weights: ratio(weights @ filled, weights @ finite)


def weighted_gap(labels: ArrayLike, probabilities: ArrayLike, bins: NDArray[np.intp]) -> Statistic:
    """Expected calibration error for given bin numbers ``(n,)``: ``sum_b |sum_b w (p - y)| / sum w``."""
    error = np.asarray(probabilities, dtype=np.float64) - np.asarray(labels, dtype=np.float64)
    member = (bins[:, None] == np.unique(bins)[None]) * error[:, None]  # (n, bins)
    return lambda weights: ratio(np.abs(weights @ member).sum(axis=1), weights.sum(axis=1))


def roc_on_grid(labels: ArrayLike, scores: ArrayLike, grid: Floats) -> Statistic:
    """Sensitivity ``(D, G)`` at false positive rates ``grid``, by straight lines between ROC points."""
    return _on_grid(ThresholdSweep(labels, scores), lambda t, f: np.interp(grid, f / f[-1], t / t[-1]), grid)


def precision_on_grid(labels: ArrayLike, scores: ArrayLike, grid: Floats) -> Statistic:
    """Precision ``(D, G)`` at the highest threshold whose recall reaches each value of ``grid``, all above 0."""

    def row(true: Floats, false: Floats) -> Floats:
        first = np.searchsorted(true, grid * true[-1] - 1e-9)
        return true[first] / (true[first] + false[first])

    return _on_grid(ThresholdSweep(labels, scores), row, grid)


def _on_grid(sweep: ThresholdSweep, row: Callable[[Floats, Floats], Floats], grid: Floats) -> Statistic:
    def statistic(weights: Floats) -> Floats:
        curves = np.full((len(weights), len(grid)), np.nan)
        for curve, true, false in zip(curves, *sweep(weights), strict=True):
            if true[-1] > 0 and false[-1] > 0:
                start = np.r_[0.0, true], np.r_[0.0, false]
                curve[:] = row(*start)
        return curves

    return statistic


def ratio(above: Floats, below: Floats) -> Floats:
    """``above / below``, NaN where ``below`` is 0."""
    missing = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    return np.divide(above, below, out=missing, where=below > 0)
