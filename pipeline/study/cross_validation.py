"""Cross-validation by patient: every image is tested once, by a model that never saw its patient."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..metrics import area_under_roc, bootstrap, patient_keys
from ..metrics.compare import over_seeds
from ..metrics.intervals import Statistic, difference, restricted
from ..metrics.weighted import weighted_auc
from .cross_validation_report import write_report
from .label_efficiency import REFERENCE, Arm
from .recipe import Recipe
from .results import best_validation, section_of
from .runner import Outcomes
from .selection import choose
from .stage import Stage
from .texture_arm import texture_predictions

__all__ = ["TEXTURE", "CrossValidation", "auc_within_folds"]

logger = logging.getLogger(__name__)

TEXTURE = "texture"
"""Name of the arm without a network."""

Cell = tuple[str, int]
"""An arm and a fold, from 0."""


class CrossValidation:
    """The study: every arm on every fold, over several seeds, beside texture and logistic regression.

    The learning rate is chosen for each arm and fold by the mean validation AUC over the seeds, the epoch by validation
    AUC; the tested patients choose nothing.

    Args:
        recipes: makes the stages of each fold, see :func:`~mammo.pipeline.study.folds.fold_settings`.
        arms: see :func:`~mammo.pipeline.study.label_efficiency.arms_of`.
        seeds: of the runs.
        learning_rates: the grid; None takes the configuration's only.

    Raises:
        ValueError: for an empty or repeated list.
    """

    def __init__(
        self,
        recipes: Sequence[Recipe],
        arms: Sequence[Arm],
        *,
        seeds: Sequence[int],
        learning_rates: Sequence[float] | None = None,
    ) -> None:
        self.recipes, self.arms, self.seeds = list(recipes), {arm.name: arm for arm in arms}, list(seeds)
        self.setting = self.recipes[0].setting
        self.learning_rates = sorted(learning_rates or [self.recipes[0].default_rate()])
        for name, values in (("seeds", self.seeds), ("learning_rates", self.learning_rates)):
            if not values or len(set(values)) < len(values):
                raise ValueError(f"--{name} must be one or more different numbers, got {values}")
        self.cells: list[Cell] = [(arm, fold) for arm in self.arms for fold in range(len(self.recipes))]

    def run(self) -> Path:
        """Run everything, write ``study.csv``, ``predictions.csv``, ``study.json`` and ``study.md``; return the first.

        Raises:
            ValueError: if a stage failed, after the results of the others were written.
        """
        self.setting.prepare()
        grids = {
            cell: {rate: [self.classifier(*cell, seed, rate) for seed in self.seeds] for rate in self.learning_rates}
            for cell in self.cells
        }
        tried = [stage for grid in grids.values() for stages in grid.values() for stage in stages]
        outcomes = self.setting.run(tried)
        chosen = {cell: rate for cell, grid in grids.items() if (rate := choose(grid, outcomes)) is not None}
        evaluations = [self.evaluation(*cell, seed, rate) for cell, rate in chosen.items() for seed in self.seeds]
        if evaluations:
            outcomes |= self.setting.run(evaluations)
        outcomes = Outcomes(outcomes)
        tables = {arm: self._tables(arm, chosen, outcomes) for arm in self.arms}
        tables[TEXTURE] = [_joined(texture_predictions([recipe.setting for recipe in self.recipes]))]
        path = write_report(self.setting, self._rows(chosen, outcomes), tables, self._summary(tables, outcomes))
        failed = outcomes.failures()
        if failed:
            raise ValueError(f"{len(failed)} of {len(outcomes)} stages failed; the reasons are in {path}")
        return path

    def classifier(self, arm: str, fold: int, seed: int, rate: float) -> Stage:
        """The fine-tuning of one arm, fold, seed and learning rate."""
        own, recipe = self.arms[arm], self.recipes[fold]
        title = f"fold {fold + 1}, {arm.replace('_', ' ')}, learning rate {rate:g}"
        return recipe.finetuning(
            title, seed, start=own.start(recipe, seed), steps=own.steps, **{"learning_rate": rate} | dict(own.overrides)
        )

    def evaluation(self, arm: str, fold: int, seed: int, rate: float) -> Stage:
        """The evaluation of :meth:`classifier`."""
        return self.recipes[fold].evaluation(self.classifier(arm, fold, seed, rate))

    def _tables(self, arm: str, chosen: Mapping[Cell, float], outcomes: Outcomes) -> list[pd.DataFrame]:
        """Predictions of all images, one table a seed of which every fold ended well."""
        tables = []
        for seed in self.seeds:
            folds = [
                outcomes.of(self.evaluation(arm, fold, seed, chosen[arm, fold]))
                for fold in range(len(self.recipes))
                if (arm, fold) in chosen
            ]
            if len(folds) == len(self.recipes) and all(one.reason is None for one in folds):
                tables.append(_joined([section_of(one.folder, "test") for one in folds]))
        return tables

    def _rows(self, chosen: Mapping[Cell, float], outcomes: Outcomes) -> pd.DataFrame:
        """A row a fine-tuning; those of learning rates that were not chosen have no test scores."""
        runs = [(cell, seed, rate) for cell in self.cells for rate in self.learning_rates for seed in self.seeds]
        return pd.DataFrame([self._row(*run, chosen.get(run[0]) == run[2], outcomes) for run in runs])

    def _row(self, cell: Cell, seed: int, rate: float, chosen: bool, outcomes: Outcomes) -> dict[str, Any]:
        classifier = self.classifier(*cell, seed, rate)
        ended = outcomes.of(classifier)
        row: dict[str, Any] = {"arm": cell[0], "fold": cell[1] + 1, "seed": seed, "learning_rate": rate}
        row |= {"chosen": chosen, "seconds": ended.seconds, "run": ended.folder.name, "reason": ended.reason}
        if ended.reason is None:
            row["validation_auc"], row["best_epoch"] = best_validation(ended.folder)
        evaluated = outcomes.of(self.recipes[cell[1]].evaluation(classifier)) if chosen else None
        if evaluated is not None and evaluated.reason is None:
            test = section_of(evaluated.folder, "test")
            row |= {"evaluation": evaluated.folder.name, "test_auc": area_under_roc(test["label"], test["probability"])}
        elif evaluated is not None:
            row["reason"] = evaluated.reason
        return row | {"status": "finished" if row["reason"] is None else "failed"}

    def _summary(self, tables: Mapping[str, Sequence[pd.DataFrame]], outcomes: Outcomes) -> dict[str, Any]:
        first = next(iter(self.arms))
        steps = {name: arm.all_steps(self.recipes[0]) for name, arm in self.arms.items()}
        others = [name for name in tables if name != first]
        return {
            "folds": len(self.recipes),
            "seeds": self.seeds,
            "steps": steps,
            "learning_rates": self.learning_rates,
            "primary_endpoint": f"AUC within folds, {first} minus {REFERENCE if REFERENCE in others else TEXTURE}",
            "arms": [{"arm": name} | _scores(found) for name, found in tables.items()],
            "differences": [
                {"first": first, "second": name} | {"difference": _difference(tables[first], tables[name])}
                for name in others
                if tables[first] and tables[name]
            ],
            "seconds": float(sum(outcome.seconds for outcome in outcomes.values())),
        }


def auc_within_folds(table: pd.DataFrame) -> Statistic:
    """The mean of the folds' areas under the ROC curve: scores of different models are not compared.

    Args:
        table: out-of-fold predictions with ``fold``, ``label`` and ``probability``.
    """
    folds = table["fold"].to_numpy()
    parts = [
        restricted(weighted_auc(table["label"][own], table["probability"][own]), own)
        for own in (folds == fold for fold in np.unique(folds))
    ]
    return lambda weights: np.mean([part(weights) for part in parts], axis=0)


def _joined(folds: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The tables of all folds as one with the column ``fold``, in the order of the images."""
    tables = [table.assign(fold=number) for number, table in enumerate(folds, start=1)]
    keys = ["dataset", "patient_id", "image_id"]
    return pd.concat(tables).astype(dict.fromkeys(keys, "string")).sort_values(keys).reset_index(drop=True)


def _scores(tables: Sequence[pd.DataFrame]) -> dict[str, Any]:
    """Areas under the ROC curve, mean over seeds, with intervals over patients and seeds."""
    if not tables:
        return {"seeds": 0}
    patients = patient_keys(tables[0])
    kinds = {
        "auc": [auc_within_folds(table) for table in tables],
        "auc_pooled": [weighted_auc(table["label"], table["probability"]) for table in tables],
    }
    found: dict[str, Any] = {"seeds": len(tables), "images": len(tables[0]), "patients": int(np.unique(patients).size)}
    for name, statistics in kinds.items():
        found[name] = bootstrap(over_seeds(statistics, np.random.default_rng(1)), patients).as_dict()
    return found


def _difference(first: Sequence[pd.DataFrame], second: Sequence[pd.DataFrame]) -> dict[str, Any]:
    keys = ["dataset", "patient_id", "image_id", "fold", "label"]
    if not all(table[keys].equals(first[0][keys]) for table in (*first, *second)):
        raise ValueError("the arms of a cross-validation scored different images; delete evaluate-* and run it again")
    generator = np.random.default_rng(1)
    sides = [over_seeds([auc_within_folds(table) for table in side], generator) for side in (first, second)]
    return bootstrap(difference(*sides), patient_keys(first[0])).as_dict()
