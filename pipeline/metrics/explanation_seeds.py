"""Do two recipes, each trained with several seeds, explain themselves differently?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from .explanation_summary import check_explanations
from .image_measures import KEYS
from .intervals import Statistic, bootstrap
from .predictions import patient_keys
from .weighted import ratio


def compare_explanation_seeds(
    a: Sequence[pd.DataFrame],
    b: Sequence[pd.DataFrame],
    measure: str = "background_ratio",
    *,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Difference (a - b) of a measure's mean over patients and seeds, per kind of map.

    The images of a patient are averaged first, so that each patient counts once.

    Each draw resamples the patients, the same for all runs, and the seeds of either side, so that the interval
    holds the luck of training as well as that of sampling. With one seed a side it equals
    :func:`~mammo.pipeline.metrics.compare_explanations`.

    Args:
        a: rows of ``explanations.csv`` of each seed of the first recipe.
        b: those of the second.
        measure: column to compare.
        draws: bootstrap draws.
        seed: of the draws.

    Returns:
        ``{map: {"images", "left_out", "seeds_a", "seeds_b", "mean_a", "mean_b", "difference": interval}}`` for the
        maps that every run has; ``left_out`` counts images that a run lacks, or on which its measure is undefined.

    Raises:
        ValueError: a side is empty, a column is missing, or the runs have no image and map in common.
    """
    if not a or not b:
        raise ValueError("each side needs the explanations of at least one seed")
    keys = [name for name in (*KEYS, "map") if all(name in frame for frame in (*a, *b))]
    runs = [_column(frame, keys, measure, f"run {number}") for number, frame in enumerate((*a, *b), start=1)]
    table = pd.concat(runs, axis=1, keys=range(len(runs)))
    found = {}
    for kind, rows in table.groupby(level="map", sort=True):
        whole = rows.dropna()
        if len(whole):
            found[str(kind)] = _compared(whole, len(a), len(b), len(rows) - len(whole), draws, seed)
    if not found:
        raise ValueError(f"no image and map has {measure} in each of the {len(runs)} runs")
    return found


def _column(frame: pd.DataFrame, keys: Sequence[str], measure: str, where: str) -> pd.Series:
    """The measure by image and map."""
    check_explanations(frame, where)
    if measure not in frame:
        raise ValueError(f"{where}: column {measure} is missing")
    return frame.set_index(list(keys))[measure]


def _compared(rows: pd.DataFrame, count_a: int, count_b: int, left_out: int, draws: int, seed: int) -> dict[str, Any]:
    values = rows.to_numpy(dtype=np.float64)  # (images, runs)
    of_image = patient_keys(rows.index.to_frame(index=False))
    values = pd.DataFrame(values).groupby(of_image).mean().to_numpy()  # (patients, runs)
    patients = np.unique(of_image)
    statistic = _difference(values, count_a, np.random.default_rng(seed + 1))  # apart from the patients' draws
    interval = bootstrap(statistic, patients, draws=draws, seed=seed)
    return {
        "images": len(rows),
        "left_out": left_out,
        "seeds_a": count_a,
        "seeds_b": count_b,
        "mean_a": float(values[:, :count_a].mean()),
        "mean_b": float(values[:, count_a:].mean()),
        "difference": interval.as_dict(),
    }


def _difference(values: np.ndarray, count_a: int, generator: np.random.Generator) -> Statistic:
    """Difference of means over patients and seeds; seeds are drawn anew for each draw of patients."""

    def statistic(weights: np.ndarray) -> np.ndarray:
        means = ratio(weights @ values, weights.sum(axis=1, keepdims=True))  # (D, runs)
        sides = np.split(means, [count_a], axis=1)
        if not (weights == 1).all():
            drawn = [generator.integers(side.shape[1], size=side.shape) for side in sides]
            sides = [np.take_along_axis(side, index, axis=1) for side, index in zip(sides, drawn, strict=True)]
        return sides[0].mean(axis=1) - sides[1].mean(axis=1)

    return statistic
