"""Every measure of a classifier as a statistic of row weights: what is bootstrapped, and what is compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .calibration import Binning, apply_temperature, bin_numbers, log_losses
from .intervals import Statistic, bootstrap_all
from .weighted import (
    weighted_auc,
    weighted_average_precision,
    weighted_gap,
    weighted_mean,
    weighted_probabilistic_f1,
    weighted_rate,
    weighted_sensitivity_at,
    weighted_specificity_at,
)

OPERATING_LEVELS = (0.8, 0.9, 0.95)
"""Specificities at which sensitivity is told, as in mammography reading, and sensitivities at which specificity is."""


def ranking_measures(labels: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, Statistic]:
    """Measures that need no threshold: ``auc``, ``average_precision`` and ``probabilistic_f1``."""
    return {
        "auc": weighted_auc(labels, probabilities),
        "average_precision": weighted_average_precision(labels, probabilities),
        "probabilistic_f1": weighted_probabilistic_f1(labels, probabilities),
    }


def sensitivity_measures(labels: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, Statistic]:
    """Sensitivity at each of :data:`OPERATING_LEVELS`, read off the ROC curve of these very rows."""
    return {f"{level:.2f}": weighted_sensitivity_at(labels, probabilities, level) for level in OPERATING_LEVELS}


def specificity_measures(labels: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, Statistic]:
    """Specificity at each of :data:`OPERATING_LEVELS` of sensitivity, read off the ROC curve of these very rows."""
    return {f"{level:.2f}": weighted_specificity_at(labels, probabilities, level) for level in OPERATING_LEVELS}


def threshold_measures(labels: NDArray[Any], probabilities: NDArray[Any], threshold: float) -> dict[str, Statistic]:
    """Rates where a probability of at least ``threshold`` is called positive."""
    truth, called = labels == 1, probabilities >= threshold
    sensitivity, specificity = weighted_rate(called, truth), weighted_rate(~called, ~truth)
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "accuracy": weighted_rate(called == truth, np.ones_like(truth)),
        "balanced_accuracy": lambda weights: (sensitivity(weights) + specificity(weights)) / 2,
        "positive_predictive_value": weighted_rate(truth, called),
        "negative_predictive_value": weighted_rate(~truth, ~called),
        "f1": weighted_probabilistic_f1(labels, called),
    }


def calibration_measures(labels: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, Statistic]:
    """Calibration errors over ten bins, Brier score and negative log-likelihood in nats, all 0 at best.

    ``ece`` has bins of equal width (Naeini et al. 2015), ``ace`` bins of equal mass (adaptive calibration error,
    Nixon et al. 2019, arXiv:1904.01685).
    """
    return {
        "ece": weighted_gap(labels, probabilities, bin_numbers(probabilities, binning=Binning.WIDTH)),
        "ace": weighted_gap(labels, probabilities, bin_numbers(probabilities, binning=Binning.MASS)),
        "brier": weighted_mean((probabilities - labels) ** 2),
        "negative_log_likelihood": weighted_mean(log_losses(labels, probabilities)),
    }


def all_measures(
    rows: pd.DataFrame, thresholds: Mapping[str, float] | None = None, temperature: float | None = None
) -> dict[str, Statistic]:
    """Every measure of labelled rows under one flat name each, such as ``youden: sensitivity``.

    Args:
        rows: with ``label`` and ``probability``.
        thresholds: locked on validation, by rule.
        temperature: fitted on validation; given, calibration after it is there too.
    """
    labels, values = rows["label"].to_numpy(), rows["probability"].to_numpy(dtype=np.float64)
    measures = ranking_measures(labels, values)
    for read, told, found in (
        ("sensitivity", "specificity", sensitivity_measures(labels, values)),
        ("specificity", "sensitivity", specificity_measures(labels, values)),
    ):
        measures |= {f"{read} at {told} {level}": statistic for level, statistic in found.items()}
    for rule, threshold in (thresholds or {}).items():
        measures |= {f"{rule}: {name}": one for name, one in threshold_measures(labels, values, threshold).items()}
    measures |= calibration_measures(labels, values)
    if temperature is not None:
        calibrated = calibration_measures(labels, apply_temperature(values, temperature))
        measures |= {f"{name} with temperature": statistic for name, statistic in calibrated.items()}
    return measures


def intervals(
    statistics: Mapping[str, Statistic], patients: NDArray[Any], reason: str | None, options: Mapping[str, int]
) -> dict[str, Any]:
    """JSON-safe intervals of several statistics.

    Args:
        statistics: by name.
        patients: ``(n,)``, the patient of each row.
        reason: what to say where a statistic is undefined on the data themselves.
        options: ``draws`` and ``seed`` of the bootstrap.
    """
    reasons = dict.fromkeys(statistics, reason or "undefined on these data")
    results = bootstrap_all(statistics, patients, reasons=reasons, draws=options["draws"], seed=options["seed"])
    return {name: interval.as_dict() for name, interval in results.items()}
