"""Scores of recipes that were trained with several seeds: means over seeds, and differences, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from .alignment import aligned_tables
from .class_measures import class_measures, told_classes
from .classifier_measures import ranking_measures
from .compare import over_seeds
from .discrimination import missing_class
from .evaluate_labels import label_rows
from .intervals import Statistic, bootstrap, difference
from .predictions import check_predictions, class_columns, class_probabilities, label_columns, labelled, patient_keys

__all__ = ["compare_seeds", "ranking_statistics", "score", "score_over_seeds"]

SCORES = ("auc", "average_precision", "accuracy")


def ranking_statistics(known: pd.DataFrame) -> dict[str, Statistic]:
    """``auc`` and ``average_precision`` of labelled predictions of any kind, as statistics of row weights.

    Of two classes they are the usual ones, of several classes means over one against the rest, of many labels means
    over the labels. Several classes have ``accuracy`` too, of the likeliest class.

    Args:
        known: see :func:`~mammo.pipeline.metrics.predictions.labelled`.

    Raises:
        ValueError: nothing can be told, because all rows have the same label.
    """
    if label_columns(known):
        rows = label_rows(known)
        if not rows.told:
            raise ValueError("no label has both classes among the rows")
        found = rows.macro(rows.told, ranking_measures)
    elif class_columns(known):
        labels, values = known["label"].to_numpy(), class_probabilities(known)
        if not told_classes(labels, values.shape[1]):
            raise ValueError("all rows are of one class; two are needed")
        found = class_measures(labels, values, ordered=False)
    else:
        labels = known["label"].to_numpy()
        if absent := missing_class(labels):
            raise ValueError(absent)
        found = ranking_measures(labels, known["probability"].to_numpy())
    return {name: found[name] for name in SCORES if name in found}


def score(known: pd.DataFrame, name: str = "auc") -> float:
    """One of :func:`ranking_statistics` of labelled predictions."""
    return float(ranking_statistics(known)[name](np.ones((1, len(known))))[0])


def score_over_seeds(
    tables: Sequence[pd.DataFrame], name: str = "auc", *, draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Mean score over seeds on the same images, with an interval over patients and seeds together.

    Args:
        tables: predictions of each seed.
        name: of :func:`ranking_statistics`.
        draws: of patients, and of seeds with each.
        seed: of the draws.

    Raises:
        ValueError: the tables are not of the same images.
    """
    aligned = _known(tables)
    statistics = [ranking_statistics(table)[name] for table in aligned]
    generator = np.random.default_rng(seed + 1)  # apart from the patients' draws
    interval = bootstrap(over_seeds(statistics, generator), patient_keys(aligned[0]), draws=draws, seed=seed)
    return interval.as_dict()


def compare_seeds(
    a: Sequence[pd.DataFrame], b: Sequence[pd.DataFrame], *, draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Compare two recipes that were each trained with several seeds, by mean AUC over seeds.

    Each draw resamples the patients, the same for all runs, and the seeds of either side, so that the
    interval holds the luck of training as well as that of sampling. With one seed a side it equals
    :func:`compare`.

    Raises:
        ValueError: a side is empty, the runs' images or labels differ, or a class is absent.
    """
    if not a or not b:
        raise ValueError("each side needs the predictions of at least one seed")
    aligned = _known([*a, *b])
    statistics = [ranking_statistics(table)["auc"] for table in aligned]
    sides = statistics[: len(a)], statistics[len(a) :]
    generator, patients = np.random.default_rng(seed + 1), patient_keys(aligned[0])
    interval = bootstrap(difference(*(over_seeds(side, generator) for side in sides)), patients, draws=draws, seed=seed)
    whole = np.ones((1, len(patients)))
    means = [float(np.mean([one(whole)[0] for one in side])) for side in sides]
    return {
        "auc_a": means[0],
        "auc_b": means[1],
        "difference": interval.as_dict(),
        "seeds_a": len(a),
        "seeds_b": len(b),
    }


def _known(tables: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    return aligned_tables([labelled(check_predictions(table, "a run")) for table in tables])
