"""The stages of a study by their usual names: pretraining, fine-tuning, evaluation, explanation."""

from __future__ import annotations

from typing import Any

from .setting import Setting
from .stage import Stage

__all__ = ["RESERVED", "Recipe"]

RESERVED = {
    "pretrained": "each arm has its own start; --imagenet gives public weights",
    "checkpoint": "it is that of the run",
    "seed": "give --seeds",
    "label_percentage": "give --fractions",
    "learning_rate": "give --learning_rates, or --pretrain_learning_rate",
    "max_epochs": "give --pretrain_steps and --finetune_steps",
    "epoch_length": "give --validate_every",
    "val_interval": "give --validate_every",
    "section": "it is chosen on validation and told on test",
    "patience": "every arm takes all its steps",
    "accumulate": "steps count batches; give --batch_size",
    "resume": "a study always goes on where it stopped",
    "output_dir": "run folders lie in --output_dir",
    "dataset_dir": "give --dataset_dir",
    "datalist": "give --datalist",
    "cache_dir": "give --cache_dir",
}
"""Keys of the bundle that studies set, with the way to say so."""

NETWORK = ("tokens", "pooling", "head_norm", "final_norm", "positions")
"""Keys of fine-tuning that later stages must share; variants may differ in them."""


class Recipe:
    """Make the stages of a study.

    Args:
        setting: what the runs share.
        pretrain_steps: optimiser steps of pretraining; 0 for none.
        finetune_steps: optimiser steps of fine-tuning.
        validate_every: steps between validations; both numbers of steps must be multiples of it.
        pretrain_learning_rate: None takes the configuration's.
        two_classes: refuse a first task of other than two classes, see :meth:`Setting.check`.

    Raises:
        ValueError: for steps that do not divide, or an option that the study sets itself.
    """

    def __init__(
        self,
        setting: Setting,
        *,
        pretrain_steps: int = 400,
        finetune_steps: int = 400,
        validate_every: int = 40,
        pretrain_learning_rate: float | None = None,
        two_classes: bool = True,
    ) -> None:
        setting.check(RESERVED, two_classes=two_classes)
        self.setting = setting
        self.pretrain_steps = pretrain_steps
        self.finetune_steps = finetune_steps
        self.validate_every = validate_every
        self.pretrain_learning_rate = pretrain_learning_rate
        for name, steps in (("pretrain_steps", pretrain_steps), ("finetune_steps", finetune_steps)):
            if validate_every < 1 or steps % validate_every:
                raise ValueError(
                    f"--{name} {steps} is no multiple of --validate_every {validate_every}, the steps of an epoch; "
                    f"take {max(1, round(steps / max(1, validate_every))) * max(1, validate_every)}"
                )
        if finetune_steps < 1 or pretrain_steps < 0:
            raise ValueError(
                f"--finetune_steps {finetune_steps} must be above 0, --pretrain_steps {pretrain_steps} not below"
            )

    def default_rate(self) -> float:
        """The learning rate of fine-tuning that the configuration has, as a grid of one.

        Raises:
            ValueError: it follows from other keys there.
        """
        rate = self.setting.default("finetune", "learning_rate")
        if isinstance(rate, str):
            raise ValueError(
                f"the learning rate of {self.setting.bundle} follows from other keys; give --learning_rates"
            )
        return float(rate)

    def pretraining(
        self, seed: int, stage: str = "pretrain", *, steps: int | None = None, **overrides: Any
    ) -> Stage | None:
        """Pretraining of one seed by a stage of the bundle; None where a study has none.

        Args:
            seed: of weights and batches.
            stage: of the bundle.
            steps: ``pretrain_steps`` by default.
            overrides: of the configuration.
        """
        if self.pretrain_steps == 0:
            return None
        epochs = self._epochs(self.pretrain_steps if steps is None else steps)
        if self.pretrain_learning_rate is not None:
            overrides = {"learning_rate": self.pretrain_learning_rate} | overrides
        return self.setting.stage(stage, f"seed {seed}", pretrained=None, seed=seed, **epochs, **overrides)

    def finetuning(
        self, title: str, seed: int, *, start: Stage | str | None = None, steps: int | None = None, **overrides: Any
    ) -> Stage:
        """Fine-tuning of one seed.

        Args:
            title: for people.
            seed: of weights, batches and the share of labels.
            start: a pretraining, a file of weights, or None for random weights.
            steps: ``finetune_steps`` by default.
            overrides: of the configuration.
        """
        epochs = self._epochs(self.finetune_steps if steps is None else steps)
        inputs = {"pretrained": start} if isinstance(start, Stage) else {}
        weights = None if isinstance(start, Stage) else start
        return self.setting.stage(
            "finetune", f"{title}, seed {seed}", inputs, pretrained=weights, seed=seed, **epochs, **overrides
        )

    def evaluation(self, classifier: Stage) -> Stage:
        """Scores of a classifier on validation and test."""
        known = self.setting.keys("evaluate")
        overrides: dict[str, Any] = self._network(classifier, "evaluate")
        overrides |= {"model_card": False} if "model_card" in known else {}  # of the study as a whole, not of each run
        return self.setting.stage("evaluate", classifier.title, {"checkpoint": classifier}, seed=0, **overrides)

    def explanation(self, classifier: Stage, section: str, **overrides: Any) -> Stage:
        """Explanations of a classifier's decisions in one section, without figures."""
        overrides = self._network(classifier, "explain") | {"section": section, "figures": 0, "seed": 0} | overrides
        return self.setting.stage("explain", f"{classifier.title}, {section}", {"checkpoint": classifier}, **overrides)

    def _network(self, classifier: Stage, stage: str) -> dict[str, Any]:
        """What a later stage must know to build the network that was trained."""
        known, trained = self.setting.keys(stage), classifier.configuration
        return {key: trained[key] for key in NETWORK if key in known and key in trained}

    def _epochs(self, steps: int) -> dict[str, Any]:
        return {"max_epochs": steps // self.validate_every, "epoch_length": self.validate_every, "val_interval": 1}
