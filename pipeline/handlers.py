"""Handlers that fill a run folder: history, masked-input pictures, predictions."""

from __future__ import annotations

import io
import json
import logging
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import pandas as pd
import PIL.Image
import torch
from ignite.engine import Events
from ignite.handlers import ProgressBar as IgniteProgressBar
from monai.engines import Trainer, Workflow
from monai.transforms import Randomizable
from monai.utils import set_determinism
from torch import Tensor, nn

from ..networks import label_probabilities, task_place
from .files import write_atomically
from .gather import gathered
from .random_streams import stream_seed
from .terminal import duration

logger = logging.getLogger(__name__)

PREDICTION_COLUMNS = (
    "image_id", "patient_id", "laterality", "view", "dataset", "split", "density", "abnormality", "birads",
)  # fmt: skip

ImageKey = tuple[str | None, str]


class SeedEpoch:
    """Seed every generator at the start of each epoch from ``seed``, the epoch's number and the process's rank.

    Processes of a distributed run augment differently. A run that was interrupted and resumed equals one that was
    not: what is drawn in an epoch does not depend on those before (MONAI seeds worker processes from torch's generator,
    which is seeded here). Within an epoch, :class:`mammo.pipeline.checkpoints.TrainingCheckpoints` sees to that.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def attach(self, engine: Workflow) -> None:
        """Register with ``engine``."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Workflow) -> None:
        seed = stream_seed(self.seed, engine.state.epoch, idist.get_rank())
        set_determinism(seed)
        dataset = engine.state.dataloader.dataset
        transform = getattr(dataset, "transform", None)
        if isinstance(transform, Randomizable):
            transform.set_random_state(seed)


class BroadcastBuffers:
    """Give all processes the first one's buffers, such as the running means of batch norm, before an engine runs.

    Distributed training leaves them different. An evaluator must not use the wrapped network instead: that
    synchronises at every batch, and may wait for ever where one process has a batch more than another.

    Args:
        network: the network itself, not wrapped for distribution.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def attach(self, engine: Workflow) -> None:
        """Register with the evaluator ``engine``."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Workflow) -> None:
        if idist.get_world_size() > 1:
            for buffer in self.network.buffers():
                torch.distributed.broadcast(buffer, src=0)


class HistoryWriter:
    """Write ``history.json`` after every epoch: mean training loss with its parts, and the validation metrics.

    Means are over the steps of all processes.

    Args:
        path: the file, rewritten atomically; on resume its rows up to the resumed epoch are kept.
        objective: a loss with a mapping ``parts`` of its last terms, such as
            :class:`mammo.networks.losses.PretrainingObjective`.
        evaluator: the evaluator whose metrics are recorded.
    """

    def __init__(self, path: str | Path, *, objective: Any = None, evaluator: Any = None) -> None:
        self.path = Path(path)
        self.objective = objective
        self.evaluator = evaluator
        self.rows: dict[str, list[dict[str, float]]] = {"train": [], "validation": []}
        self.sums: dict[str, Any] = {}
        self.steps = 0
        self.began: tuple[float, int] | None = None

    def attach(self, engine: Workflow) -> None:
        """Register with the trainer ``engine``; list it after the validation handler."""
        # Not at STARTED: a run that is resumed learns its epoch there.
        engine.add_event_handler(Events.EPOCH_STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def start(self, engine: Workflow) -> None:
        """Keep what an interrupted run had written."""
        self.began = self.began or (time.monotonic(), engine.state.epoch)
        if engine.state.epoch > 1 and not self.rows["train"] and self.path.is_file():
            stored = json.loads(self.path.read_text())
            for name, rows in self.rows.items():
                rows[:] = [row for row in stored.get(name, []) if row["epoch"] < engine.state.epoch]

    def state_dict(self) -> dict[str, Any]:
        """The sums of an unfinished epoch."""
        return {"sums": dict(self.sums), "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the sums of :meth:`state_dict`."""
        self.sums, self.steps = dict(state["sums"]), state["steps"]

    def add(self, engine: Workflow) -> None:
        """Add one step's loss and its parts."""
        output = engine.state.output
        terms = {"loss": output["loss"], **(getattr(self.objective, "parts", None) or {})}
        for name, value in terms.items():
            # Added as tensors: turning each into a number here would make the GPU wait at every step.
            self.sums[name] = self.sums.get(name, 0.0) + (value.detach() if isinstance(value, Tensor) else value)
        self.steps += 1

    def write(self, engine: Workflow) -> None:
        """Append the finished epoch and rewrite the file."""
        place = {"epoch": engine.state.epoch, "iteration": engine.state.iteration}
        steps = idist.all_reduce(self.steps)
        self.rows["train"].append(place | {k: idist.all_reduce(float(v)) / steps for k, v in self.sums.items()})
        if self.evaluator is not None and self.evaluator.state.epoch == engine.state.epoch:
            metrics = {name: float(value) for name, value in self.evaluator.state.metrics.items()}
            self.rows["validation"].append({"epoch": engine.state.epoch} | metrics)
        self.sums.clear()
        self.steps = 0
        if idist.get_rank() == 0:
            write_atomically(self.path, json.dumps(self.rows, indent=1).encode())
            epoch, planned = engine.state.epoch, engine.state.max_epochs
            logger.info("%s: epoch %d of %d, %s%s", self.path.parent, epoch, planned, self, self._left(epoch, planned))

    def _left(self, epoch: int, planned: int) -> str:
        """How long the epochs to come will take, if they take as long as those of this process did."""
        if self.began is None or epoch >= planned:
            return ""
        began, first = self.began
        return f", about {duration((time.monotonic() - began) / (epoch - first + 1) * (planned - epoch))} left"

    def __str__(self) -> str:
        """The last epoch in words."""
        measured = {"loss": self.rows["train"][-1]["loss"]} if self.rows["train"] else {}
        measured |= self.rows["validation"][-1] if self.rows["validation"] else {}
        return ", ".join(f"{name} {value:.4f}" for name, value in measured.items() if name != "epoch")


def image_key(known: Mapping[str, Any]) -> ImageKey:
    """What tells an image from all others of a run: data set (None where it is not told) and ``image_id``.

    Args:
        known: a record, or an item of a batch.
    """
    return known.get("dataset"), known["image_id"]


class ImageTable(ABC):
    """Collect what an evaluator finds out about images and write a table, one row an image.

    Args:
        path: the CSV file to write.
        records: the records of the images; what they know of an image goes beside its scores. The items of a batch
            name theirs by ``image_id``, and ``dataset`` where the records have one: two data sets may share ids.
        columns: the fields of a record that are written.
    """

    def __init__(self, path: str | Path, *, records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        self.path = Path(path)
        self.records = {image_key(record): record for record in records}
        self.columns = tuple(columns)
        self.rows: list[tuple[ImageKey, dict[str, Any]]] = []

    @abstractmethod
    def scores(self, item: Mapping[str, Any], output: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of one image beside those of its record, from its decollated item and output."""

    def attach(self, engine: Workflow) -> None:
        """Register with the evaluator ``engine``."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda _: self.rows.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def add(self, engine: Workflow) -> None:
        """Add the images of one decollated batch."""
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            key = image_key(item)
            record = self.records[key]
            known = {name: record.get(name) for name in self.columns}
            self.rows.append((key, known | self.scores(item, output)))

    def write(self, engine: Workflow) -> None:
        """Gather the rows of all processes and write the table."""
        rows = dict(gathered(self.rows))  # processes whose parts are filled up score an image twice
        if idist.get_rank() == 0:
            write_table(pd.DataFrame(list(rows.values())), self.path)


class PredictionWriter(ImageTable):
    """Collect an evaluator's probabilities and write ``predictions.csv``, one row an image.

    Args:
        path: the file to write.
        tasks: class count of each task in the order of the logits.
        task: the one of them that is written; None: the first.
        records, columns: see :class:`ImageTable`.

    Raises:
        ValueError: the network has no such task.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        tasks: Mapping[str, int],
        task: str | None = None,
        records: Sequence[Mapping[str, Any]],
        columns: Sequence[str] = PREDICTION_COLUMNS,
    ) -> None:
        super().__init__(path, records=records, columns=columns)
        self.place, self.logits = task_place(tasks, task)

    def scores(self, item: Mapping[str, Any], output: Mapping[str, Any]) -> dict[str, Any]:
        """Label of the task and its probabilities."""
        label = {"label": int(item["label"][self.place])}
        scores = output["pred"][self.logits].softmax(dim=0)
        if len(scores) == 2:
            return label | {"probability": float(scores[1])}
        return label | {f"probability_{k}": float(score) for k, score in enumerate(scores)}


class LabelWriter(ImageTable):
    """Write ``predictions.csv`` of many labels: ``label_NAME`` and ``probability_NAME`` of each, one row an image.

    Args:
        path: the file to write.
        tasks: names of the labels, with two classes each.
        records, columns: see :class:`ImageTable`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        tasks: Mapping[str, int],
        records: Sequence[Mapping[str, Any]],
        columns: Sequence[str] = PREDICTION_COLUMNS,
    ) -> None:
        super().__init__(path, records=records, columns=columns)
        self.tasks = dict(tasks)

    def scores(self, item: Mapping[str, Any], output: Mapping[str, Any]) -> dict[str, Any]:
        """Whether each label is there (-1: not known), and its probability."""
        labels = {f"label_{name}": int(label) for name, label in zip(self.tasks, item["label"], strict=True)}
        scores = label_probabilities(output["pred"], self.tasks).tolist()
        return labels | {f"probability_{name}": score for name, score in zip(self.tasks, scores, strict=True)}


def table_writer(
    path: str | Path, *, multi_label: bool = False, task: str | None = None, **options: Any
) -> PredictionWriter | LabelWriter:
    """The writer of ``predictions.csv`` that a configuration wants.

    Args:
        path: the file to write.
        multi_label: every task is a label that an image has or has not, and all are written.
        task: the only one that is written; None: the first.
        options: of the writer.

    Raises:
        ValueError: one task of many labels is asked for.
    """
    if not multi_label:
        return PredictionWriter(path, task=task, **options)
    if task is not None:
        raise ValueError(f"multi_label evaluates all tasks together, not {task!r} alone; set one of the two")
    return LabelWriter(path, **options)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a CSV file in one move, so that no reader meets half of it."""
    text = io.StringIO()
    table.to_csv(text, index=False)
    write_atomically(path, text.getvalue().encode())


class ReconstructionPictures:
    """Write one picture an epoch: image, masked input and reconstruction of the first validation images.

    Args:
        directory: receives ``reconstruction_epoch_001.png`` and so on.
        images: how many images are shown.
        to_image: turns prediction and target into grey values, such as that of
            :class:`mammo.networks.losses.MaskedReconstructionLoss`; None where predictions are.
    """

    def __init__(
        self, directory: str | Path, *, images: int = 4, to_image: Callable[[Tensor, Tensor], Tensor] | None = None
    ) -> None:
        self.directory = Path(directory)
        self.images = images
        self.to_image = to_image

    def attach(self, engine: Workflow) -> None:
        """Register with the validation ``engine``, which must not decollate its output."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Workflow) -> None:
        if idist.get_rank() != 0 or (engine.state.iteration - 1) % engine.state.epoch_length:
            return
        target = engine.state.output["label"][: self.images].float().cpu()  # (B, 3, H, W): image, mask, hidden
        pred = engine.state.output["pred"][: self.images].float().cpu()
        picture = (pred if self.to_image is None else self.to_image(pred, target))[:, 0].clamp(0, 1)
        image, hidden = target[:, 0], target[:, 2]
        rows = [torch.cat(list(row), dim=1) for row in (image, image * (1 - hidden), picture)]
        grid = (torch.cat(rows) * 255).round().to(torch.uint8).numpy()
        picture_file = io.BytesIO()
        PIL.Image.fromarray(grid).save(picture_file, format="PNG")
        path = self.directory / f"reconstruction_epoch_{engine.state.epoch:03d}.png"
        write_atomically(path, picture_file.getvalue())


class ProgressBar:
    """Ignite's progress bar on a terminal, on the first process only; silent where output is a file.

    Args:
        name: shown before the bar.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def attach(self, engine: Workflow) -> None:
        """Register with ``engine``; a trainer's bar shows its loss."""
        if idist.get_rank() == 0 and sys.stderr.isatty():
            bar = IgniteProgressBar(desc=self.name)
            trains = isinstance(engine, Trainer)
            bar.attach(engine, output_transform=(lambda output: {"loss": float(output["loss"])}) if trains else None)
