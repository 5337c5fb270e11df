"""The stages of a row for every seed, on the machinery of studies: none is run twice, and stopped ones go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..bundle_run import TRAINING
from ..study.setting import Setting
from ..study.stage import Stage
from .data import Lists
from .row import PRETRAINING, Row, Step

__all__ = ["RESERVED", "WHERE", "Plan"]

RESERVED = {
    "seed": "give --seeds",
    "resume": "a row always goes on where it stopped",
    "dataset_dir": "give --data",
    "datalist": "it is made of --data",
    "pretrained": "the row says what each stage starts from",
    "checkpoint": "the row says what is evaluated",
    "tasks": "they are what the published figures are of",
    "section": "figures are of test patients",
}
"""Keys that a row sets, with the way to say so."""

WHERE = frozenset({"device", "num_workers"})
"""Keys that leave the protocol as it is; any other that a user changes is told beside the figures."""


@dataclass(frozen=True)
class Plan:
    """The stages of a row with what a user gave.

    Attributes:
        row: of the paper.
        lists: its datalists.
        weights: path of each of its released weights.
        output_dir: receives everything.
        options: that the user changed, by key of the configuration.
        cache_dir: folder of prepared images; ``output_dir/cache`` by default.
        workers: stages at a time.
    """

    row: Row
    lists: Lists
    weights: Mapping[str, str]
    output_dir: Path
    options: Mapping[str, Any]
    cache_dir: Path | None = None
    workers: int = 1

    @property
    def setting(self) -> Setting:
        """What all stages share."""
        return Setting(
            Path(self.lists.root),
            self.output_dir,
            Path(self.lists.main),
            self.cache_dir,
            self.row.bundle,
            tuple(self.row.overlays),
            {**self.row.options, **self.options},
            self.workers,
        )

    @property
    def changed(self) -> dict[str, Any]:
        """Options of the user that depart from the row's protocol."""
        return {name: value for name, value in self.options.items() if name not in WHERE}

    def check(self) -> None:
        """Refuse options that a row sets itself, or that none of its stages has.

        Raises:
            ValueError: naming the option, with the nearest ones.
        """
        for name, value in self.options.items():
            top = _top(name)
            if top in RESERVED:
                raise ValueError(f"--{name} is set by the row itself: {RESERVED[top]}")
            if not any(top in self._setting_of(step).keys(step.stage) for step in self.row.steps):
                step = self.row.steps[0]
                replace(self._setting_of(step), options={}).stage(step.stage, "", {}, **{name: value})

    def seeds(self, asked: Sequence[int]) -> list[int]:
        """The seeds that make a difference: one where nothing is trained."""
        return list(asked) if any(step.stage.startswith(TRAINING) for step in self.row.steps) else list(asked[:1])

    def chain(self, seed: int) -> list[Stage]:
        """The stages of one seed, in order; the last one leaves the predictions."""
        made: dict[str, Stage] = {}
        for step in self.row.steps:
            made[step.stage] = self._stage(step, seed, made)
        return list(made.values())

    def _stage(self, step: Step, seed: int, made: Mapping[str, Stage]) -> Stage:
        setting = self._setting_of(step)
        keys = setting.keys(step.stage)
        inputs = {key: made[name] for key, name in step.inputs.items() if name in made}
        overrides: dict[str, Any] = dict(step.options)
        overrides |= {key: self.weights[name] for key, name in step.inputs.items() if name not in made}
        overrides |= {name: value for name, value in self.options.items() if _top(name) in keys}
        overrides["seed"] = seed if step.stage.startswith(TRAINING) else 0
        if "model_card" in keys:
            overrides["model_card"] = False  # of the row as a whole, not of each run
        if step.datalist == PRETRAINING and self.lists.pretraining is not None:
            overrides["datalist"] = self.lists.pretraining
        return setting.stage(step.stage, f"seed {seed}", inputs, **overrides)

    def _setting_of(self, step: Step) -> Setting:
        return replace(self.setting, overlays=(*self.row.overlays, *step.overlays))


def _top(name: str) -> str:
    return name.replace("#", "::").split("::")[0]
