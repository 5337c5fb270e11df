"""Fine-tunings that differ in one thing, over the same seeds and pretrainings: scores and maps beside a twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..metrics import compare_seeds, patient_keys, read_explanations, score, score_over_seeds
from ..metrics.explanation_seeds import compare_explanation_seeds
from .recipe import Recipe
from .results import best_validation, section_of
from .runner import Outcomes
from .stage import Stage

__all__ = ["SECTIONS", "UNREGULARISED", "Variant", "Variants"]

SECTIONS = ("validation", "test")
UNREGULARISED: dict[str, Any] = {"beta": 0.0, "gamma": 0.0, "contrast_weight": 0.0}
MEASURE = "background_ratio"


@dataclass(frozen=True)
class Variant:
    """One way to fine-tune.

    Attributes:
        name: for people, unique in a study.
        overrides: of fine-tuning.
        pretraining: overrides of pretraining; empty for the pretraining that the others have too.
    """

    name: str
    overrides: Mapping[str, Any]
    pretraining: Mapping[str, Any]


class Variants:
    """Train, evaluate and explain every variant with every seed, and compare each with the first one, the twin.

    Maps are measured on validation and on test patients, so that a setting can be chosen on the former. Wherever a
    difference is told, it is variant minus twin, paired on the same images, with a bootstrap over patients and seeds.

    Args:
        recipe: makes the stages.
        variants: the first is the twin.
        seeds: of the runs.
        start: a file of weights in place of the study's own pretraining.
        kind: the map of the endpoint, one of those that the stage ``explain`` draws.

    Raises:
        ValueError: without seeds, with a seed or a name twice, fewer than two variants, or a map that is not drawn.
    """

    def __init__(
        self,
        recipe: Recipe,
        variants: Sequence[Variant],
        *,
        seeds: Sequence[int],
        start: str | None = None,
        kind: str = "attention",
    ) -> None:
        self.recipe, self.variants, self.seeds, self.start = recipe, list(variants), list(seeds), start
        self.kind = kind
        drawn = recipe.setting.default("explain", "maps")
        if kind not in drawn:
            raise ValueError(f"--map {kind} is none of the maps that are drawn: {', '.join(drawn)}; see --maps")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"--seeds must be one or more different numbers, got {self.seeds}")
        names = [variant.name for variant in self.variants]
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError(f"a comparison needs a twin and another setting, each once; got {', '.join(names)}")
        self.stages = {(v.name, seed): self._classifier(v, seed) for v in self.variants for seed in self.seeds}

    def run(self) -> Outcomes:
        """Run all stages."""
        self.recipe.setting.prepare()
        goals = []
        for classifier in self.stages.values():
            goals += [self.recipe.evaluation(classifier), *(self._explanation(classifier, s) for s in SECTIONS)]
        return self.recipe.setting.run(goals)

    def rows(self, outcomes: Outcomes) -> pd.DataFrame:
        """A row a variant and seed: scores and mean background ratio of each map, on validation and on test."""
        rows = []
        for variant in self.variants:
            for seed in self.seeds:
                row: dict[str, Any] = {"variant": variant.name, "seed": seed, **variant.overrides}
                rows.append(row | self._row(self.stages[variant.name, seed], outcomes))
        return pd.DataFrame(rows)

    def summary(self, outcomes: Outcomes) -> dict[str, Any]:
        """Means over seeds, and differences from the twin, by variant and section."""
        return {
            "seeds": self.seeds,
            "twin": self.variants[0].name,
            "map": self.kind,
            "variants": [
                {
                    "variant": variant.name,
                    "overrides": dict(variant.overrides),
                    "pretraining": dict(variant.pretraining),
                }
                | {section: self._compared(variant.name, section, outcomes) for section in SECTIONS}
                for variant in self.variants
            ],
            "seconds": float(sum(outcome.seconds for outcome in outcomes.values())),
        }

    def _classifier(self, variant: Variant, seed: int) -> Stage:
        start = self.start or self.recipe.pretraining(seed, **variant.pretraining)
        return self.recipe.finetuning(variant.name, seed, start=start, **variant.overrides)

    def _explanation(self, classifier: Stage, section: str) -> Stage:
        return self.recipe.explanation(classifier, section)

    def _row(self, classifier: Stage, outcomes: Outcomes) -> dict[str, Any]:
        ended = outcomes.of(classifier)
        row: dict[str, Any] = {"seconds": ended.seconds, "run": ended.folder.name}
        stages = {"evaluation": self.recipe.evaluation(classifier)}
        stages |= {section: self._explanation(classifier, section) for section in SECTIONS}
        reasons = [reason for one in (classifier, *stages.values()) if (reason := outcomes.of(one).reason)]
        row |= {"status": "failed" if reasons else "finished", "reason": reasons[0] if reasons else None}
        if reasons:
            return row
        row["best_epoch"] = best_validation(ended.folder)[1]
        for section in SECTIONS:
            scores = section_of(outcomes.of(stages["evaluation"]).folder, section)
            row[f"{section}_auc"] = score(scores)
            row[f"{section}_average_precision"] = score(scores, "average_precision")
            maps = read_explanations(outcomes.of(stages[section]).folder / "explanations.csv")
            for kind, of_kind in maps.groupby("map"):
                row[f"{section}_{MEASURE}_{kind}"] = _mean_over_patients(of_kind[MEASURE], of_kind)
        return row

    def _compared(self, name: str, section: str, outcomes: Outcomes) -> dict[str, Any]:
        scores, maps = self._tables(name, section, outcomes)
        if not scores:
            return {"seeds": 0}
        found: dict[str, Any] = {"seeds": len(scores), "auc": score_over_seeds(scores, "auc")}
        found["average_precision"] = score_over_seeds(scores, "average_precision")
        twin_scores, twin_maps = self._tables(self.variants[0].name, section, outcomes)
        if not twin_scores:
            return found
        ratios = compare_explanation_seeds(maps, twin_maps, MEASURE)
        found[MEASURE] = {kind: one["mean_a"] for kind, one in ratios.items()}
        one_each = pd.concat(maps)
        keys = [name for name in ("dataset", "patient_id", "image_id") if name in one_each]
        one_each = one_each.drop_duplicates(keys)
        found["background_chance"] = _mean_over_patients(one_each["background_chance"], one_each)
        if name != self.variants[0].name:
            found["auc_difference"] = compare_seeds(scores, twin_scores)["difference"]
            found[f"{MEASURE}_difference"] = {kind: one["difference"] for kind, one in ratios.items()}
            found["images_left_out"] = {kind: one["left_out"] for kind, one in ratios.items()}
        return found

    def _tables(self, name: str, section: str, outcomes: Outcomes) -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
        """Predictions and explanations of each seed of which all stages finished."""
        scores, maps = [], []
        for seed in self.seeds:
            classifier = self.stages[name, seed]
            evaluated = outcomes.of(self.recipe.evaluation(classifier))
            explained = outcomes.of(self._explanation(classifier, section))
            if evaluated.reason is None and explained.reason is None:
                scores.append(section_of(evaluated.folder, section))
                maps.append(read_explanations(explained.folder / "explanations.csv"))
        return scores, maps


def _mean_over_patients(values: pd.Series, rows: pd.DataFrame) -> float:
    """Each patient counts once, however many images there are."""
    return float(values.groupby(patient_keys(rows)).mean().mean())
