"""Everything that ``metrics.json`` says about a classifier, from its predictions alone."""

from typing import Any

import numpy as np
import pandas as pd

from .calibration import (
    Binning,
    apply_temperature,
    bin_numbers,
    fit_temperature,
    log_losses,
    reliability_curve,
)
from .discrimination import ThresholdRule, choose_threshold, confusion, missing_class
from .intervals import Statistic, bootstrap_all, restricted
from .predictions import Level, aggregate, check_predictions, labelled, patient_keys
from .weighted import (
    weighted_auc,
    weighted_average_precision,
    weighted_gap,
    weighted_mean,
    weighted_rate,
    weighted_sensitivity_at,
)

SPECIFICITIES = (0.8, 0.9, 0.95)
"""Operating points of mammography reading at which sensitivity is told."""

SUBGROUPS = ("dataset", "density", "abnormality", "view", "laterality", "birads")
"""Columns whose values are told apart, where a table has them."""

RESEARCH_USE = "For research use only. Not a medical device; not for diagnosis or treatment decisions."


def evaluate_predictions(
    test: pd.DataFrame, validation: pd.DataFrame | None = None, *, draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Evaluate test predictions; thresholds and temperature come from validation predictions alone.

    Args:
        test: rows as in ``predictions.csv``, see :func:`~mammo.pipeline.metrics.check_predictions`.
        validation: likewise; without it everything that needs a threshold or a temperature is null, with a
            reason.
        draws: patient-bootstrap draws.
        seed: of the draws.

    Returns:
        A JSON-safe dictionary: ``counts``, ``levels`` (AUC and average precision per image, breast and
        patient), ``sensitivity_at_specificity``, ``threshold``, ``calibration`` and ``subgroups``. What is
        undefined is ``None`` beside a ``reason``, never NaN.

    Raises:
        ValueError: a table is malformed, or no test row has a known label.
    """
    check_predictions(test, "test predictions")
    known = labelled(test)
    if known.empty:
        raise ValueError("test predictions: no row has a known label (0 or 1), there is nothing to evaluate")
    tuning = None if validation is None else labelled(check_predictions(validation, "validation predictions"))
    options = {"draws": draws, "seed": seed}
    return {
        "notice": RESEARCH_USE,
        "bootstrap": {"unit": "patient", "level": 0.95, **options},
        "counts": _counts(test, tuning),
        "levels": _levels(test, options),
        "sensitivity_at_specificity": _sensitivities(known, options),
        "threshold": _at_threshold(known, tuning, options),
        "calibration": _calibration(known, tuning, options),
        "subgroups": _subgroups(known, options),
    }


def _counts(test: pd.DataFrame, tuning: pd.DataFrame | None) -> dict[str, Any]:
    known, patients = labelled(test), patient_keys(test)
    both = 0 if tuning is None else np.intersect1d(patients, patient_keys(tuning)).size
    return {
        "images": len(test),
        "patients": int(np.unique(patients).size),
        "positive": int(known["label"].sum()),
        "negative": int((known["label"] == 0).sum()),
        "unlabelled": len(test) - len(known),
        "validation_images": 0 if tuning is None else len(tuning),
        "patients_in_test_and_validation": int(both),
    }


def _levels(test: pd.DataFrame, options: dict[str, int]) -> dict[str, Any]:
    wanted = [("image", Level.IMAGE, "max")]
    wanted += [(f"{lvl}_{how}", lvl, how) for lvl in (Level.BREAST, Level.PATIENT) for how in ("max", "mean")]
    result: dict[str, Any] = {}
    for name, level, how in wanted:
        if level == Level.BREAST and ("laterality" not in test or labelled(test)["laterality"].isna().any()):
            result[name] = {
                "auc": None,
                "average_precision": None,
                "reason": "laterality is not known everywhere",
            }
            continue
        rows = aggregate(test, level, how)
        result[name] = {"rows": len(rows), "positive": int(rows["label"].sum()), **_ranking(rows, options)}
    return result


def _ranking(rows: pd.DataFrame, options: dict[str, int]) -> dict[str, Any]:
    labels, scores = rows["label"].to_numpy(), rows["probability"].to_numpy()
    statistics = {
        "auc": weighted_auc(labels, scores),
        "average_precision": weighted_average_precision(labels, scores),
    }
    return _intervals(statistics, patient_keys(rows), missing_class(labels), options)


def _sensitivities(known: pd.DataFrame, options: dict[str, int]) -> dict[str, Any]:
    labels, scores = known["label"].to_numpy(), known["probability"].to_numpy()
    statistics = {f"{s:.2f}": weighted_sensitivity_at(labels, scores, s) for s in SPECIFICITIES}
    return _intervals(statistics, patient_keys(known), missing_class(labels), options)


def _at_threshold(known: pd.DataFrame, tuning: pd.DataFrame | None, options: dict[str, int]) -> dict[str, Any]:
    """One block per way of choosing a threshold on validation, applied to test as it is."""
    reason = _no_tuning(tuning)
    rules: list[tuple[str, ThresholdRule, float | None]] = [("youden", ThresholdRule.YOUDEN, None)]
    rules += [(f"specificity_{s:.2f}", ThresholdRule.SPECIFICITY, s) for s in SPECIFICITIES]
    if tuning is None or reason:
        return {name: {"value": None, "reason": reason} for name, _, _ in rules}
    chosen = {name: choose_threshold(tuning["label"], tuning["probability"], rule, at) for name, rule, at in rules}
    return {name: _operating_point(known, value, options) for name, value in chosen.items()}


def _operating_point(known: pd.DataFrame, threshold: float, options: dict[str, int]) -> dict[str, Any]:
    truth = known["label"].to_numpy() == 1
    called = known["probability"].to_numpy() >= threshold
    table = confusion(truth, known["probability"], threshold)
    sensitivity, specificity = weighted_rate(called, truth), weighted_rate(~called, ~truth)
    statistics: dict[str, Statistic] = {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "accuracy": weighted_rate(called == truth, np.ones_like(truth)),
        "balanced_accuracy": lambda weights: (sensitivity(weights) + specificity(weights)) / 2,
        "positive_predictive_value": weighted_rate(truth, called),
        "negative_predictive_value": weighted_rate(~truth, ~called),
    }
    counts = {
        "true_positive": table.true_positive,
        "false_positive": table.false_positive,
        "false_negative": table.false_negative,
        "true_negative": table.true_negative,
    }
    intervals = _intervals(statistics, patient_keys(known), "no row to divide by", options)
    return {"value": threshold, "chosen_on": "validation", "confusion": counts, **intervals}


def _calibration(known: pd.DataFrame, tuning: pd.DataFrame | None, options: dict[str, int]) -> dict[str, Any]:
    labels, probabilities = known["label"].to_numpy(), known["probability"].to_numpy()
    patients, reason = patient_keys(known), _no_tuning(tuning)
    before = _calibration_of(labels, probabilities, patients, options)
    if tuning is None or reason:
        return {"temperature": None, "reason": reason, "before": before, "after": None}
    temperature = fit_temperature(tuning["label"], tuning["probability"])
    after = _calibration_of(labels, apply_temperature(probabilities, temperature), patients, options)
    return {"temperature": temperature, "fitted_on": "validation", "before": before, "after": after}


def _calibration_of(
    labels: np.ndarray, probabilities: np.ndarray, patients: np.ndarray, options: dict[str, int]
) -> dict[str, Any]:
    statistics = {
        "ece_width": weighted_gap(labels, probabilities, bin_numbers(probabilities, binning=Binning.WIDTH)),
        "ece_mass": weighted_gap(labels, probabilities, bin_numbers(probabilities, binning=Binning.MASS)),
        "brier": weighted_mean((probabilities - labels) ** 2),
        "negative_log_likelihood": weighted_mean(log_losses(labels, probabilities)),
    }
    curve = reliability_curve(labels, probabilities, binning=Binning.MASS)
    points = {name: getattr(curve, name).tolist() for name in ("predicted", "observed", "count")}
    return {**_intervals(statistics, patients, None, options), "reliability": points}


def _subgroups(known: pd.DataFrame, options: dict[str, int]) -> dict[str, Any]:
    patients = patient_keys(known)
    result: dict[str, Any] = {}
    for column in (name for name in SUBGROUPS if name in known):
        values = known[column].astype("string")
        groups = sorted(values.dropna().unique())
        if len(groups) < 2:
            continue
        result[column] = {
            str(group): _subgroup(known, (values == group).fillna(False).to_numpy(dtype=bool), patients, options)
            for group in groups
        }
    return result


def _subgroup(known: pd.DataFrame, rows: np.ndarray, patients: np.ndarray, options: dict[str, int]) -> dict[str, Any]:
    part = known[rows]
    auc = restricted(weighted_auc(part["label"], part["probability"]), rows)
    interval = _intervals({"auc": auc}, patients, missing_class(part["label"]), options)
    return {"images": len(part), "positive": int(part["label"].sum()), **interval}


def _intervals(
    statistics: dict[str, Statistic], patients: np.ndarray, reason: str | None, options: dict[str, int]
) -> dict[str, Any]:
    reasons = dict.fromkeys(statistics, reason or "undefined on these data")
    results = bootstrap_all(statistics, patients, reasons=reasons, draws=options["draws"], seed=options["seed"])
    return {name: interval.as_dict() for name, interval in results.items()}


def _no_tuning(tuning: pd.DataFrame | None) -> str | None:
    if tuning is None:
        return "no validation predictions were given"
    absent = missing_class(tuning["label"])
    return f"validation predictions: {absent}" if absent else None
