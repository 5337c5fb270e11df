"""Figures of breasts and of whole exams, where the table of predictions knows which images belong to one exam."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from .classifier_measures import intervals, ranking_measures
from .discrimination import missing_class
from .evaluate_labels import NO_LABEL, RANKING, LabelRows, label_rows
from .intervals import Statistic
from .predictions import LEVELS, aggregate, class_columns, label_columns, labelled, patient_keys

__all__ = ["EXAM", "exam_rows", "higher_levels", "label_level_rows"]

EXAM = "exam_max"
"""The most suspicious breast of an exam, a breast being the mean of its images."""
IDS = ("image_id", "dataset", "patient_id", "study_id", "laterality")

Options = Mapping[str, int]


def higher_levels(test: pd.DataFrame, *, draws: int = 2000, seed: int = 0) -> dict[str, Any]:
    """What ``levels`` of ``metrics.json`` tells of exams, and of many labels at once of breasts and patients too.

    Tables without a column ``study_id`` give nothing: of lesions, and of data sets that do not know exams, they have
    none. Of several classes there is no most suspicious breast, and nothing is told either.

    Args:
        test: checked rows, see :func:`~mammo.pipeline.metrics.check_predictions`.
        draws: patient-bootstrap draws.
        seed: of the draws.

    Returns:
        JSON-safe, by level: ``rows``, the measures with their intervals, and of many labels ``labels_told`` and, by
        name in ``labels``, the measures of each. What cannot be told is None beside a ``reason``.
    """
    if "study_id" not in test or class_columns(test):
        return {}
    options = {"draws": draws, "seed": seed}
    if label_columns(test):
        return {name: _labels_at(test, name, options) for name in (*list(LEVELS)[1:], EXAM)}
    return {EXAM: _exams(test, options)}


def exam_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per exam: the largest of its breasts' probabilities, each the mean of the breast's images.

    An exam is the images of one ``study_id``, or all of a patient whose studies are not known. It is positive if one of
    its images is; rows of unknown label are left out first, as in :func:`~mammo.pipeline.metrics.aggregate`.

    Args:
        frame: predictions of two classes, with ``study_id`` and ``laterality``.

    Returns:
        Columns ``patient_id`` (with the data set), ``study_id``, ``label``, ``probability`` and ``images``.

    Raises:
        ValueError: the laterality of an image is not known.
    """
    known = labelled(frame)
    unknown = len(known) if "laterality" not in known else int(known["laterality"].isna().sum())
    if unknown:
        raise ValueError(f"{unknown} of {len(known)} images have no laterality: no figure per exam")
    study = known["study_id"].astype("string").fillna("")
    known = known.assign(patient_id=patient_keys(known), study_id=study, images=1)
    keys = ["patient_id", "study_id"]
    breasts = known.groupby([*keys, "laterality"]).agg(
        label=("label", "max"), probability=("probability", "mean"), images=("images", "sum")
    )
    exams = breasts.groupby(keys, sort=True)
    return exams.agg(label=("label", "max"), probability=("probability", "max"), images=("images", "sum")).reset_index()


def label_level_rows(frame: pd.DataFrame, level: str) -> pd.DataFrame:
    """A table of many labels with one row per breast, exam or patient.

    Each label comes from the images that know it; where none of a row does, it is -1 there.

    Args:
        frame: predictions of many labels.
        level: of :data:`~mammo.pipeline.metrics.LEVELS`, or :data:`EXAM`.

    Raises:
        ValueError: as :func:`exam_rows` and :func:`~mammo.pipeline.metrics.aggregate` raise it.
    """
    ids, parts = frame[[name for name in IDS if name in frame]], []
    for name in label_columns(frame):
        one = ids.assign(label=frame[f"label_{name}"], probability=frame[f"probability_{name}"])
        rows = exam_rows(one) if level == EXAM else aggregate(one, *LEVELS[level])
        keys = [key for key in ("patient_id", "study_id", "laterality") if key in rows]
        parts.append(rows.set_index(keys)[["label", "probability"]].add_suffix(f"_{name}"))
    wide = pd.concat(parts, axis=1)
    unknown = {column: -1 if str(column).startswith("label_") else 0.0 for column in wide}
    return wide.fillna(unknown).reset_index()


def _exams(test: pd.DataFrame, options: Options) -> dict[str, Any]:
    try:
        rows = exam_rows(test)
    except ValueError as error:
        return {**dict.fromkeys(("auc", "average_precision", "probabilistic_f1")), "reason": str(error)}
    labels, values = rows["label"].to_numpy(), rows["probability"].to_numpy()
    told = intervals(ranking_measures(labels, values), patient_keys(rows), missing_class(labels), options)
    return {"rows": len(rows), "positive": int(labels.sum()), **told}


def _labels_at(test: pd.DataFrame, level: str, options: Options) -> dict[str, Any]:
    try:
        table = label_level_rows(test, level)
    except ValueError as error:
        return {**dict.fromkeys(RANKING), "reason": str(error)}
    rows, patients = label_rows(table), patient_keys(table)
    each = {
        name: {
            "rows": int(rows.known[:, k].sum()),
            "positive": int(rows.truth[:, k].sum()),
            **_told(
                rows.measures(k, _ranking) if k in rows.told else {}, missing_class(rows.of(k)[0]), patients, options
            ),
        }
        for k, name in enumerate(rows.names)
    }
    macros = _told(rows.macro(rows.told, _ranking) if rows.told else {}, NO_LABEL, patients, options)
    return {"rows": len(table), "labels_told": _names(rows), **macros, "labels": each}


def _names(rows: LabelRows) -> list[str]:
    return [rows.names[k] for k in rows.told]


def _ranking(labels: Any, scores: Any) -> dict[str, Statistic]:
    found = ranking_measures(labels, scores)
    return {name: found[name] for name in RANKING}


def _told(statistics: Mapping[str, Statistic], reason: str | None, patients: Any, options: Options) -> dict[str, Any]:
    if not statistics:
        return {name: {"value": None, "reason": reason} for name in RANKING}
    return intervals(statistics, patients, reason, options)
