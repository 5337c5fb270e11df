"""How well probabilities tell positive from negative, at one threshold and over all of them."""

from dataclasses import dataclass

import numpy as np
from monai.utils import StrEnum
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score, roc_curve


class ThresholdRule(StrEnum):
    """How a threshold is chosen on validation data."""

    YOUDEN = "youden"  # greatest sensitivity + specificity - 1
    F1 = "f1"  # greatest F1, as RSNA 2022's competitors chose it
    SPECIFICITY = "specificity"  # most sensitive with at least this specificity
    SENSITIVITY = "sensitivity"  # most specific with at least this sensitivity


@dataclass(frozen=True)
class Confusion:
    """Counts at one threshold; undefined rates are NaN."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def sensitivity(self) -> float:
        """Share of the positives that are flagged."""
        return _share(self.true_positive, self.false_negative)

    @property
    def specificity(self) -> float:
        """Share of the negatives that are left alone."""
        return _share(self.true_negative, self.false_positive)

    @property
    def accuracy(self) -> float:
        """Share of the rows called rightly."""
        return _share(self.true_positive + self.true_negative, self.false_positive + self.false_negative)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of sensitivity and specificity."""
        return (self.sensitivity + self.specificity) / 2


def check_two_classes(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Labels as ints and scores as floats, ``(n,)`` each.

    Raises:
        ValueError: lengths differ, a label is not 0 or 1, a score is not finite, or a class is absent.
    """
    truth, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if truth.shape != values.shape or truth.ndim != 1:
        raise ValueError(f"labels {truth.shape} and scores {values.shape} must be two equally long lists")
    if not np.isin(truth, (0, 1)).all():
        raise ValueError("labels must be 0 or 1; leave out rows of unknown label (-1) first")
    if not np.isfinite(values).all():
        raise ValueError(f"{int((~np.isfinite(values)).sum())} scores are not finite numbers")
    absent = missing_class(truth)
    if absent:
        raise ValueError(absent)
    return truth.astype(np.intp), values


def missing_class(labels: ArrayLike) -> str | None:
    """What to say where a class is absent from ``labels``; ``None`` where both are there."""
    truth = np.asarray(labels)
    absent = [name for name, value in (("negative (0)", 0), ("positive (1)", 1)) if not (truth == value).any()]
    if not absent:
        return None
    return f"no {' and no '.join(absent)} among {truth.size} rows: both classes are needed"


def area_under_roc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve, 0 to 1, chance 0.5. ValueError where a class is absent."""
    return float(roc_auc_score(*check_two_classes(labels, scores)))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Average precision, 0 to 1; chance is the share of positives. ValueError where a class is absent."""
    return float(average_precision_score(*check_two_classes(labels, scores)))


def probabilistic_f1(labels: ArrayLike, probabilities: ArrayLike) -> float:
    r"""Probabilistic F1, 0 to 1 (Yacouby and Axman 2020; the measure of RSNA's 2022 screening challenge).

    .. math:: \frac{2 \sum_i p_i y_i}{\sum_i p_i + \sum_i y_i}

    It is the harmonic mean of probabilistic precision and recall, and F1 itself where every probability is 0 or
    1: that of a threshold. It rewards probabilities at the ends, so a temperature changes it. ValueError where
    a class is absent.
    """
    truth, values = check_two_classes(labels, probabilities)
    return float(2 * (values * truth).sum() / (values.sum() + truth.sum()))


def confusion(labels: ArrayLike, scores: ArrayLike, threshold: float) -> Confusion:
    """Counts where a score of at least ``threshold`` is called positive; one class alone is allowed."""
    called = (np.asarray(scores, dtype=np.float64) >= threshold).astype(np.intp)
    matrix = confusion_matrix(np.asarray(labels, dtype=np.intp), called, labels=[0, 1])
    (tn, fp), (fn, tp) = matrix.tolist()
    return Confusion(true_positive=tp, false_positive=fp, false_negative=fn, true_negative=tn)


def choose_threshold(
    labels: ArrayLike,
    scores: ArrayLike,
    rule: ThresholdRule | str = ThresholdRule.YOUDEN,
    at: float | None = None,
) -> float:
    """The threshold to use on *other* data: call it with validation data, apply the result to test data.

    Args:
        labels: ``(n,)`` of 0 and 1.
        scores: ``(n,)`` probabilities or other scores.
        rule: what is to be greatest, see :class:`ThresholdRule`. Of equally good thresholds the highest is
            taken.
        at: the least specificity or sensitivity, in [0, 1]; not for ``youden`` and ``f1``.

    Returns:
        A finite threshold: scores of at least this much are called positive.

    Raises:
        ValueError: a class is absent, or ``at`` is missing, out of range or not wanted.
    """
    chosen = ThresholdRule(rule)
    alone = chosen in (ThresholdRule.YOUDEN, ThresholdRule.F1)
    if (at is None) != alone or (at is not None and not 0 <= at <= 1):
        raise ValueError(f"rule={chosen} with at={at}: 'youden' and 'f1' take none, the others a number in [0, 1]")
    false, true, thresholds = _roc_points(labels, scores)
    if chosen == ThresholdRule.YOUDEN:
        return float(thresholds[np.argmax(np.round(true - false, 12))])
    if chosen == ThresholdRule.F1:
        positives = np.count_nonzero(np.asarray(labels) == 1)
        hits, alarms = true * positives, false * (np.asarray(labels).size - positives)
        return float(thresholds[np.argmax(np.round(2 * hits / (hits + alarms + positives), 12))])
    if chosen == ThresholdRule.SPECIFICITY:
        return float(thresholds[_best(true, 1 - false, at)])
    return float(thresholds[_best(1 - false, true, at)])


def sensitivity_at_specificity(labels: ArrayLike, scores: ArrayLike, specificity: float) -> float:
    """Highest sensitivity on the ROC curve of these data with at least this specificity."""
    false, true, _ = _roc_points(labels, scores)
    return float(true[_best(true, 1 - false, specificity)])


def specificity_at_sensitivity(labels: ArrayLike, scores: ArrayLike, sensitivity: float) -> float:
    """Highest specificity on the ROC curve of these data with at least this sensitivity."""
    false, true, _ = _roc_points(labels, scores)
    return float(1 - false[_best(1 - false, true, sensitivity)])


def _roc_points(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """False and true positive rates and thresholds, highest first; the first flags nobody yet is finite."""
    truth, values = check_two_classes(labels, scores)
    false, true, thresholds = roc_curve(truth, values, drop_intermediate=False)
    thresholds[0] = np.nextafter(values.max(), np.inf)
    return false, true, thresholds


def _best(wanted: np.ndarray, bounded: np.ndarray, bound: float | None) -> int:
    """Where ``wanted`` is greatest among points whose ``bounded`` reaches ``bound``."""
    return int(np.argmax(np.where(bounded >= (bound or 0.0) - 1e-12, wanted, -np.inf)))


def _share(part: int, rest: int) -> float:
    return part / (part + rest) if part + rest else float("nan")
