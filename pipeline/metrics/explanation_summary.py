"""Means of explanation measures over images, with patient-bootstrap intervals, each beside its chance."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .intervals import Statistic, bootstrap_all
from .predictions import patient_keys
from .weighted import weighted_mean

CHANCE_OF = {
    "background_ratio": ("background_chance",),
    "pointing_hit": ("pointing_chance", "pointing_chance_breast"),
    "energy_in_roi": ("energy_in_roi_chance", "energy_in_roi_chance_breast"),
    "iou": ("iou_chance",),
    "hit_iou_25": (),
    "hit_iou_50": (),
}
"""The chance columns of each measure, the plain one first. A random region practically never reaches the
overlap of a ``hit_iou``: its chance is 0."""

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


def summarise_explanations(frame: pd.DataFrame, *, draws: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Mean of every measure for each kind of map, for ``metrics.json``.

    Rows without a value (no known lesion, no breast, degenerate map) are left out of a mean and counted
    beside it.

    Args:
        frame: rows of ``explanations.csv``; measures that it does not have are left out.
        draws: bootstrap draws of patients.
        seed: of the draws.

    Returns:
        ``{"unit", "draws", "maps": {map: {"images", "patients", "degenerate", "measures": {name: {"mean":
        interval, "images", "chance": {column: mean}, "above_chance": {column: interval}}}}}}``;
        ``above_chance`` is the paired difference of measure and chance, for each chance.

    Raises:
        ValueError: a needed column is missing or there are no rows.
    """
    check_explanations(frame)
    if frame.empty:
        raise ValueError("explanations: there are no rows to summarise")
    maps = {str(kind): _summary(rows, draws=draws, seed=seed) for kind, rows in frame.groupby("map", sort=True)}
    return {"unit": "patient", "draws": draws, "seed": seed, "maps": maps}


def _summary(rows: pd.DataFrame, *, draws: int, seed: int) -> dict[str, Any]:
    names = [name for name in CHANCE_OF if name in rows]
    pairs = [(name, chance) for name in names for chance in CHANCE_OF[name] if chance in rows]
    statistics: dict[str, Statistic] = {name: weighted_mean(rows[name]) for name in names}
    statistics |= {f"{name} - {chance}": weighted_mean(rows[name] - rows[chance]) for name, chance in pairs}
    reasons = dict.fromkeys(statistics, "no image has this measure")
    patients = patient_keys(rows)
    intervals = bootstrap_all(statistics, patients, draws=draws, seed=seed, reasons=reasons)
    measures = {
        name: {
            "mean": intervals[name].as_dict(),
            "images": int(rows[name].notna().sum()),
            "chance": _chances(rows, name),
            "above_chance": {c: intervals[f"{name} - {c}"].as_dict() for n, c in pairs if n == name},
        }
        for name in names
    }
    return {
        "images": len(rows),
        "patients": int(np.unique(patients).size),
        "degenerate": int(rows["degenerate"].sum()),
        "measures": measures,
    }


def _chances(rows: pd.DataFrame, name: str) -> dict[str, float | None]:
    """Mean chance over the images that have the measure."""
    having = rows[rows[name].notna()]
    means = {column: having[column].mean() for column in CHANCE_OF[name] if column in having}
    return {column: float(mean) if np.isfinite(mean) else None for column, mean in means.items()}
