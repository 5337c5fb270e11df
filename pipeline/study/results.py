"""What the runs of a study left: predictions and validation curves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ..metrics import read_predictions
from ..metrics.predictions import labelled

__all__ = ["best_validation", "format_interval", "section_of"]


def best_validation(folder: Path) -> tuple[float, int]:
    """Highest validation AUC of a fine-tuning and the epoch that reached it, the one whose weights were kept."""
    rows = json.loads((folder / "history.json").read_text())["validation"]
    best = max(rows, key=lambda row: float(row["auc"]))  # the first of equal ones, as the checkpoint
    return float(best["auc"]), int(best["epoch"])


def section_of(folder: Path, section: str) -> pd.DataFrame:
    """The labelled predictions of one section that an evaluation left, in the order of the images."""
    table = read_predictions(folder / "predictions.csv")
    rows = labelled(table[table["split"] == section])
    return rows.sort_values(["patient_id", "image_id"]).reset_index(drop=True)


def format_interval(found: Mapping[str, Any], digits: int = 3) -> str:
    """``0.912 (0.880 to 0.941)``, or why there is none."""
    if found["value"] is None:
        return f"none ({found['reason']})"
    ends = [found[name] for name in ("value", "low", "high")]
    value, low, high = (None if end is None else round(end, digits) + 0.0 for end in ends)  # no -0.000
    if low is None or high is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
