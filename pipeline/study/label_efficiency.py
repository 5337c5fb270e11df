"""How few labels are enough? Pretrained and other classifiers against the share of labelled patients."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ..datasets.splits import label_fraction, patient_key
from ..metrics import compare_seeds, ranking_statistics, score, score_over_seeds
from .label_efficiency_report import write_report
from .recipe import Recipe
from .results import best_validation, section_of
from .runner import Outcomes
from .selection import choose
from .stage import Stage

__all__ = ["Arm", "LabelEfficiency", "arms_of", "imagenet_arm"]

logger = logging.getLogger(__name__)

REFERENCE = "from_scratch"
"""The arm that the first one is compared with in the primary endpoint."""


@dataclass(frozen=True)
class Arm:
    """One way to a classifier.

    Attributes:
        name: of the arm.
        steps: optimiser steps of its fine-tuning.
        pretraining: overrides of the study's own pretraining, from which it starts, and which costs steps too; None
            for none.
        stage: of the bundle, that pretrains it.
        pretrain_steps: optimiser steps of that pretraining; None for the recipe's.
        weights: a file of weights it starts from.
        overrides: of its fine-tuning.
    """

    name: str
    steps: int
    pretraining: Mapping[str, Any] | None = None
    stage: str = "pretrain"
    pretrain_steps: int | None = None
    weights: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def start(self, recipe: Recipe, seed: int) -> Stage | str | None:
        """What its fine-tuning starts from: a pretraining, a file of weights, or None for random weights."""
        if self.pretraining is None:
            return self.weights
        return recipe.pretraining(seed, self.stage, steps=self.pretrain_steps, **self.pretraining)

    def all_steps(self, recipe: Recipe) -> int:
        """Its optimiser steps, pretraining included."""
        before = recipe.pretrain_steps if self.pretrain_steps is None else self.pretrain_steps
        return self.steps + (0 if self.pretraining is None else before)


def arms_of(
    recipe: Recipe,
    *,
    scratch_factor: int = 3,
    imagenet: str | None = None,
    reconstruction_weight: float | None = None,
    sparse_pretraining: bool = False,
) -> list[Arm]:
    """The arms: equal optimiser steps in all, pretraining included, but for ``from_scratch_long``.

    Without steps of pretraining no arm is pretrained.

    Args:
        recipe: gives the steps.
        scratch_factor: how many times the steps the long run from scratch gets; 1 leaves it out.
        imagenet: file of public weights as `mammo convert` writes them; None leaves that arm out.
        reconstruction_weight: of the semi-supervised arm; None leaves it out.
        sparse_pretraining: an arm whose pretraining computes tokens of the visible breast alone (``tokens: breast``),
            fine-tuned as the first one.

    Raises:
        ValueError: if the file does not exist, or there is no dense pretraining beside the sparse one.
    """
    total = recipe.pretrain_steps + recipe.finetune_steps
    arms = [Arm("from_scratch", total)]
    if recipe.pretrain_steps:
        arms.insert(0, Arm("pretrained", recipe.finetune_steps, pretraining={}))
    if sparse_pretraining:
        if not recipe.pretrain_steps or recipe.setting.default("pretrain", "tokens") == "breast":
            raise ValueError("--sparse_pretraining stands beside a dense one: --pretrain_steps above 0, --tokens all")
        arms.insert(1, Arm("pretrained_sparse", recipe.finetune_steps, pretraining={"tokens": "breast"}))
    if scratch_factor > 1:
        arms.append(Arm("from_scratch_long", scratch_factor * total))
    if imagenet is not None:
        arms.append(imagenet_arm(imagenet, total))
    if reconstruction_weight is not None:
        more = {"reconstruction_weight": reconstruction_weight}
        arms.append(Arm("semi_supervised", recipe.finetune_steps, pretraining={}, overrides=more))
    return arms


def imagenet_arm(weights: str, steps: int) -> Arm:
    """The arm that starts from a file of public weights.

    Raises:
        ValueError: if there is no such file.
    """
    if not Path(weights).is_file():
        raise ValueError(f"--imagenet {weights}: there is no such file; `mammo convert` makes one")
    return Arm("imagenet", steps, weights=str(Path(weights).absolute()))


class LabelEfficiency:
    """The study: every arm at every share of the labelled training patients, over several seeds.

    Shares are nested and stratified (:func:`mammo.pipeline.datasets.splits.label_fraction`); the seed of a run draws
    its patients, its random weights and its batches. The learning rate of each arm and share is the one of the best
    validation AUC, mean over the first ``selection_seeds`` seeds; the epoch is that of the best validation AUC.
    Nothing is chosen on test patients.

    Args:
        recipe: makes the stages.
        arms: see :func:`arms_of` and :func:`~mammo.pipeline.study.pretraining_arms.pretraining_arms`; the first is
            compared with all others.
        fractions: shares in percent.
        seeds: of the runs.
        learning_rates: the grid; None takes the configuration's only.
        selection_seeds: seeds, the first ones, that choose the learning rate.
        reference: the arm that the first one is compared with in the primary endpoint.

    Raises:
        ValueError: for an empty or repeated list, or more ``selection_seeds`` than seeds.
    """

    def __init__(
        self,
        recipe: Recipe,
        arms: Sequence[Arm],
        *,
        fractions: Sequence[float],
        seeds: Sequence[int],
        learning_rates: Sequence[float] | None = None,
        selection_seeds: int = 1,
        reference: str = REFERENCE,
    ) -> None:
        self.recipe, self.arms, self.seeds = recipe, list(arms), list(seeds)
        self.fractions, self.reference = sorted(fractions), reference
        self.learning_rates = sorted(learning_rates or [recipe.default_rate()])
        self.selection = self.seeds[:selection_seeds]
        for name, values in (
            ("fractions", self.fractions),
            ("seeds", self.seeds),
            ("learning_rates", self.learning_rates),
        ):
            if not values or len(set(values)) < len(values):
                raise ValueError(f"--{name} must be one or more different numbers, got {values}")
        if not 0 < selection_seeds <= len(self.seeds):
            raise ValueError(f"--selection_seeds {selection_seeds}: there are {len(self.seeds)} seeds")
        if min(self.fractions) <= 0 or max(self.fractions) > 100:
            raise ValueError(f"--fractions are percentages above 0 and up to 100, got {self.fractions}")
        self.training = recipe.setting.labelled("training")
        self.labels = {(share, seed): self._labels(share, seed) for share in self.fractions for seed in self.seeds}

    def run(self) -> Path:
        """Run everything, write ``study.csv``, ``study.json``, ``study.md`` and ``curve.png``, and return the table.

        Raises:
            ValueError: if a stage failed, after the results of the others were written.
        """
        setting = self.recipe.setting
        setting.prepare()
        chosen = self._choose()
        wanted = [
            self.evaluation(arm, share, seed, rate) for (arm, share), rate in chosen.items() for seed in self.seeds
        ]
        outcomes = setting.run(wanted) if wanted else Outcomes()
        outcomes |= self.candidates
        rows = self._rows(chosen, outcomes)
        path = write_report(setting, rows, self._summary(rows, outcomes, chosen))
        failed = Outcomes(outcomes).failures()
        if failed:
            raise ValueError(f"{len(failed)} of {len(outcomes)} stages failed; the reasons are in {path}")
        return path

    def classifier(self, arm: str, share: float, seed: int, rate: float) -> Stage:
        """The fine-tuning of one cell, seed and learning rate."""
        own = next(one for one in self.arms if one.name == arm)
        title = f"{arm.replace('_', ' ')}, {share:g} %, learning rate {rate:g}"
        more = {"label_percentage": share, "learning_rate": rate} | dict(own.overrides)
        return self.recipe.finetuning(title, seed, start=own.start(self.recipe, seed), steps=own.steps, **more)

    def evaluation(self, arm: str, share: float, seed: int, rate: float) -> Stage:
        """The evaluation of :meth:`classifier`."""
        return self.recipe.evaluation(self.classifier(arm, share, seed, rate))

    def _choose(self) -> dict[tuple[str, float], float]:
        cells = [(arm.name, share) for share in self.fractions for arm in self.arms]
        self.candidates = Outcomes()
        if len(self.learning_rates) == 1:
            return dict.fromkeys(cells, self.learning_rates[0])
        grids = {
            cell: {
                rate: [self.classifier(*cell, seed, rate) for seed in self.selection] for rate in self.learning_rates
            }
            for cell in cells
        }
        tried = [stage for grid in grids.values() for stages in grid.values() for stage in stages]
        self.candidates = self.recipe.setting.run(tried)
        chosen = {cell: choose(grid, self.candidates) for cell, grid in grids.items()}
        for (arm, share), rate in chosen.items():
            logger.info("%s, %g %%: learning rate %s", arm, share, "none, all failed" if rate is None else f"{rate:g}")
        return {cell: rate for cell, rate in chosen.items() if rate is not None}

    def _labels(self, share: float, seed: int) -> tuple[int, int]:
        """Labelled patients and images of a share."""
        kept = label_fraction(self.training, share, seed)
        return len({patient_key(record) for record in kept}), len(kept)

    def _rows(self, chosen: Mapping[tuple[str, float], float], outcomes: Outcomes) -> pd.DataFrame:
        """A row a fine-tuning: candidates that were not chosen too, without test scores."""
        rows = []
        for share in self.fractions:
            for arm in self.arms:
                rate = chosen.get((arm.name, share))
                tried = [(r, s) for s in self.selection for r in self.learning_rates if r != rate]
                runs = [(rate, seed) for seed in self.seeds if rate is not None]
                rows += [self._row(arm, share, s, r, r == rate, outcomes) for r, s in runs + tried if r is not None]
        return pd.DataFrame(rows)

    def _row(self, arm: Arm, share: float, seed: int, rate: float, chosen: bool, outcomes: Outcomes) -> dict[str, Any]:
        classifier = self.classifier(arm.name, share, seed, rate)
        ended = outcomes.of(classifier)
        patients, images = self.labels[share, seed]
        row: dict[str, Any] = {
            "arm": arm.name,
            "fraction": share,
            "seed": seed,
            "learning_rate": rate,
            "chosen": chosen,
        }
        row |= {"labelled_patients": patients, "labelled_images": images}
        spent = arm.all_steps(self.recipe) - arm.steps
        row |= {
            "pretrain_steps": spent,
            "finetune_steps": arm.steps,
            "seconds": ended.seconds,
            "resumed": ended.resumed,
        }
        row |= {"run": ended.folder.name, "status": "finished", "reason": ended.reason}
        if ended.reason is None:
            row["validation_auc"], row["best_epoch"] = best_validation(ended.folder)
        evaluated = outcomes.get(self.recipe.evaluation(classifier).digest) if chosen else None
        if evaluated is not None and evaluated.reason is None:
            test = section_of(evaluated.folder, "test")
            row["evaluation"] = evaluated.folder.name
            row |= {f"test_{name}": score(test, name) for name in ranking_statistics(test)}
        elif evaluated is not None and ended.reason is None:
            row["reason"] = evaluated.reason
        if row["reason"] is not None:
            row["status"] = "failed"
        return row

    def _summary(
        self, rows: pd.DataFrame, outcomes: Outcomes, chosen: Mapping[tuple[str, float], float]
    ) -> dict[str, Any]:
        tables = {
            (arm.name, share): self._tables(arm.name, share, chosen, outcomes)
            for share in self.fractions
            for arm in self.arms
        }
        primary = 10.0 if 10 in self.fractions else self.fractions[0]
        first = self.arms[0].name
        return {
            "primary_endpoint": f"test AUC at {primary:g} % of the labels, {first} minus {self.reference}",
            "primary_fraction": primary,
            "fractions": self.fractions,
            "arms": [arm.name for arm in self.arms],
            "seeds": self.seeds,
            "selection": {
                "learning_rates": self.learning_rates,
                "seeds": self.selection,
                "rule": "highest mean validation AUC over these seeds, for each arm and fraction; epochs likewise",
            },
            "steps": {arm.name: arm.all_steps(self.recipe) for arm in self.arms},
            "cells": [self._cell(*cell, chosen.get(cell), found, rows) for cell, found in tables.items()],
            "differences": [
                {"fraction": share, "first": first, "second": arm.name} | compare_seeds(a, b)
                for share in self.fractions
                for arm in self.arms[1:]
                if (a := tables[first, share]) and (b := tables[arm.name, share])
            ],
            "seconds": float(sum(outcome.seconds for outcome in outcomes.values())),
        }

    def _tables(
        self, arm: str, share: float, chosen: Mapping[tuple[str, float], float], outcomes: Outcomes
    ) -> list[pd.DataFrame]:
        rate = chosen.get((arm, share))
        if rate is None:
            return []
        ended = [outcomes.of(self.evaluation(arm, share, seed, rate)) for seed in self.seeds]
        return [section_of(outcome.folder, "test") for outcome in ended if outcome.reason is None]

    def _cell(
        self, arm: str, share: float, rate: float | None, tables: Sequence[pd.DataFrame], rows: pd.DataFrame
    ) -> dict[str, Any]:
        own = rows[(rows["arm"] == arm) & (rows["fraction"] == share) & rows["chosen"]]
        cell: dict[str, Any] = {"arm": arm, "fraction": share, "learning_rate": rate, "seeds": len(tables)}
        cell["labelled_patients"] = sorted({self.labels[share, seed][0] for seed in self.seeds})
        if tables:
            cell["validation_auc"] = float(own["validation_auc"].mean())
            cell |= {f"test_{name}": score_over_seeds(tables, name) for name in ranking_statistics(tables[0])}
        return cell
