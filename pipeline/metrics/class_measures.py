"""Measures of a classifier of several classes as statistics of row weights, see :mod:`.weighted`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .calibration import Binning, apply_class_temperature, bin_numbers, class_log_losses
from .intervals import Statistic
from .weighted import (
    Floats,
    ratio,
    weighted_auc,
    weighted_average_precision,
    weighted_gap,
    weighted_mean,
    weighted_rate,
)


def weighted_kappa(labels: ArrayLike, called: ArrayLike, classes: int, *, quadratic: bool = False) -> Statistic:
    """Cohen's kappa, 1 at best and 0 by chance; NaN where truth and calls are all of one class.

    Args:
        labels: ``(n,)`` in 0 .. classes - 1.
        called: ``(n,)`` likewise.
        classes: K.
        quadratic: weigh a mistake by the square of its distance, for ordered classes only.
    """
    cell = np.asarray(labels) * classes + np.asarray(called)
    member = (cell[:, None] == np.arange(classes**2)).astype(np.float64)  # (n, K * K)
    grade = np.arange(classes)
    distance = np.abs(grade[:, None] - grade)
    penalty = distance**2 if quadratic else (distance > 0).astype(np.float64)

    def statistic(weights: Floats) -> Floats:
        table = (weights @ member).reshape(-1, classes, classes)  # rows truth, columns calls
        chance = table.sum(axis=2)[:, :, None] * table.sum(axis=1)[:, None, :]
        observed, expected = ((penalty * part).sum(axis=(1, 2)) for part in (table, chance))
        return 1 - ratio(observed * weights.sum(axis=1), expected)

    return statistic


def macro(statistics: Sequence[Statistic]) -> Statistic:
    """The mean of several statistics; NaN where one of them is."""
    return lambda weights: np.mean([one(weights) for one in statistics], axis=0)


def told_classes(labels: NDArray[Any], classes: int) -> list[int]:
    """The classes that some rows have and others have not: one against the rest can be told of these."""
    return [k for k in range(classes) if 0 < np.count_nonzero(labels == k) < labels.size]


def class_measures(labels: NDArray[Any], probabilities: Floats, *, ordered: bool) -> dict[str, Statistic]:
    """Measures of ``(n,)`` labels and ``(n, K)`` probabilities; the class called is the likeliest.

    ``auc`` and ``average_precision`` are means over one class against the rest, ``balanced_accuracy`` is the mean
    sensitivity of the classes; all over the classes of :func:`told_classes`. ``kappa_quadratic`` is there for
    ordered classes only.
    """
    classes, called = probabilities.shape[1], probabilities.argmax(axis=1)
    told = told_classes(labels, classes) or [0]
    found = {
        "auc": macro([weighted_auc(labels == k, probabilities[:, k]) for k in told]),
        "average_precision": macro([weighted_average_precision(labels == k, probabilities[:, k]) for k in told]),
        "accuracy": weighted_rate(called == labels, np.ones(labels.shape)),
        "balanced_accuracy": macro([weighted_rate(called == k, labels == k) for k in told]),
        "kappa": weighted_kappa(labels, called, classes),
    }
    if ordered:
        found["kappa_quadratic"] = weighted_kappa(labels, called, classes, quadratic=True)
    return found


def weighted_macro_f1(labels: ArrayLike, called: ArrayLike) -> Statistic:
    """Mean F1 of the classes that are true or called somewhere, as scikit-learn's; in a draw, of those met in it."""
    true, calls = np.asarray(labels), np.asarray(called)
    classes = np.union1d(true, calls)
    both = np.stack([(true == k) & (calls == k) for k in classes], axis=1).astype(np.float64)  # (n, classes)
    either = np.stack([(true == k) * 1.0 + (calls == k) for k in classes], axis=1)

    def statistic(weights: Floats) -> Floats:
        each = ratio(2 * weights @ both, weights @ either)
        mean: Floats = np.nanmean(each, axis=1)
        return mean

    return statistic


def simple_measures(labels: NDArray[Any], probabilities: Floats) -> dict[str, Statistic]:
    """``macro_f1``, and ``commonest_class``: the accuracy of who always calls the class that most rows have."""
    called = probabilities.argmax(axis=1)
    commonest = np.bincount(labels, minlength=probabilities.shape[1]).argmax()
    return {
        "macro_f1": weighted_macro_f1(labels, called),
        "commonest_class": weighted_rate(labels == commonest, np.ones(labels.shape)),
    }


def one_against_rest(labels: NDArray[Any], probabilities: Floats, k: int) -> dict[str, Statistic]:
    """Measures of class ``k`` against all others."""
    truth, called = labels == k, probabilities.argmax(axis=1) == k
    return {
        "auc": weighted_auc(truth, probabilities[:, k]),
        "average_precision": weighted_average_precision(truth, probabilities[:, k]),
        "sensitivity": weighted_rate(called, truth),
        "specificity": weighted_rate(~called, ~truth),
        "positive_predictive_value": weighted_rate(truth, called),
    }


def class_calibration_measures(labels: NDArray[Any], probabilities: Floats) -> dict[str, Statistic]:
    """Calibration of the likeliest class (``ece``, ``ace``), Brier score (0 to 2) and negative log-likelihood."""
    confidence = probabilities.max(axis=1).clip(0, 1)
    right = probabilities.argmax(axis=1) == labels
    truth = labels[:, None] == np.arange(probabilities.shape[1])
    return {
        "ece": weighted_gap(right, confidence, bin_numbers(confidence, binning=Binning.WIDTH)),
        "ace": weighted_gap(right, confidence, bin_numbers(confidence, binning=Binning.MASS)),
        "brier": weighted_mean(((probabilities - truth) ** 2).sum(axis=1)),
        "negative_log_likelihood": weighted_mean(class_log_losses(labels, probabilities)),
    }


def all_class_measures(
    labels: NDArray[Any], probabilities: Floats, *, ordered: bool, temperature: float | None = None
) -> dict[str, Statistic]:
    """Every measure under one flat name each; with a temperature, calibration also after it."""
    found = class_measures(labels, probabilities, ordered=ordered)
    found |= class_calibration_measures(labels, probabilities)
    if temperature is not None:
        after = class_calibration_measures(labels, apply_class_temperature(probabilities, temperature))
        found |= {f"{name} with temperature": statistic for name, statistic in after.items()}
    return found
