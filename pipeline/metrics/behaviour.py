"""Does a classifier decide by the breast? What its probabilities do when breast or background are taken away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .image_measures import ColumnAUC, ColumnMean, Measure, summarise_measures

ERASED = ("breast_erased", "background_erased")
"""Images of which a part was replaced by the grey of the air."""

SWAPPED = ("marker_swapped", "background_swapped")
"""Images of which a part was replaced by that of another patient's image."""

REQUIRED = (
    "image_id",
    "patient_id",
    "label",
    "partner_image_id",
    "probability",
    *(f"probability_{variant}" for variant in (*ERASED, *SWAPPED)),
)


def read_behaviour(path: Path) -> pd.DataFrame:
    """Read and check a ``behaviour.csv``: one row an image.

    Raises:
        ValueError: it is no readable table, or :func:`check_behaviour` finds a fault.
    """
    text = dict.fromkeys(("image_id", "patient_id", "dataset", "partner_image_id", "partner_dataset"), "string")
    try:
        frame = pd.read_csv(path, dtype=text, encoding="utf-8")
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path}: not a readable table of behaviour ({error})") from error
    return check_behaviour(frame, str(path))


def check_behaviour(frame: pd.DataFrame, where: str = "behaviour") -> pd.DataFrame:
    """Refuse a table without the needed columns or with an image twice; ``where`` names it. Returns it unchanged.

    Raises:
        ValueError: as said.
    """
    required = (*REQUIRED, "partner_dataset") if "dataset" in frame else REQUIRED
    absent = [name for name in required if name not in frame]
    if absent:
        raise ValueError(f"{where}: column {', '.join(absent)} is missing; needed are {', '.join(required)}")
    twice = frame.duplicated([name for name in ("dataset", "image_id") if name in frame])
    if twice.any():
        raise ValueError(f"{where}: image {frame.loc[twice, 'image_id'].iloc[0]!r} occurs twice")
    return frame


def summarise_behaviour(
    frame: pd.DataFrame,
    *,
    threshold: float | None = None,
    twin: pd.DataFrame | None = None,
    twin_threshold: float | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """What a model does when its images are tampered with.

    A model that decides by the breast keeps its ``auc`` when the background is erased, falls to 0.5 when the breast
    is erased, and changes no decision when a marker or the whole background becomes that of another patient.

    Args:
        frame: rows of ``behaviour.csv``; a probability that does not exist, such as that after a swap of markers
            where neither image has one, is NaN.
        threshold: probability from which an image is called malignant; without it no decision is told.
        twin: rows of the twin, for paired differences.
        twin_threshold: the twin's own threshold.
        draws: bootstrap draws of patients.
        seed: of the draws.

    Returns:
        ``{"images", "measures": {...}}`` with the measures as
        :func:`~mammo.pipeline.metrics.image_measures.summarise_measures` gives them: ``auc``, ``auc_breast_erased``
        and ``auc_background_erased``; ``change_*``, the mean absolute change of the probability by each tampering;
        ``flip_*``, the share of decisions that a swap changes. The chance of a flip is that of a model that looks at
        nothing but what was swapped: the share of images whose partner is called otherwise.

    Raises:
        ValueError: a needed column is missing, or there are no rows.
    """
    if frame.empty:
        raise ValueError("behaviour: there are no rows to summarise")
    rows = _derived(check_behaviour(frame), threshold)
    other = None if twin is None else _derived(check_behaviour(twin, "twin"), twin_threshold)
    areas = [ColumnAUC("auc", "probability"), *(ColumnAUC(f"auc_{v}", f"probability_{v}") for v in ERASED)]
    flips = [ColumnMean(f"flip_{v}", (f"flip_{v}_chance",)) for v in SWAPPED]
    changes = [ColumnMean(f"change_{v}") for v in (*ERASED, *SWAPPED)]
    measures: list[Measure] = [*areas, *flips, *changes]
    reasons = dict.fromkeys((m.name for m in areas), "the images are not of both classes")
    reasons |= {f"{kind}_marker_swapped": "no marker" for kind in ("flip", "change")}
    reasons |= {f"{kind}_background_swapped": "one patient only" for kind in ("flip", "change")}
    if threshold is None:
        reasons |= dict.fromkeys((m.name for m in flips), "no threshold was chosen on validation patients")
    summary = summarise_measures(rows, measures, other, draws=draws, seed=seed, reasons=reasons)
    return {"images": len(rows), "measures": summary}


def _derived(frame: pd.DataFrame, threshold: float | None) -> pd.DataFrame:
    """The table with changes and flips."""
    rows = frame.copy()
    for variant in (*ERASED, *SWAPPED):
        rows[f"change_{variant}"] = (rows[f"probability_{variant}"] - rows["probability"]).abs()
    called = _called(rows["probability"], threshold)
    of_image = dict(zip(_images(rows, ""), called, strict=True))
    partner = np.array([of_image.get(image, np.nan) for image in _images(rows, "partner_")])
    for variant in SWAPPED:
        after = _called(rows[f"probability_{variant}"], threshold)
        rows[f"flip_{variant}"] = np.abs(after - called)
        rows[f"flip_{variant}_chance"] = np.where(np.isnan(after), np.nan, np.abs(partner - called))
    return rows


def _images(rows: pd.DataFrame, prefix: str) -> list[tuple[str, ...]]:
    """What tells the image of each row from all others, or its partner: two data sets may share ids."""
    columns = [f"{prefix}{name}" for name in ("dataset", "image_id") if name in rows]
    return list(zip(*(rows[column] for column in columns), strict=True))


def _called(probability: pd.Series, threshold: float | None) -> np.ndarray:
    """1 where an image is called malignant, 0 where not, NaN where it has no probability."""
    values = probability.to_numpy(dtype=np.float64)
    if threshold is None:
        return np.full(len(values), np.nan)
    return np.where(np.isnan(values), np.nan, values >= threshold)
