"""A classifier from an image-text model and prompts: findings that no label was given for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from torch import Tensor

from ...networks import ImageTextModel, ZeroShotClassifier, load_network, prompt_vectors
from ..text import Prompts, TextTokenizer, load_prompts

__all__ = ["PROMPTED", "prompts_of_task", "prompts_of_tasks", "zero_shot_classifier"]

PROMPTED = {"pathology": "malignancy", "malignant_vs_rest": "malignancy", "suspicious": "malignancy"}
"""Tasks that prompts know by another name; ``finding_mass`` and so on are known as ``mass``."""


def prompts_of_tasks(prompts: Prompts, tasks: Mapping[str, int]) -> Prompts:
    """The prompts of each task, in the order of its classes.

    Args:
        prompts: by task and class, see :func:`~mammo.pipeline.text.load_prompts`.
        tasks: number of classes of each task.

    Raises:
        ValueError: a task without prompts, or with another number of classes.
    """
    found = {task: prompts_of_task(prompts, task) for task in tasks}
    for task, classes in tasks.items():
        if len(found[task]) != classes:
            raise ValueError(f"task {task!r} has {classes} classes, and its prompts have {len(found[task])}")
    return found


def prompts_of_task(prompts: Prompts, task: str) -> dict[str, list[str]]:
    """The sentences of each class of a task, whichever of its names they have.

    Raises:
        ValueError: there are none.
    """
    name = next((one for one in (task, PROMPTED.get(task), task.removeprefix("finding_")) if one in prompts), None)
    if name is None:
        raise ValueError(f"no prompts for task {task!r}; there are some for {', '.join(prompts)}")
    return prompts[name]


def zero_shot_classifier(
    model: ImageTextModel,
    *,
    checkpoint: str | Path,
    tokenizer: TextTokenizer,
    tasks: Mapping[str, int],
    prompts: str | Path | Prompts = "ensemble",
    length: int = 256,
) -> ZeroShotClassifier:
    """Fill a model with its weights, and ask it the prompts of the tasks.

    Args:
        model: as it was trained, text tower and all.
        checkpoint: of image-text pretraining.
        tokenizer: of that run.
        tasks: number of classes of each task, such as ``{"finding_mass": 2}``.
        prompts: ``ensemble``, ``published``, or a JSON file, see :func:`~mammo.pipeline.text.load_prompts`; or the
            sentences themselves.
        length: most tokens of a sentence.

    Raises:
        ValueError: a checkpoint of another model, or tasks without prompts.
    """
    known = load_prompts(prompts) if isinstance(prompts, (str, Path)) else prompts
    asked = prompts_of_tasks(known, tasks)
    load_network(model, checkpoint)
    tokenize = partial(_tokens, tokenizer, length)
    vectors: dict[str, Tensor] = {task: prompt_vectors(model, tokenize, classes) for task, classes in asked.items()}
    return ZeroShotClassifier(model, vectors)


def _tokens(tokenizer: TextTokenizer, length: int, texts: list[str]) -> tuple[Tensor, Tensor]:
    return tokenizer(texts, length)
