"""What ``metrics.json`` says about many labels at once, such as the margins of a mass: each is there or is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .alignment import aligned_tables
from .calibration import apply_temperature, fit_temperature
from .class_measures import macro
from .classifier_measures import calibration_measures, intervals, ranking_measures, threshold_measures
from .compare import over_seeds
from .discrimination import choose_threshold, missing_class
from .evaluate import RESEARCH_USE
from .intervals import Statistic, bootstrap_all, difference, restricted
from .paired import Remembered, RunPredictions
from .predictions import checked_sections, label_columns, labelled, patient_keys
from .subgroups import MIN_PATIENTS, mark_lowest, subgroup_values
from .weighted import Floats, ratio, weighted_rate

RANKING = ("auc", "average_precision")
RATES = ("sensitivity", "specificity", "positive_predictive_value")
RULE = "youden"
"""How the threshold of a label is chosen, see :data:`~mammo.pipeline.metrics.RULES`."""
NO_LABEL = "no label has both classes among the rows"

Options = dict[str, int]
Told = Statistic | str
"""A statistic, or the reason why there is none."""
Measures = Callable[[NDArray[Any], NDArray[Any]], Mapping[str, Statistic]]


@dataclass(frozen=True)
class LabelRows:
    """The rows of a table of many labels as arrays.

    Attributes:
        names: of the labels, L of them.
        truth: ``(n, L)`` bool, False also where nothing is known.
        known: ``(n, L)`` bool.
        scores: ``(n, L)`` probabilities.
    """

    names: Sequence[str]
    truth: NDArray[np.bool_]
    known: NDArray[np.bool_]
    scores: Floats

    def of(self, k: int) -> tuple[NDArray[Any], Floats]:
        """Labels (0 and 1) and probabilities of the rows that know label ``k``, ``(m,)`` each."""
        rows = self.known[:, k]
        return self.truth[rows, k].astype(np.intp), self.scores[rows, k]

    def measures(self, k: int, measures: Measures) -> dict[str, Statistic]:
        """Measures of label ``k`` alone, as statistics of the weights of all ``n`` rows."""
        return {name: restricted(one, self.known[:, k]) for name, one in measures(*self.of(k)).items()}

    def macro(self, places: Sequence[int], measures: Measures) -> dict[str, Statistic]:
        """Means of the measures over the labels at ``places``, one at least."""
        each = [self.measures(k, measures) for k in places]
        return {name: macro([one[name] for one in each]) for name in each[0]}

    @property
    def told(self) -> list[int]:
        """Places of the labels that some rows have and others have not."""
        return [k for k in range(len(self.names)) if missing_class(self.of(k)[0]) is None]


def label_rows(known: pd.DataFrame) -> LabelRows:
    """The arrays of labelled rows, see :func:`~mammo.pipeline.metrics.predictions.labelled`.

    Raises:
        ValueError: the table is not one of many labels.
    """
    names = label_columns(known)
    if not names:
        raise ValueError("this is no table of many labels: columns label_NAME and probability_NAME are missing")
    labels = known[[f"label_{name}" for name in names]].to_numpy(dtype=np.intp)
    scores = known[[f"probability_{name}" for name in names]].to_numpy(dtype=np.float64)
    return LabelRows(names, labels == 1, labels >= 0, scores)


def evaluate_labels(
    test: pd.DataFrame,
    validation: pd.DataFrame | None = None,
    *,
    points: Mapping[str, Any] | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Evaluate test predictions of many labels; thresholds and temperature come from validation alone.

    An image with two labels is positive for both. Where a label is not known of an image, the image does not count for
    this label. Macro figures are means over the labels that some rows have and others have not (``labels_told``).

    Args:
        test: rows with ``label_NAME`` and ``probability_NAME`` of each label, see
            :func:`~mammo.pipeline.metrics.check_predictions`.
        validation: likewise; without it there is neither threshold nor temperature.
        points: what :func:`choose_label_points` chose in another evaluation of the same classifier, to be used in
            place of what validation would give.
        draws: patient-bootstrap draws.
        seed: of the draws.

    Returns:
        A JSON-safe dictionary: ``counts``; ``levels``, images alone (macro AUC and average precision, and at the
        locked thresholds ``exact_match``, the share of images with all labels right, and ``hamming_loss``, the share
        of labels called wrongly); ``labels``, one by one; ``calibration`` (means over labels) and ``subgroups`` (macro
        AUC). What is undefined is ``None`` beside a ``reason``.

    Raises:
        ValueError: a table is malformed, no test row has a known label, the two tables have other labels, or
            ``points`` tell nothing of one.
    """
    known, tuning = checked_sections(test, validation)
    if tuning is not None and label_columns(tuning) != label_columns(known):
        raise ValueError(f"test has the labels {label_columns(known)}, validation has {label_columns(tuning)}")
    rows, patients, options = label_rows(known), patient_keys(known), {"draws": draws, "seed": seed}
    chosen = choose_label_points(tuning) if points is None else points
    thresholds = _thresholds(rows.names, chosen)
    macros = _image_measures(rows, thresholds)
    return {
        "notice": RESEARCH_USE,
        "bootstrap": {"unit": "patient", "level": 0.95, **options},
        "counts": _counts(test, known, tuning),
        "levels": {
            "image": {
                "rows": len(known),
                "labels_told": [rows.names[k] for k in rows.told],
                **_intervals(macros, patients, options),
            }
        },
        "labels": {name: _one_label(rows, k, thresholds[name], patients, options) for k, name in enumerate(rows.names)},
        "calibration": _calibration(rows, chosen, patients, options),
        "subgroups": _subgroups(known, rows, patients, options),
    }


def choose_label_points(validation: pd.DataFrame | None) -> dict[str, Any]:
    """What ``operating_points.json`` holds for many labels: a threshold for each, and one temperature for all.

    A temperature of its own for each label would rest on few positives of the rare ones; the one is fitted to all known
    labels together.

    Args:
        validation: checked rows; what is not known in them does not count.

    Returns:
        JSON-safe: ``chosen_on``, ``counts``, ``temperature`` and ``thresholds`` (by label, then rule: Youden's index).
        What cannot be chosen is ``None`` or left out; ``reasons`` then says why, by label, and ``reason`` why there is
        no temperature.
    """
    known = None if validation is None else labelled(validation)
    found: dict[str, Any] = {"chosen_on": "validation", "counts": {"images": 0}, "temperature": None}
    found |= {"thresholds": {}, "reasons": {}}
    if known is None or known.empty:
        return found | {"reason": "no labelled validation predictions were given"}
    rows = label_rows(known)
    found["counts"] = {"images": len(known), "positive": _positives(rows)}
    for k, name in enumerate(rows.names):
        labels, scores = rows.of(k)
        absent = missing_class(labels)
        if absent:
            found["reasons"][name] = f"validation predictions, {name}: {absent}"
        else:
            found["thresholds"][name] = {RULE: choose_threshold(labels, scores, RULE)}
    labels, scores = rows.truth[rows.known].astype(np.intp), rows.scores[rows.known]
    absent = missing_class(labels)
    if absent:
        return found | {"reason": f"validation predictions: {absent}"}
    return found | {"temperature": fit_temperature(labels, scores)}


def compare_labels(
    a: Sequence[RunPredictions], b: Sequence[RunPredictions], *, draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Compare two recipes of many labels, as :func:`~mammo.pipeline.metrics.compare_measures` does for classes.

    Args:
        a: the runs of the first recipe.
        b: those of the second: the same labelled test images, in any order.
        draws: patient-bootstrap draws.
        seed: of the draws.

    Returns:
        JSON-safe: ``seeds_a``, ``seeds_b``, ``images``, ``patients`` and ``levels``: of images, by measure, the
        intervals ``a``, ``b`` and ``difference``, a - b.

    Raises:
        ValueError: a side is empty, no row has a known label, or the runs' images or labels differ.
    """
    if not a or not b:
        raise ValueError("each side needs the predictions of at least one run")
    sections = [checked_sections(run.test, run.validation) for run in (*a, *b)]
    if len({tuple(label_columns(test)) for test, _ in sections}) > 1 or not label_columns(sections[0][0]):
        raise ValueError("the runs answer different questions: each needs the same labels")
    tests = aligned_tables([test for test, _ in sections])
    points = [choose_label_points(tuning) for _, tuning in sections]
    found = [_all_measures(label_rows(test), one) for test, one in zip(tests, points, strict=True)]
    names = [name for name in found[0] if all(name in other for other in found)]
    generator = np.random.default_rng(seed + 1)  # apart from the patients' draws
    statistics: dict[str, Statistic] = {}
    for name in names:
        each = [one[name] for one in found]
        first, second = (Remembered(over_seeds(side, generator)) for side in (each[: len(a)], each[len(a) :]))
        statistics |= {f"{name}/a": first, f"{name}/b": second, f"{name}/difference": difference(first, second)}
    patients = patient_keys(tests[0])
    told = bootstrap_all(statistics, patients, draws=draws, seed=seed)
    sides = {n: {side: told[f"{n}/{side}"].as_dict() for side in ("a", "b", "difference")} for n in names}
    return {
        "seeds_a": len(a),
        "seeds_b": len(b),
        "images": len(tests[0]),
        "patients": int(np.unique(patients).size),
        "levels": {"image": {"rows": len(tests[0]), "measures": sides}},
    }


def _counts(test: pd.DataFrame, known: pd.DataFrame, tuning: pd.DataFrame | None) -> dict[str, Any]:
    rows, patients = label_rows(known), patient_keys(test)
    both = 0 if tuning is None else np.intersect1d(patients, patient_keys(tuning)).size
    return {
        "images": len(test),
        "patients": int(np.unique(patients).size),
        "unlabelled": len(test) - len(known),
        "with_several_labels": int((rows.truth.sum(axis=1) > 1).sum()),
        "positive": _positives(rows),
        "validation_images": 0 if tuning is None else len(tuning),
        "patients_in_test_and_validation": int(both),
    }


def _positives(rows: LabelRows) -> dict[str, int]:
    return dict(zip(rows.names, rows.truth.sum(axis=0).tolist(), strict=True))


def _thresholds(names: Sequence[str], points: Mapping[str, Any]) -> dict[str, float | str]:
    """The locked threshold of each label, or the reason why there is none."""
    found: dict[str, float | str] = {}
    for name in names:
        reason = points.get("reasons", {}).get(name, points.get("reason"))
        told = points["thresholds"].get(name, {}).get(RULE, reason)
        if told is None:
            raise ValueError(f"the operating points tell nothing of label {name!r}; take those of this classifier")
        found[name] = told
    return found


def _image_measures(rows: LabelRows, thresholds: Mapping[str, float | str]) -> dict[str, Told]:
    """Macro measures, and what the locked thresholds decide of all labels together."""
    found: dict[str, Told] = dict.fromkeys(RANKING, NO_LABEL)
    if rows.told:
        found |= rows.macro(rows.told, _ranking)
    without = [told for told in thresholds.values() if isinstance(told, str)]
    if without:
        return found | dict.fromkeys(("exact_match", "hamming_loss"), without[0])
    called = rows.scores >= np.array(list(thresholds.values()), dtype=np.float64)
    wrong = (called != rows.truth) & rows.known
    mistakes, answers = wrong.sum(axis=1), rows.known.sum(axis=1)
    found["exact_match"] = weighted_rate(mistakes == 0, rows.known.all(axis=1))
    found["hamming_loss"] = lambda weights: ratio(weights @ mistakes, weights @ answers)
    return found


def _ranking(labels: NDArray[Any], scores: NDArray[Any]) -> dict[str, Statistic]:
    found = ranking_measures(labels, scores)
    return {name: found[name] for name in RANKING}


def _label_measures(rows: LabelRows, k: int, threshold: float | str) -> dict[str, Told]:
    """Measures of one label; its rates at the locked threshold."""
    absent = missing_class(rows.of(k)[0])
    found: dict[str, Told] = dict.fromkeys(RANKING, absent) if absent else dict(rows.measures(k, _ranking))
    if isinstance(threshold, str):
        return found | dict.fromkeys(RATES, threshold)
    rates = rows.measures(k, lambda labels, scores: threshold_measures(labels, scores, threshold))
    return found | {name: rates[name] for name in RATES}


def _one_label(
    rows: LabelRows, k: int, threshold: float | str, patients: NDArray[Any], options: Options
) -> dict[str, Any]:
    chosen: dict[str, Any] = {"value": threshold, "chosen_on": "validation"}
    if isinstance(threshold, str):
        chosen = {"value": None, "reason": threshold}
    return {
        "images": int(rows.known[:, k].sum()),
        "positive": int(rows.truth[:, k].sum()),
        "threshold": chosen,
        **_intervals(_label_measures(rows, k, threshold), patients, options),
    }


def _intervals(measures: Mapping[str, Told], patients: NDArray[Any], options: Options) -> dict[str, Any]:
    """Intervals by name in the order given; ``None`` with its reason for what has one."""
    statistics = {name: one for name, one in measures.items() if not isinstance(one, str)}
    found = intervals(statistics, patients, "no row to divide by", options) if statistics else {}
    return {name: found.get(name, {"value": None, "reason": one}) for name, one in measures.items()}


def _calibration(
    rows: LabelRows, points: Mapping[str, Any], patients: NDArray[Any], options: Options
) -> dict[str, Any]:
    """Calibration errors as means over the labels that any row knows."""
    before = intervals(_calibration_measures(rows), patients, None, options)
    temperature = points["temperature"]
    if temperature is None:
        return {"temperature": None, "reason": points["reason"], "before": before, "after": None}
    after = intervals(_calibration_measures(rows, temperature), patients, None, options)
    return {"temperature": temperature, "fitted_on": "validation", "before": before, "after": after}


def _calibration_measures(rows: LabelRows, temperature: float | None = None) -> dict[str, Statistic]:
    def measures(labels: NDArray[Any], scores: NDArray[Any]) -> dict[str, Statistic]:
        values = scores if temperature is None else apply_temperature(scores, temperature)
        return calibration_measures(labels, values)

    return rows.macro(np.flatnonzero(rows.known.any(axis=0)).tolist(), measures)


def _all_measures(rows: LabelRows, points: Mapping[str, Any]) -> dict[str, Statistic]:
    """Every measure that is told, under one flat name each; of one label the name stands behind a comma."""
    thresholds, temperature = _thresholds(rows.names, points), points["temperature"]
    found: dict[str, Told] = {**_image_measures(rows, thresholds), **_calibration_measures(rows)}
    if temperature is not None:
        after = _calibration_measures(rows, temperature)
        found |= {f"{name} with temperature": one for name, one in after.items()}
    for k, name in enumerate(rows.names):
        found |= {f"{key}, {name}": one for key, one in _label_measures(rows, k, thresholds[name]).items()}
    return {name: one for name, one in found.items() if not isinstance(one, str)}


def _subgroups(known: pd.DataFrame, rows: LabelRows, patients: NDArray[Any], options: Options) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for column, values in subgroup_values(known).items():
        groups = {
            str(name): (values == name).fillna(False).to_numpy(dtype=bool) for name in sorted(values.dropna().unique())
        }
        result[column] = {name: _subgroup(rows, at, patients, options) for name, at in groups.items()}
        mark_lowest(result[column], lambda part: part["auc"]["value"])
    return result


def _subgroup(rows: LabelRows, at: NDArray[np.bool_], patients: NDArray[Any], options: Options) -> dict[str, Any]:
    """Macro AUC of a group, over the labels of the whole table: a mean over fewer would be another measure."""
    inside = LabelRows(rows.names, rows.truth, rows.known & at[:, None], rows.scores)
    scarce = [rows.names[k] for k in rows.told if _fewest_patients(inside, k, patients) < MIN_PATIENTS]
    auc: Told = f"fewer than {MIN_PATIENTS} patients with or without {', '.join(scarce)}" if scarce else NO_LABEL
    if rows.told and not scarce:
        auc = inside.macro(rows.told, _ranking)["auc"]
    count = {"images": int(at.sum()), "patients": int(np.unique(patients[at]).size)}
    return count | _intervals({"auc": auc}, patients, options)


def _fewest_patients(rows: LabelRows, k: int, patients: NDArray[Any]) -> int:
    """Patients with the label or without it, whichever are fewer."""
    has, known = rows.truth[:, k], rows.known[:, k]
    return min(np.unique(patients[known & has]).size, np.unique(patients[known & ~has]).size)
