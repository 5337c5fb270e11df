"""The table of images scored by sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ...networks import ZeroShotClassifier, split_tasks
from ..inference import InferenceImages, ScoreWriter
from ..metrics import apply_class_temperature

__all__ = ["PromptScoreWriter"]


class PromptScoreWriter(ScoreWriter):
    """:class:`~mammo.pipeline.inference.ScoreWriter` for sentences: a column of each task, named by what was asked.

    ``probability_TASK`` is that of the second of two classes, ``probability_TASK_CLASS`` of each of more. The column
    ``score`` says what they are: the softmax, within a task, of the cosines of image and sentences over the model's
    temperature. That is no probability of disease, and is not calibrated: ``calibrated`` says so. With the operating
    points of a zero-shot evaluation there are calibrated columns and flags beside them.

    Args:
        path, images: see :class:`~mammo.pipeline.inference.ScoreWriter`.
        network: whose temperature is told.
        classes: names of the classes of each task, in the order of the logits.
        operating_points: ``operating_points.json`` of an evaluation with the same sentences, or None.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        images: InferenceImages,
        network: ZeroShotClassifier,
        classes: Mapping[str, Sequence[str]],
        operating_points: str | Path | None = None,
    ) -> None:
        tasks = {task: len(names) for task, names in classes.items()}
        labels = set(tasks.values()) == {2}
        super().__init__(path, images=images, tasks=tasks, multi_label=labels, operating_points=operating_points)
        if self.points is not None and not labels and len(tasks) > 1:
            raise ValueError(f"{operating_points}: tasks of several classes have a temperature one by one; ask one")
        self.classes = {task: list(names) for task, names in classes.items()}
        self.score = f"softmax of cosines / {1 / float(network.model.scale.detach()):.4f}"

    def _scores(self, logits: Tensor) -> dict[str, Any]:
        scores = super()._scores(logits) if self.multi_label else self._of_classes(logits)
        return scores | {"score": self.score}

    def _of_classes(self, logits: Tensor) -> dict[str, Any]:
        scores: dict[str, Any] = {"calibrated": False}
        for task, part in split_tasks(logits, self.tasks).items():
            probabilities = part.softmax(dim=-1).double().cpu().numpy()
            if self.tasks[task] == 2:
                scores[f"probability_{task}"] = float(probabilities[1])
                continue
            named = zip(self.classes[task], probabilities, strict=True)
            scores |= {f"probability_{task}_{name}": float(value) for name, value in named}
            if self.points is not None and self.points["temperature"] is not None:
                calibrated = apply_class_temperature(probabilities[None], self.points["temperature"])[0]
                named = zip(self.classes[task], calibrated, strict=True)
                scores |= {f"probability_calibrated_{task}_{name}": float(value) for name, value in named}
        return scores
