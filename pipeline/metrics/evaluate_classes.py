"""What ``metrics.json`` says about a classifier of several classes, such as breast density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from .calibration import apply_class_temperature, fit_class_temperature
from .class_measures import (
    class_calibration_measures,
    class_measures,
    one_against_rest,
    simple_measures,
    told_classes,
)
from .classifier_measures import intervals
from .evaluate import RESEARCH_USE, count_rows
from .intervals import restricted
from .predictions import LEVELS, aggregate, checked_sections, class_probabilities, labelled, patient_keys
from .subgroups import MIN_PATIENTS, mark_lowest, subgroup_values
from .weighted import weighted_rate

CLASS_LEVELS = ("image", "breast_mean", "patient_mean")
"""Probabilities of several classes are averaged over the images of a breast or patient."""

Options = dict[str, int]


def evaluate_classes(
    test: pd.DataFrame,
    validation: pd.DataFrame | None = None,
    *,
    names: Sequence[str] | None = None,
    ordered: bool = False,
    points: dict[str, Any] | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Evaluate test predictions of K > 2 classes; the temperature comes from validation alone.

    Args:
        test: rows with ``probability_0`` to ``probability_{K-1}``, see
            :func:`~mammo.pipeline.metrics.check_predictions`.
        validation: likewise; without it there is no temperature.
        names: of the classes; their numbers by default.
        ordered: the classes are grades, so that quadratic kappa makes sense.
        points: what :func:`choose_class_temperature` chose in another evaluation of the same classifier, to be used in
            place of what validation would give.
        draws: patient-bootstrap draws.
        seed: of the draws.

    Returns:
        A JSON-safe dictionary: ``counts``, ``levels`` (macro AUC and average precision of one class against the
        rest, accuracy and that of always calling the commonest class, balanced accuracy, macro F1, kappa),
        ``classes``, ``confusion`` (rows truth, columns calls, images), ``calibration`` and ``subgroups`` (accuracy).

    Raises:
        ValueError: a table is malformed, or no test row has a known label.
    """
    known, tuning = checked_sections(test, validation)
    labels, values = known["label"].to_numpy(), class_probabilities(known)
    said = list(names or map(str, range(values.shape[1])))
    if len(said) != values.shape[1]:
        raise ValueError(f"{len(said)} names of classes for {values.shape[1]} columns of probabilities")
    options = {"draws": draws, "seed": seed}
    counts = count_rows(test, tuning) | {"classes": np.bincount(labels, minlength=len(said)).tolist()}
    return {
        "notice": RESEARCH_USE,
        "bootstrap": {"unit": "patient", "level": 0.95, **options},
        "counts": {key: value for key, value in counts.items() if key not in ("positive", "negative")},
        "levels": {name: _level(test, name, ordered, options) for name in CLASS_LEVELS},
        "classes": {name: _one_class(known, k, options) for k, name in enumerate(said)},
        "confusion": confusion_matrix(labels, values.argmax(axis=1), labels=range(len(said))).tolist(),
        "calibration": _calibration(known, choose_class_temperature(tuning) if points is None else points, options),
        "subgroups": _subgroups(known, options),
    }


def choose_class_temperature(validation: pd.DataFrame | None) -> dict[str, Any]:
    """What ``operating_points.json`` holds for several classes: a temperature; the likeliest class is called."""
    known = None if validation is None else labelled(validation)
    count = 0 if known is None else len(known)
    found: dict[str, Any] = {"chosen_on": "validation", "counts": {"images": count}, "thresholds": {}}
    if known is None or known.empty:
        return found | {"temperature": None, "reason": "no labelled validation predictions were given"}
    return found | {"temperature": fit_class_temperature(known["label"], class_probabilities(known))}


def _level(test: pd.DataFrame, name: str, ordered: bool, options: Options) -> dict[str, Any]:
    try:
        rows = aggregate(test, *LEVELS[name])
    except ValueError as error:
        return {**dict.fromkeys(("auc", "average_precision", "accuracy")), "reason": str(error)}
    labels, values = rows["label"].to_numpy(), class_probabilities(rows)
    told = told_classes(labels, values.shape[1])
    statistics = class_measures(labels, values, ordered=ordered) | simple_measures(labels, values)
    found = intervals(statistics, patient_keys(rows), "one class only", options)
    return {"rows": len(rows), "classes_told": told, **found}


def _one_class(known: pd.DataFrame, k: int, options: Options) -> dict[str, Any]:
    labels = known["label"].to_numpy()
    statistics = one_against_rest(labels, class_probabilities(known), k)
    found = intervals(statistics, patient_keys(known), "no row of this class, or no other", options)
    return {"images": int((labels == k).sum()), **found}


def _calibration(known: pd.DataFrame, chosen: dict[str, Any], options: Options) -> dict[str, Any]:
    labels, values, patients = known["label"].to_numpy(), class_probabilities(known), patient_keys(known)
    before = intervals(class_calibration_measures(labels, values), patients, None, options)
    temperature = chosen["temperature"]
    if temperature is None:
        return {"temperature": None, "reason": chosen["reason"], "before": before, "after": None}
    after = class_calibration_measures(labels, apply_class_temperature(values, temperature))
    told = intervals(after, patients, None, options)
    return {"temperature": temperature, "fitted_on": "validation", "before": before, "after": told}


def _subgroups(known: pd.DataFrame, options: Options) -> dict[str, Any]:
    right = class_probabilities(known).argmax(axis=1) == known["label"].to_numpy()
    patients, result = patient_keys(known), {}
    for column, values in subgroup_values(known).items():
        rows = {
            str(name): (values == name).fillna(False).to_numpy(dtype=bool) for name in sorted(values.dropna().unique())
        }
        result[column] = {name: _subgroup(right, at, patients, options) for name, at in rows.items()}
        mark_lowest(result[column], lambda part: part["accuracy"]["value"])
    return result


def _subgroup(right: NDArray[Any], rows: NDArray[Any], patients: NDArray[Any], options: Options) -> dict[str, Any]:
    count = int(np.unique(patients[rows]).size)
    told: dict[str, Any] = {"value": None, "reason": f"fewer than {MIN_PATIENTS} patients"}
    if count >= MIN_PATIENTS:
        accuracy = restricted(weighted_rate(right[rows], np.ones(int(rows.sum()))), rows)
        told = intervals({"accuracy": accuracy}, patients, None, options)["accuracy"]
    return {"images": int(rows.sum()), "patients": count, "accuracy": told}
