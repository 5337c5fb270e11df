"""What a report measures of a table with one row an image: means and areas under ROC, each beside its chance.

A measure may be taken of a model and of its *twin*, the same model trained without what is to be judged; the
difference is then paired: on the images that both have, with the same draws of patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .intervals import Statistic, bootstrap_all, difference, restricted
from .predictions import patient_keys
from .weighted import weighted_auc, weighted_mean

KEYS = ("dataset", "patient_id", "image_id")
"""Columns by which the images of two tables are matched, as far as both have them."""


@dataclass(frozen=True)
class ColumnMean:
    """Mean of a column over the images that have it, beside the means of its chance columns on the same images.

    Attributes:
        name: the column.
        chances: columns of its chance levels, the plain one first.
        fixed: a chance level that is the same for every image, where there is one.
    """

    name: str
    chances: tuple[str, ...] = ()
    fixed: float | None = None

    def statistic(self, rows: pd.DataFrame) -> Statistic:
        """The measure as a function of row weights."""
        return weighted_mean(rows[self.name])

    def images(self, rows: pd.DataFrame) -> int:
        """How many images have the measure."""
        return int(rows[self.name].notna().sum())

    def chance(self, rows: pd.DataFrame) -> dict[str, float | None]:
        """Chance levels by name, of the images that have the measure."""
        having = rows[rows[self.name].notna()]
        means = {column: having[column].mean() for column in self.chances if column in having}
        found = {column: float(mean) if np.isfinite(mean) else None for column, mean in means.items()}
        return found if self.fixed is None else {"fixed": self.fixed, **found}

    def above(self, rows: pd.DataFrame) -> dict[str, Statistic]:
        """The measure minus each of its chances."""
        gaps = {c: weighted_mean(rows[self.name] - rows[c]) for c in self.chances if c in rows}
        return gaps if self.fixed is None else {"fixed": weighted_mean(rows[self.name] - self.fixed), **gaps}

    def gap(self, first: pd.DataFrame, second: pd.DataFrame) -> Statistic:
        """The difference between two tables whose rows are of the same images, where both have the measure."""
        return weighted_mean(first[self.name].to_numpy() - second[self.name].to_numpy())


@dataclass(frozen=True)
class ColumnAUC:
    """How well a column tells label 1 from label 0, as area under the ROC curve; its chance is 0.5.

    Attributes:
        name: what the measure is called.
        column: the column that ranks the images; rows without a number or a label are left out.
    """

    name: str
    column: str

    def statistic(self, rows: pd.DataFrame) -> Statistic:
        """The measure as a function of row weights."""
        known = self._known(rows)
        labels = rows["label"].to_numpy()[known]
        if np.unique(labels).size < 2:
            return lambda weights: np.full(len(weights), np.nan)
        return restricted(weighted_auc(labels, rows[self.column].to_numpy(dtype=np.float64)[known]), known)

    def images(self, rows: pd.DataFrame) -> int:
        """How many images have the measure."""
        return int(self._known(rows).sum())

    def chance(self, rows: pd.DataFrame) -> dict[str, float | None]:
        """Chance levels by name, of the images that have the measure."""
        return {"fixed": 0.5}

    def above(self, rows: pd.DataFrame) -> dict[str, Statistic]:
        """The measure minus each of its chances."""
        area = self.statistic(rows)
        return {"fixed": lambda weights: area(weights) - 0.5}

    def gap(self, first: pd.DataFrame, second: pd.DataFrame) -> Statistic:
        """The difference between two tables whose rows are of the same images, where both have the measure."""
        both = first[self.column].notna().to_numpy() & second[self.column].notna().to_numpy()
        sides = (side.assign(**{self.column: side[self.column].where(both)}) for side in (first, second))
        return difference(*(self.statistic(side) for side in sides))

    def _known(self, rows: pd.DataFrame) -> np.ndarray:
        return (np.isfinite(rows[self.column].to_numpy(dtype=np.float64)) & (rows["label"].to_numpy() >= 0)).astype(
            bool
        )


Measure = ColumnMean | ColumnAUC


def summarise_measures(
    rows: pd.DataFrame,
    measures: Sequence[Measure],
    twin: pd.DataFrame | None = None,
    *,
    draws: int = 2000,
    seed: int = 0,
    reasons: Mapping[str, str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Take measures of a table, with intervals by patient bootstrap.

    Args:
        rows: one row an image, with ``patient_id``, ``image_id`` and the measures' columns.
        measures: what is measured.
        twin: the same images by the twin, in any order.
        draws: bootstrap draws of patients.
        seed: of the draws.
        reasons: by measure, why it has no value where it has none.

    Returns:
        By measure, JSON-safe: ``mean`` (interval of the mean, or of the area), ``images`` (that have it), ``chance``
        (mean of each chance), ``above_chance`` (interval of the difference to each chance) and, with a twin, ``twin``
        (interval) and ``difference`` (interval of model - twin, on the images of both).
    """
    said = dict.fromkeys((m.name for m in measures), "no image has this measure") | dict(reasons or {})
    options: dict[str, Any] = {"draws": draws, "seed": seed}
    statistics = {m.name: m.statistic(rows) for m in measures}
    above = {(m.name, chance): gap for m in measures for chance, gap in m.above(rows).items()}
    statistics |= {f"{name} - {chance}": gap for (name, chance), gap in above.items()}
    everywhere = said | {f"{name} - {chance}": said[name] for name, chance in above}
    found = bootstrap_all(statistics, patient_keys(rows), reasons=everywhere, **options)
    summary: dict[str, dict[str, Any]] = {
        m.name: {
            "mean": found[m.name].as_dict(),
            "images": m.images(rows),
            "chance": m.chance(rows),
            "above_chance": {c: found[f"{n} - {c}"].as_dict() for n, c in above if n == m.name},
        }
        for m in measures
    }
    if twin is not None:
        for name, compared in _against_twin(rows, twin, measures, said, options).items():
            summary[name] |= compared
    return summary


def _against_twin(
    rows: pd.DataFrame,
    twin: pd.DataFrame,
    measures: Sequence[Measure],
    reasons: Mapping[str, str],
    options: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """``twin`` and ``difference`` of every measure."""
    statistics = {m.name: m.statistic(twin) for m in measures}
    alone = bootstrap_all(statistics, patient_keys(twin), reasons=reasons, **options)
    first, second = paired(rows, twin)
    gaps = {m.name: m.gap(first, second) for m in measures}
    between = bootstrap_all(gaps, patient_keys(first), reasons=reasons, **options)
    return {m.name: {"twin": alone[m.name].as_dict(), "difference": between[m.name].as_dict()} for m in measures}


def paired(a: pd.DataFrame, b: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of the images that both tables have, in one order.

    Raises:
        ValueError: they share no image.
    """
    keys = [name for name in KEYS if name in a and name in b]
    first, second = (frame.set_index(keys) for frame in (a, b))
    shared = first.index.intersection(second.index, sort=True)
    if shared.empty:
        raise ValueError("the two tables share no image: compare runs on the same images")
    return first.loc[shared].reset_index(), second.loc[shared].reset_index()
