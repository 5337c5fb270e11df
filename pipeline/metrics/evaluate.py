"""Everything that ``metrics.json`` says about a classifier of two classes, from its predictions alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .calibration import Binning, apply_temperature, reliability_curve
from .classifier_measures import (
    calibration_measures,
    intervals,
    ranking_measures,
    sensitivity_measures,
    specificity_measures,
    threshold_measures,
)
from .decision_curve import decision_curve
from .discrimination import confusion, missing_class
from .operating_points import RULES, choose_operating_points
from .predictions import LEVELS, aggregate, checked_sections, labelled, patient_keys
from .subgroups import subgroups

RESEARCH_USE = "For research use only. Not a medical device; not for diagnosis or treatment decisions."

Options = dict[str, int]


def evaluate_predictions(
    test: pd.DataFrame,
    validation: pd.DataFrame | None = None,
    *,
    points: dict[str, Any] | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Evaluate test predictions of two classes; thresholds and temperature come from validation alone.

    Args:
        test: rows as in ``predictions.csv``, see :func:`~mammo.pipeline.metrics.check_predictions`.
        validation: likewise; without it everything that needs a threshold or a temperature is null, with a
            reason.
        points: what :func:`~mammo.pipeline.metrics.choose_operating_points` chose in another evaluation of the same
            classifier, to be used in place of what validation would give.
        draws: patient-bootstrap draws.
        seed: of the draws.

    Returns:
        A JSON-safe dictionary: ``counts``; ``levels`` (AUC, average precision, probabilistic F1 and the decisions
        at locked thresholds per image, breast and patient); for images also ``sensitivity_at_specificity`` and
        ``specificity_at_sensitivity`` (read off the test ROC curve), ``threshold`` (locked thresholds),
        ``calibration``, ``decision_curve`` and ``subgroups``. What is undefined is ``None`` beside a ``reason``,
        never NaN.

    Raises:
        ValueError: a table is malformed, or no test row has a known label.
    """
    known, tuning = checked_sections(test, validation)
    points = choose_operating_points(tuning) if points is None else points
    options = {"draws": draws, "seed": seed}
    labels, values, patients = known["label"].to_numpy(), known["probability"].to_numpy(), patient_keys(known)
    reason = missing_class(labels)
    threshold = points["thresholds"].get("image", {}).get("youden")
    return {
        "notice": RESEARCH_USE,
        "bootstrap": {"unit": "patient", "level": 0.95, **options},
        "counts": count_rows(test, tuning),
        "levels": {name: _level(test, name, points, options) for name in LEVELS},
        "sensitivity_at_specificity": intervals(sensitivity_measures(labels, values), patients, reason, options),
        "specificity_at_sensitivity": intervals(specificity_measures(labels, values), patients, reason, options),
        "threshold": _at_thresholds(known, "image", points, options),
        "calibration": _calibration(known, points, options),
        "decision_curve": _decision_curve(known, points, options),
        "subgroups": subgroups(known, threshold, options),
    }


def count_rows(test: pd.DataFrame, tuning: pd.DataFrame | None) -> dict[str, Any]:
    """Images, patients and labels of a test table, and its patients that validation holds too."""
    known, patients = labelled(test), patient_keys(test)
    both = 0 if tuning is None else np.intersect1d(patients, patient_keys(tuning)).size
    return {
        "images": len(test),
        "patients": int(np.unique(patients).size),
        "positive": int((known["label"] == 1).sum()),
        "negative": int((known["label"] == 0).sum()),
        "unlabelled": len(test) - len(known),
        "validation_images": 0 if tuning is None else len(tuning),
        "patients_in_test_and_validation": int(both),
    }


def _level(test: pd.DataFrame, name: str, points: dict[str, Any], options: Options) -> dict[str, Any]:
    """Measures of one level; of images the thresholds stand in ``threshold`` of the whole."""
    try:
        rows = aggregate(test, *LEVELS[name])
    except ValueError as error:
        reason = f"laterality is not known everywhere: {error}"
        return {**dict.fromkeys(("auc", "average_precision", "probabilistic_f1")), "reason": reason}
    labels, values = rows["label"].to_numpy(), rows["probability"].to_numpy()
    found = {"rows": len(rows), "positive": int(labels.sum())}
    found |= intervals(ranking_measures(labels, values), patient_keys(rows), missing_class(labels), options)
    return found if name == "image" else found | {"threshold": _at_thresholds(rows, name, points, options)}


def _at_thresholds(rows: pd.DataFrame, level: str, points: dict[str, Any], options: Options) -> dict[str, Any]:
    """One block per way of choosing a threshold on validation at the same level, applied to test as it is."""
    chosen = points["thresholds"].get(level)
    if chosen is None:
        return {rule: {"value": None, "reason": points["reasons"][level]} for rule in RULES}
    return {rule: _operating_point(rows, threshold, options) for rule, threshold in chosen.items()}


def _operating_point(rows: pd.DataFrame, threshold: float, options: Options) -> dict[str, Any]:
    labels, values = rows["label"].to_numpy(), rows["probability"].to_numpy()
    table = confusion(labels, values, threshold)
    counts = {
        "true_positive": table.true_positive,
        "false_positive": table.false_positive,
        "false_negative": table.false_negative,
        "true_negative": table.true_negative,
    }
    rates = threshold_measures(labels, values, threshold)
    found = intervals(rates, patient_keys(rows), "no row to divide by", options)
    return {"value": threshold, "chosen_on": "validation", "confusion": counts, **found}


def _calibration(known: pd.DataFrame, points: dict[str, Any], options: Options) -> dict[str, Any]:
    values, temperature = known["probability"].to_numpy(), points["temperature"]
    before = _calibration_of(known, values, options)
    if temperature is None:
        return {"temperature": None, "reason": points["reason"], "before": before, "after": None}
    after = _calibration_of(known, apply_temperature(values, temperature), options)
    return {"temperature": temperature, "fitted_on": "validation", "before": before, "after": after}


def _calibration_of(known: pd.DataFrame, probabilities: np.ndarray, options: Options) -> dict[str, Any]:
    labels = known["label"].to_numpy()
    curve = reliability_curve(labels, probabilities, binning=Binning.MASS)
    points = {name: getattr(curve, name).tolist() for name in ("predicted", "observed", "count")}
    found = intervals(calibration_measures(labels, probabilities), patient_keys(known), None, options)
    return {**found, "reliability": points}


def _decision_curve(known: pd.DataFrame, points: dict[str, Any], options: Options) -> dict[str, Any]:
    """Of the probabilities with temperature, where there is one."""
    values, temperature = known["probability"].to_numpy(), points["temperature"]
    if temperature is not None:
        values = apply_temperature(values, temperature)
    curve = decision_curve(known["label"].to_numpy(), values, patient_keys(known), **options)
    return {"calibrated": temperature is not None, **curve}
