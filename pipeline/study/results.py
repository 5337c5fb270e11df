"""What the runs of a study left: scores, validation curves, and means over seeds with intervals."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..metrics import Interval, bootstrap, patient_keys, read_predictions
from ..metrics.compare import over_seeds
from ..metrics.intervals import Statistic
from ..metrics.weighted import weighted_auc, weighted_average_precision

__all__ = ["best_validation", "format_interval", "score_over_seeds", "section_of"]

SCORES: dict[str, Callable[..., Statistic]] = {"auc": weighted_auc, "average_precision": weighted_average_precision}


def best_validation(folder: Path) -> tuple[float, int]:
    """Highest validation AUC of a fine-tuning and the epoch that reached it, the one whose weights were kept."""
    rows = json.loads((folder / "history.json").read_text())["validation"]
    best = max(rows, key=lambda row: float(row["auc"]))  # the first of equal ones, as the checkpoint
    return float(best["auc"]), int(best["epoch"])


def section_of(folder: Path, section: str) -> pd.DataFrame:
    """The labelled predictions of one section that an evaluation left, in the order of the images."""
    table = read_predictions(folder / "predictions.csv")
    rows = table[(table["split"] == section) & (table["label"] >= 0)]
    return rows.sort_values(["patient_id", "image_id"]).reset_index(drop=True)


def score_over_seeds(
    tables: Sequence[pd.DataFrame], score: str = "auc", *, draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Mean score over seeds on the same images, with an interval over patients and seeds together.

    Args:
        tables: predictions of each seed, see :func:`section_of`.
        score: ``auc`` or ``average_precision``.
        draws: of patients, and of seeds with each.
        seed: of the draws.

    Raises:
        ValueError: the tables are not of the same images.
    """
    first = tables[0]
    if any(
        not table[["patient_id", "image_id", "label"]].equals(first[["patient_id", "image_id", "label"]])
        for table in tables
    ):
        raise ValueError(
            "the runs of a study scored different images; delete their evaluate-* folders and run it again"
        )
    statistics = [SCORES[score](table["label"], table["probability"]) for table in tables]
    generator = np.random.default_rng(seed + 1)  # apart from the patients' draws
    interval: Interval = bootstrap(over_seeds(statistics, generator), patient_keys(first), draws=draws, seed=seed)
    return interval.as_dict()


def format_interval(found: Mapping[str, Any], digits: int = 3) -> str:
    """``0.912 (0.880 to 0.941)``, or why there is none."""
    if found["value"] is None:
        return f"none ({found['reason']})"
    ends = [found[name] for name in ("value", "low", "high")]
    value, low, high = (None if end is None else round(end, digits) + 0.0 for end in ends)  # no -0.000
    if low is None or high is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
