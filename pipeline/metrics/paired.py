"""Every measure of two recipes side by side, with the paired difference: the same patients, one or more seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .alignment import aligned_tables
from .class_measures import all_class_measures
from .classifier_measures import all_measures
from .compare import compare, over_seeds
from .evaluate_classes import CLASS_LEVELS, choose_class_temperature
from .intervals import Interval, Statistic, bootstrap_all, difference
from .operating_points import choose_operating_points
from .predictions import (
    LEVELS,
    aggregate,
    check_predictions,
    class_columns,
    class_probabilities,
    label_columns,
    labelled,
    patient_keys,
)


@dataclass(frozen=True)
class RunPredictions:
    """The test rows of one trained model, and the validation rows that lock its thresholds and temperature."""

    test: pd.DataFrame
    validation: pd.DataFrame | None = None


def compare_measures(
    a: Sequence[RunPredictions],
    b: Sequence[RunPredictions],
    *,
    ordered: bool = False,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare two recipes, each trained with one or more seeds, by every measure and at every level.

    Each draw resamples the patients, the same for all runs, and the seeds of either side. Every run keeps the
    thresholds and the temperature of its own validation rows.

    Args:
        a: the runs of the first recipe.
        b: those of the second: the same labelled test images, in any order.
        ordered: several classes are grades; see :func:`~mammo.pipeline.metrics.evaluate_classes`.
        draws: patient-bootstrap draws.
        seed: of the draws.

    Returns:
        JSON-safe: ``seeds_a``, ``seeds_b``, ``images``, ``patients``, ``levels`` (by level and measure the intervals
        ``a``, ``b`` and ``difference``, a - b) and, for one seed a side and two classes, ``delong`` of the AUC per
        image.

    Raises:
        ValueError: a side is empty, or the runs' images, labels or classes differ.
    """
    if not a or not b:
        raise ValueError("each side needs the predictions of at least one run")
    runs = [*a, *b]
    tests = aligned_tables([labelled(check_predictions(run.test, "test predictions")) for run in runs])
    if label_columns(tests[0]):
        raise ValueError("the runs tell many labels at once: compare_labels compares them")
    kinds = {tuple(class_columns(test)) for test in tests}
    if len(kinds) > 1:
        raise ValueError("the runs answer different questions: their columns of probabilities differ")
    points = [_points(run, bool(class_columns(test))) for run, test in zip(runs, tests, strict=True)]
    levels = CLASS_LEVELS if kinds != {()} else tuple(LEVELS)
    result: dict[str, Any] = {"seeds_a": len(a), "seeds_b": len(b), "images": len(tests[0])}
    result["patients"] = int(np.unique(patient_keys(tests[0])).size)
    result["levels"] = {
        level: _level(level, tests, points, len(a), ordered=ordered, draws=draws, seed=seed) for level in levels
    }
    if len(runs) == 2 and kinds == {()} and tests[0]["label"].nunique() == 2:
        result["delong"] = compare(*tests, draws=1, seed=seed)["delong"]
    return result


class Remembered:
    """A statistic that computes once for the weights it is asked about twice in a row.

    The difference of two sides so has the very draws, of seeds too, that the sides have.

    Args:
        statistic: maps weights ``(D, n)`` to ``(D,)``.
    """

    def __init__(self, statistic: Statistic) -> None:
        self.statistic = statistic
        self.weights: NDArray[np.float64] | None = None
        self.values = np.empty(0)

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        if weights is not self.weights:
            self.weights, self.values = weights, self.statistic(weights)
        return self.values


def _points(run: RunPredictions, several: bool) -> dict[str, Any]:
    if run.validation is not None:
        check_predictions(run.validation, "validation predictions")
    return choose_class_temperature(run.validation) if several else choose_operating_points(run.validation)


def _level(
    level: str,
    tests: Sequence[pd.DataFrame],
    points: Sequence[Mapping[str, Any]],
    split: int,
    *,
    ordered: bool,
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """One level; the first ``split`` runs are side a."""
    try:
        rows = [aggregate(test, *LEVELS[level]) for test in tests]
    except ValueError as error:
        return {"reason": str(error), "measures": {}}
    found = [_measures(part, level, one, ordered) for part, one in zip(rows, points, strict=True)]
    names = [name for name in found[0] if all(name in other for other in found)]
    generator = np.random.default_rng(seed + 1)  # apart from the patients' draws
    statistics: dict[str, Statistic] = {}
    for name in names:
        each = [one[name] for one in found]
        first, second = (Remembered(over_seeds(side, generator)) for side in (each[:split], each[split:]))
        statistics |= {f"{name}/a": first, f"{name}/b": second, f"{name}/difference": difference(first, second)}
    told = bootstrap_all(statistics, patient_keys(rows[0]), draws=draws, seed=seed)
    return {"rows": len(rows[0]), "measures": {name: _sides(told, name) for name in names}}


def _sides(told: Mapping[str, Interval], name: str) -> dict[str, Any]:
    return {side: told[f"{name}/{side}"].as_dict() for side in ("a", "b", "difference")}


def _measures(rows: pd.DataFrame, level: str, points: Mapping[str, Any], ordered: bool) -> dict[str, Statistic]:
    # The temperature was fitted per image: an aggregated probability is another thing.
    temperature = points["temperature"] if level == "image" else None
    if class_columns(rows):
        labels, values = rows["label"].to_numpy(), class_probabilities(rows)
        return all_class_measures(labels, values, ordered=ordered, temperature=temperature)
    return all_measures(rows, points["thresholds"].get(level), temperature)
