"""Does the model serve every group alike? AUC and rates by density, view, age band, device and more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .classifier_measures import intervals
from .intervals import Statistic, difference, restricted
from .predictions import patient_keys
from .weighted import weighted_auc, weighted_rate

SUBGROUPS = (
    "dataset", "density", "abnormality", "view", "laterality", "birads", "age_band", "manufacturer", "device",
)  # fmt: skip
"""Columns whose values are told apart, where a table has them; ``age_band`` is made from ``age``."""
AGE_BANDS = {
    "under 40": (0, 40),
    "40 to 49": (40, 50),
    "50 to 59": (50, 60),
    "60 to 69": (60, 70),
    "70 and over": (70, 200),
}
"""Ages in years, the upper end not included."""
MIN_PATIENTS = 5
"""A rate is told of so many patients or more of the class it speaks of; of fewer, the counts alone."""

Rows = NDArray[np.bool_]


def subgroup_values(known: pd.DataFrame) -> dict[str, pd.Series]:
    """The group of each row, by column of :data:`SUBGROUPS`; columns with fewer than two groups are left out."""
    columns = {name: known[name].astype("string") for name in SUBGROUPS if name in known}
    if "age" in known:
        columns["age_band"] = age_bands(known["age"])
    return {name: columns[name] for name in SUBGROUPS if name in columns and columns[name].nunique() > 1}


def age_bands(ages: pd.Series) -> pd.Series:
    """The band of each age in years; unknown stays unknown."""
    years = pd.to_numeric(ages, errors="coerce")
    bands = pd.Series(pd.NA, index=ages.index, dtype="string")
    for name, (low, high) in AGE_BANDS.items():
        bands[(years >= low) & (years < high)] = name
    return bands


def subgroups(known: pd.DataFrame, threshold: float | None, options: Mapping[str, int]) -> dict[str, Any]:
    """Measures of each group, by column and value.

    Patients are drawn from everybody, so that groups share their draws. ``difference`` is the AUC of the group
    less that of all other rows. The group of lowest AUC in a column has ``lowest`` set, if there are two with
    an AUC.

    Args:
        known: labelled test rows of two classes.
        threshold: locked on validation; without it there are no rates.
        options: ``draws`` and ``seed`` of the bootstrap.
    """
    patients = patient_keys(known)
    result: dict[str, Any] = {}
    for column, values in subgroup_values(known).items():
        names = sorted(values.dropna().unique(), key=_place)
        rows = {str(name): (values == name).fillna(False).to_numpy(dtype=bool) for name in names}
        result[column] = {name: _subgroup(known, at, patients, threshold, options) for name, at in rows.items()}
        mark_lowest(result[column], lambda part: part["auc"]["value"])
    return result


def mark_lowest(parts: Mapping[str, dict[str, Any]], value_of: Callable[[dict[str, Any]], float | None]) -> None:
    """Set ``lowest`` of the group with the lowest value, where two groups or more have one."""
    values = {name: value for name, part in parts.items() if (value := value_of(part)) is not None}
    if len(values) > 1:
        parts[min(values, key=lambda name: values[name])]["lowest"] = True


def _place(name: str) -> tuple[int, str]:
    """Age bands in order of age, all else by name."""
    return list(AGE_BANDS).index(name) if name in AGE_BANDS else 0, name


def _subgroup(
    known: pd.DataFrame, rows: Rows, patients: NDArray[Any], threshold: float | None, options: Mapping[str, int]
) -> dict[str, Any]:
    labels, values = known["label"].to_numpy(), known["probability"].to_numpy()
    inside, outside = (_patients_of_each_class(patients, labels, at) for at in (rows, ~rows))
    counts = {
        "images": int(rows.sum()),
        "patients": int(np.unique(patients[rows]).size),
        "positive": int(labels[rows].sum()),
        "positive_patients": inside["positive"],
        "negative_patients": inside["negative"],
    }
    auc = _auc_of(labels, values, rows)
    statistics: dict[str, Statistic] = {"auc": auc, "difference": difference(auc, _auc_of(labels, values, ~rows))}
    reasons = {"auc": _too_few(inside), "difference": _too_few(inside) or _too_few(outside, " of the other groups")}
    if threshold is not None:
        called = values >= threshold
        statistics["sensitivity"] = weighted_rate(called, rows & (labels == 1))
        statistics["specificity"] = weighted_rate(~called, rows & (labels == 0))
        reasons["sensitivity"] = _too_few({"positive": inside["positive"]})
        reasons["specificity"] = _too_few({"negative": inside["negative"]})
    told = {name: one for name, one in statistics.items() if reasons[name] is None}
    found = intervals(told, patients, "one class only", options) if told else {}
    return counts | {name: found.get(name, {"value": None, "reason": reasons[name]}) for name in statistics}


def _patients_of_each_class(patients: NDArray[Any], labels: NDArray[Any], rows: Rows) -> dict[str, int]:
    return {
        name: int(np.unique(patients[rows & (labels == value)]).size)
        for name, value in (("positive", 1), ("negative", 0))
    }


def _too_few(counts: Mapping[str, int], where: str = "") -> str | None:
    """Why nothing is told of so few patients; ``None`` where there are enough."""
    scarce = [name for name, count in counts.items() if count < MIN_PATIENTS]
    return f"fewer than {MIN_PATIENTS} {' and '.join(scarce)} patients{where}" if scarce else None


def _auc_of(labels: NDArray[Any], values: NDArray[Any], rows: Rows) -> Statistic:
    if not rows.any():
        return lambda weights: np.full(len(weights), np.nan)
    return restricted(weighted_auc(labels[rows], values[rows]), rows)
