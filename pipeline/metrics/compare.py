"""Is one model better than another? Paired differences on the same patients, over several seeds too."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from .alignment import aligned_tables
from .delong import delong
from .discrimination import check_two_classes
from .explanation_summary import check_explanations
from .intervals import Statistic, bootstrap, bootstrap_all, difference
from .predictions import check_predictions, labelled, patient_keys
from .weighted import weighted_auc, weighted_mean


def compare(a: pd.DataFrame, b: pd.DataFrame, *, draws: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Compare two models by AUC per image on the same test images.

    Args:
        a: test predictions of the first model.
        b: those of the second: the same labelled images, in any order.
        draws: patient-bootstrap draws, the same for both models.
        seed: of the draws.

    Returns:
        JSON-safe: ``auc_a``, ``auc_b`` and ``difference`` (a - b) as intervals, ``delong`` with the p value for
            clustered images and ``independent_p_value``, which takes images of one patient as independent.

    Raises:
        ValueError: the images or their labels differ, or a class is absent.
    """
    tables = (labelled(check_predictions(table, name)) for table, name in ((a, "first"), (b, "second")))
    first, second = aligned_tables(list(tables))
    labels, patients = first["label"].to_numpy(), patient_keys(first)
    scores = first["probability"].to_numpy(), second["probability"].to_numpy()
    check_two_classes(labels, scores[0])
    auc_a, auc_b = (weighted_auc(labels, values) for values in scores)
    statistics = {"auc_a": auc_a, "auc_b": auc_b, "difference": difference(auc_a, auc_b)}
    intervals = bootstrap_all(statistics, patients, draws=draws, seed=seed)
    return {
        "images": len(first),
        "patients": int(np.unique(patients).size),
        **{name: interval.as_dict() for name, interval in intervals.items()},
        "delong": _delong(labels, *scores, patients),
    }


def compare_explanations(
    a: pd.DataFrame, b: pd.DataFrame, measure: str = "background_ratio", *, draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Paired difference (a - b) of one explanation measure, per kind of map, on images that both have.

    It is a mean over patients: the images of a patient are averaged first, so that each patient counts once.

    Args:
        a: rows of the first model's ``explanations.csv``.
        b: those of the second.
        measure: column to compare.
        draws: patient-bootstrap draws.
        seed: of the draws.

    Returns:
        ``{map: {"images", "left_out", "difference": interval}}``; ``left_out`` counts images that one side
            lacks or on which the measure is undefined for one of them.

    Raises:
        ValueError: a column is missing, or the two share no image and map.
    """
    for frame, where in ((a, "first"), (b, "second")):
        check_explanations(frame, where)
        if measure not in frame:
            raise ValueError(f"{where}: column {measure} is missing")
    keys = [name for name in ("dataset", "patient_id", "image_id", "map") if name in a and name in b]
    both = a[[*keys, measure]].merge(b[[*keys, measure]], on=keys, how="outer", suffixes=("_a", "_b"))
    both["gap"] = both[f"{measure}_a"] - both[f"{measure}_b"]
    if both["gap"].isna().all():
        raise ValueError(f"no image and map has {measure} on both sides")
    return {str(kind): _gap(rows, draws, seed) for kind, rows in both.groupby("map", sort=True)}


def _gap(rows: pd.DataFrame, draws: int, seed: int) -> dict[str, Any]:
    of_patient = rows["gap"].groupby(patient_keys(rows)).mean()  # without the images that lack it
    interval = bootstrap(weighted_mean(of_patient), of_patient.index.to_numpy(dtype=str), draws=draws, seed=seed)
    missing = int(rows["gap"].isna().sum())
    return {"images": len(rows) - missing, "left_out": missing, "difference": interval.as_dict()}


def over_seeds(statistics: Sequence[Statistic], generator: np.random.Generator) -> Statistic:
    """Mean over seeds drawn anew for each draw of patients; the plain mean where all weights are one.

    Args:
        statistics: of each seed.
        generator: draws the seeds.
    """

    def statistic(weights: np.ndarray) -> np.ndarray:
        values = np.stack([one(weights) for one in statistics], axis=1)  # (D, seeds)
        if (weights == 1).all():
            return values.mean(axis=1)
        drawn = generator.integers(len(statistics), size=values.shape)
        return np.take_along_axis(values, drawn, axis=1).mean(axis=1)

    return statistic


def _delong(labels: np.ndarray, a: np.ndarray, b: np.ndarray, patients: np.ndarray) -> dict[str, Any]:
    clusters = [np.unique(patients[labels == value]).size for value in (0, 1)]
    if min(clusters) < 2:
        return {"p_value": None, "independent_p_value": None, "reason": "fewer than two patients of a class"}
    clustered, independent = delong(labels, a, b, patients), delong(labels, a, b)
    return {
        "p_value": clustered.p_value,
        "standard_error": clustered.standard_error,
        "independent_p_value": independent.p_value,
    }
