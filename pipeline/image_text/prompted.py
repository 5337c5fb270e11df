"""Classifiers made of sentences as files: what was asked, and weights that need no text encoder any more."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch

from ...networks import ZeroShotClassifier
from ..evidence.hashes import sha256_of
from ..evidence.run_files import read_json
from ..files import write_atomically
from ..text import Prompts, check_prompts, load_prompts
from .zero_shot import prompts_of_task, prompts_of_tasks

__all__ = ["ASKED", "WEIGHTS", "ZeroShotWeights", "asked_prompts", "read_asked"]

WEIGHTS = "zero_shot.pt"
ASKED = "zero_shot.json"
"""Beside the weights: the sentences of each class, and the checkpoint that answered them."""

USUAL = ("finding_mass", "finding_calcification")
"""What is asked where nothing is named: the two of the paper's evaluation on VinDr-Mammo."""

_NAME = re.compile(r"\w[\w .,()/+-]*")  # of columns, and safe in MONAI's configurations


def asked_prompts(source: str | Path, tasks: Sequence[str] | None = None) -> Prompts:
    """The sentences of each class of each task that is asked.

    Args:
        source: ``ensemble``, ``published`` or a JSON file, see :func:`~mammo.pipeline.text.load_prompts`; or JSON
            itself, such as ``{"mass": {"absent": ["no mass"], "present": ["mass"]}}`` or, without names of the
            classes, ``{"mass": [["no mass"], ["mass"]]}``.
        tasks: those that are asked; None asks all of one's own, and :data:`USUAL` of ours.

    Raises:
        ValueError: no such file, no prompts, none for a task, or a name that can be no column of a table.
    """
    text = str(source)
    own = text.lstrip().startswith("{")
    prompts = _inline(text) if own else load_prompts(source)
    wanted = tasks or (list(USUAL) if text in ("ensemble", "published") else list(prompts))
    found = {task: prompts_of_task(prompts, task) for task in wanted}
    for name in (name for task, classes in found.items() for name in (task, *classes)):
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a task or class: use letters, digits, spaces and .,()/+-_")
    return found


def _inline(text: str) -> Prompts:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f'--prompts is no JSON ({error}); write {{"mass": [["no mass"], ["mass"]]}}') from error
    named = {task: _named(classes) if isinstance(classes, list) else classes for task, classes in content.items()}
    return check_prompts(named, "--prompts")


def _named(classes: list[Any]) -> dict[str, Any]:
    names = ["absent", "present"] if len(classes) == 2 else [str(k) for k in range(len(classes))]
    return dict(zip(names, classes, strict=True))


class ZeroShotWeights:
    """Write the state of a :class:`ZeroShotClassifier` as ``zero_shot.pt``, and what it was asked beside it.

    Its vectors stand for the sentences: the file is loaded into :func:`~mammo.networks.blank_zero_shot`, without
    transformers and without a tokenizer.

    Args:
        directory: receives both files.
        classifier: see :func:`~mammo.pipeline.image_text.zero_shot_classifier`.
        prompts: that it was made of: a name, a file, or the sentences.
        checkpoint: of the image-text pretraining.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        classifier: ZeroShotClassifier,
        prompts: str | Path | Prompts,
        checkpoint: str | Path,
    ) -> None:
        self.directory, self.classifier, self.checkpoint = Path(directory), classifier, Path(checkpoint)
        known = load_prompts(prompts) if isinstance(prompts, (str, Path)) else prompts
        self.asked = prompts_of_tasks(known, classifier.tasks)

    def write(self) -> None:
        """Write both files (the first process only)."""
        if idist.get_rank() != 0:
            return
        content = io.BytesIO()
        torch.save({name: tensor.detach().cpu() for name, tensor in self.classifier.state_dict().items()}, content)
        path = self.directory / WEIGHTS
        write_atomically(path, content.getvalue())
        about = {
            "prompts": self.asked,
            "temperature": 1 / float(self.classifier.model.scale.detach()),
            "checkpoint_sha256": sha256_of(self.checkpoint),
            "weights_sha256": sha256_of(path),
        }
        write_atomically(self.directory / ASKED, json.dumps(about, indent=1).encode())


def read_asked(weights: str | Path) -> dict[str, Any]:
    """What ``zero_shot.json`` beside a ``zero_shot.pt`` says.

    Raises:
        ValueError: it is not there, no such object, or of other weights.
    """
    path = Path(weights).with_name(ASKED)
    if not path.is_file():
        raise ValueError(f"no {path}, which tells what {weights} was asked; mammo zero_shot writes both")
    about = read_json(path)
    if not {"prompts", "temperature", "checkpoint_sha256", "weights_sha256"} <= set(about):
        raise ValueError(f"{path}: prompts, temperature or hashes are missing; mammo zero_shot writes them")
    if about["weights_sha256"] != sha256_of(weights):
        raise ValueError(f"{path} is not of {weights}: keep the two that one run of mammo zero_shot wrote")
    return about | {"prompts": check_prompts(about["prompts"], str(path))}
