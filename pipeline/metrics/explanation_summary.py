"""Explanation measures over images, with patient-bootstrap intervals, each beside its chance and beside a twin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .image_measures import ColumnAUC, ColumnMean, Measure, summarise_measures
from .predictions import patient_keys

CHANCE_OF = {
    "background_ratio": ("background_chance",),
    "pointing_hit": ("pointing_chance", "pointing_chance_breast"),
    "pointing_hit_token": ("pointing_token_chance", "pointing_token_chance_breast"),
    "detected_pointing_hit_token": ("pointing_token_chance", "pointing_token_chance_breast"),
    "energy_in_roi": ("energy_in_roi_chance", "energy_in_roi_chance_breast"),
    "energy_rest": ("energy_rest_chance",),
    "energy_outside": ("energy_outside_chance",),
    "iou": ("iou_chance",),
    "hit_iou_25": ("hit_iou_25_chance",),
    "hit_iou_50": ("hit_iou_50_chance",),
    "degenerate": (),
    "heat_malignant": (),
    "heat_benign": (),
    "insertion": ("insertion_random", "insertion_centre"),
    "deletion": ("deletion_random", "deletion_centre"),
    "randomised_correlation": (),
    "randomised_pointing_hit": ("pointing_chance", "pointing_chance_breast"),
}
"""The chance columns of each mean, the plain one first, the hardest to beat last."""

FIXED_CHANCE = {"randomised_correlation": 0.0}
"""Chances that no image changes. A map that depends on what was learnt has nothing in common with that of a network of
random weights."""

UNSCALED = ("attention",)
"""Maps that share out a fixed total, so that how much heat they hold says nothing."""

REQUIRED = ("image_id", "patient_id", "map", "degenerate", "background_ratio", "background_chance")


def read_explanations(path: Path) -> pd.DataFrame:
    """Read and check an ``explanations.csv``: one row per image and map.

    Raises:
        ValueError: it is no readable table, or a column is missing or holds something that is no number.
    """
    text = dict.fromkeys(("image_id", "patient_id", "map"), "string")
    try:
        frame = pd.read_csv(path, dtype=text, encoding="utf-8")
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path}: not a readable table of explanations ({error})") from error
    return check_explanations(frame, str(path))


def check_explanations(frame: pd.DataFrame, where: str = "explanations") -> pd.DataFrame:
    """Refuse a table without the needed columns; ``where`` names it in the error. Returns it unchanged."""
    absent = [name for name in REQUIRED if name not in frame.columns]
    plain = {name: chances[0] for name, chances in CHANCE_OF.items() if chances and name in frame}
    absent += [f"{chance} (of {name})" for name, chance in plain.items() if chance not in frame]
    if absent:
        raise ValueError(f"{where}: column {', '.join(dict.fromkeys(absent))} is missing")
    measured = [name for name in ("degenerate", *CHANCE_OF) if name in frame]
    wrong = [name for name in measured if not pd.api.types.is_numeric_dtype(frame[name].dtype)]
    if wrong:
        raise ValueError(f"{where}: column {', '.join(wrong)} holds something that is no number")
    twice = frame.duplicated([name for name in ("dataset", "image_id", "map") if name in frame])
    if twice.any():
        raise ValueError(f"{where}: image {frame.loc[twice, 'image_id'].iloc[0]!r} has two rows for the same map")
    return frame


def summarise_explanations(
    frame: pd.DataFrame,
    *,
    draws: int = 2000,
    seed: int = 0,
    threshold: float | None = None,
    twin: pd.DataFrame | None = None,
    twin_threshold: float | None = None,
) -> dict[str, Any]:
    """Every measure for each kind of map, for ``explanations.json``.

    Rows without a value (no known lesion, no breast, degenerate map) are left out of a mean and counted
    beside it. Beside the columns of the table these are told, where it has what they need:
    ``detected_pointing_hit_token``, ``pointing_hit_token`` among malignant images that are called malignant;
    ``heat_malignant`` and ``heat_benign``, the mean of the map as it comes; ``heat_auc``, how well that mean tells
    malignant from benign.

    Args:
        frame: rows of ``explanations.csv``; measures that it does not have are left out.
        draws: bootstrap draws of patients.
        seed: of the draws.
        threshold: probability from which an image is called malignant, chosen on validation patients.
        twin: rows of the twin, for the paired difference.
        twin_threshold: the twin's own threshold.

    Returns:
        ``{"unit", "draws", "seed", "maps": {map: {"images", "patients", "degenerate", "measures": {...}}}}``, the
        measures as :func:`~mammo.pipeline.metrics.image_measures.summarise_measures` gives them.

    Raises:
        ValueError: a needed column is missing, there are no rows, or the twin's images are others.
    """
    check_explanations(frame)
    if frame.empty:
        raise ValueError("explanations: there are no rows to summarise")
    rows = _derived(frame, threshold)
    other = None if twin is None else _derived(check_explanations(twin, "twin"), twin_threshold)
    options: dict[str, Any] = {"draws": draws, "seed": seed}
    maps = {}
    for kind, of_kind in rows.groupby("map", sort=True):
        rivals = None if other is None else other[other["map"] == kind]
        maps[str(kind)] = _summary(of_kind, rivals if rivals is not None and len(rivals) else None, options)
    return {"unit": "patient", **options, "maps": maps}


def _derived(frame: pd.DataFrame, threshold: float | None) -> pd.DataFrame:
    """The table with the columns that follow from label, probability and threshold."""
    rows = frame.copy()
    if "label" not in rows:
        return rows
    malignant, benign = rows["label"] == 1, rows["label"] == 0
    if threshold is not None and {"probability", "pointing_hit_token"} <= set(rows):
        detected = malignant & (rows["probability"] >= threshold)
        rows["detected_pointing_hit_token"] = rows["pointing_hit_token"].where(detected)
    if "heat" in rows:
        rows["heat"] = rows["heat"].where(~rows["map"].isin(UNSCALED))
        rows["heat_malignant"], rows["heat_benign"] = rows["heat"].where(malignant), rows["heat"].where(benign)
    return rows


def _measures(rows: pd.DataFrame) -> Sequence[Measure]:
    means = [ColumnMean(name, chances, FIXED_CHANCE.get(name)) for name, chances in CHANCE_OF.items() if name in rows]
    return [*means, *([ColumnAUC("heat_auc", "heat")] if {"heat", "label"} <= set(rows) else [])]


def _summary(rows: pd.DataFrame, twin: pd.DataFrame | None, options: dict[str, Any]) -> dict[str, Any]:
    names = _measures(rows)
    if twin is not None:
        names = [measure for measure in names if measure in _measures(twin)]
    reasons = {"heat_auc": "no heat of both a benign and a malignant image"}
    return {
        "images": len(rows),
        "patients": int(np.unique(patient_keys(rows)).size),
        "degenerate": int(rows["degenerate"].sum()),
        "measures": summarise_measures(rows, names, twin, reasons=reasons, **options),
    }
