"""The handler that turns an evaluator's predictions into ``metrics.json`` and ``operating_points.json``."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import pandas as pd
from ignite.engine import Events
from monai.engines import Workflow

from .datasets.labels import GROUPS, Task, Tasks, resolve_tasks
from .evidence.hashes import sha256_of
from .evidence.run_files import OPERATING_POINTS, read_json, remove_earlier
from .files import write_atomically
from .handlers import LabelWriter, PredictionWriter
from .metrics import (
    choose_class_temperature,
    choose_label_points,
    choose_operating_points,
    class_columns,
    evaluate_classes,
    evaluate_labels,
    evaluate_predictions,
    label_columns,
    read_predictions,
)
from .metrics.exams import higher_levels
from .volumes import VolumeWriter

logger = logging.getLogger(__name__)


ORDERED_FIELDS = frozenset({"density", "birads", "masking", "subtlety"})
"""Fields of a record whose values are grades: quadratic kappa makes sense of them."""


def describe_task(tasks: Tasks, place: int | None = 0) -> dict[str, Any]:
    """What ``metrics.json`` says of the task that is evaluated.

    Args:
        tasks: of the run.
        place: of the one task among them; None: all of them are labels of one picture.

    Returns:
        ``name``, and ``classes`` and ``ordered`` of one task, or ``labels``, the names of many.
    """
    resolved = resolve_tasks(tasks)
    if place is None:
        names = [task.name for task in resolved]
        return {"name": _group_name(names), "labels": names}
    task = resolved[place]
    return {"name": task.name, "classes": class_names(task), "ordered": task.field in ORDERED_FIELDS}


def class_names(task: Task) -> list[str]:
    """What readers call the classes of a task, such as ``benign`` and ``malignant``."""
    # Benign without callback is a kind of benign that no table of results tells apart.
    words = [[str(v) for v in values if v != "BENIGN_WITHOUT_CALLBACK"] for values in task.classes]
    return [" or ".join(w.lower() if task.field == "pathology" else w for w in one) for one in words]


def _group_name(names: Sequence[str]) -> str:
    """The word for these very labels, or all of them."""
    return next((group for group, members in GROUPS.items() if tuple(names) == members), ", ".join(names))


def evaluate_table(
    table: pd.DataFrame,
    task: Mapping[str, Any] | None = None,
    *,
    points: Mapping[str, Any] | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metrics of the test rows of a table, and what was chosen for them on its validation rows, if there are any.

    Args:
        table: all rows of a ``predictions.csv``, with the column ``split``.
        task: see :func:`describe_task`; unknown by default.
        points: ``operating_points.json`` of another evaluation of the classifier, used as it is in place of what the
            validation rows would give.
        draws: bootstrap draws of patients.
        seed: of the draws.

    Returns:
        What ``metrics.json`` and ``operating_points.json`` hold.

    Raises:
        ValueError: there is no column ``split``, the labels of the table are not those of the task, or as the
            evaluation raises it.
    """
    if "split" not in table:
        raise ValueError("the predictions have no column split, so test rows cannot be told from validation rows")
    test, tuning = (table[table["split"] == split] for split in ("test", "validation"))
    validation = None if tuning.empty else tuning
    several, labels = bool(class_columns(table)), label_columns(table)
    if task is not None and list(task.get("labels", [])) != labels:
        raise ValueError(f"the predictions have the labels {labels}, the task {task.get('labels', [])}")
    choose = choose_class_temperature if several else choose_label_points if labels else choose_operating_points
    chosen = choose(validation) if points is None else dict(points)
    options: dict[str, Any] = {"points": chosen, "draws": draws, "seed": seed}
    if several:
        options |= {"names": task["classes"], "ordered": task["ordered"]} if task else {}
        metrics = evaluate_classes(test, validation, **options)
    elif labels:
        metrics = evaluate_labels(test, validation, **options)
    else:
        metrics = evaluate_predictions(test, validation, **options)
    metrics["levels"] |= higher_levels(test, draws=draws, seed=seed)
    about = {} if task is None else {"task": dict(task)}
    return {"notice": metrics["notice"], **about, **metrics}, {"notice": metrics["notice"], **about, **chosen}


def stored_points(path: str | Path, task: Mapping[str, Any] | None, checkpoint: str | Path | None) -> dict[str, Any]:
    """The operating points that an earlier evaluation of a classifier left, with ``taken_from``, their SHA-256.

    Args:
        path: their file.
        task: that they must be of, see :func:`describe_task`.
        checkpoint: the classifier's weights, that they must be of.

    Raises:
        ValueError: they are of other weights or of another task, or the file is none of operating points.
        FileNotFoundError: it is not there.
    """
    points = read_json(path)
    if not {"temperature", "thresholds"} <= set(points):
        raise ValueError(f"{path}: temperature and thresholds are missing; give {OPERATING_POINTS} of an evaluation")
    if checkpoint is None or points.get("checkpoint_sha256") != sha256_of(checkpoint):
        raise ValueError(f"{path} was not made with {checkpoint}; evaluate this checkpoint where validation images are")
    if points.get("task") != task:
        raise ValueError(f"{path} is of the task {points.get('task')}, not of {task}")
    return points | {"taken_from": sha256_of(path)}


class MetricsWriter:
    """Write ``metrics.json`` from the test rows of a prediction table, and ``operating_points.json`` beside it.

    The explanations of an earlier evaluation in the same folder are removed: they are not of these predictions.
    Thresholds and temperature come from the validation rows alone, or from an earlier evaluation. ``mammo predict``
    uses them with the checkpoint whose SHA-256 stands beside them, and with no other.

    Args:
        path: the file to write.
        predictions: the handler that writes the table; list it before this one.
        tasks: of the run; the one that ``predictions`` writes is evaluated, or all as labels.
        checkpoint: the classifier's weights.
        operating_points: file of an earlier evaluation of this checkpoint, whose thresholds and temperature are used
            as they are, such as for a data set of another site without validation images. None: chosen on validation.
        draws: bootstrap draws of patients for the intervals.
        seed: of the bootstrap.

    Raises:
        ValueError: as :func:`stored_points` raises it.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        predictions: PredictionWriter | VolumeWriter | LabelWriter,
        tasks: Tasks | None = None,
        checkpoint: str | Path | None = None,
        operating_points: str | Path | None = None,
        draws: int = 2000,
        seed: int = 0,
    ) -> None:
        self.path = Path(path)
        self.predictions = predictions
        self.task = None
        if tasks is not None:
            self.task = describe_task(tasks, None if isinstance(predictions, LabelWriter) else predictions.place)
        self.checkpoint = checkpoint
        self.points = None if operating_points is None else stored_points(operating_points, self.task, checkpoint)
        self.draws = draws
        self.seed = seed

    def attach(self, engine: Workflow) -> None:
        """Register with the evaluator ``engine``."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Workflow) -> None:
        if idist.get_rank() != 0:
            return
        remove_earlier(self.path.parent)
        table = read_predictions(Path(self.predictions.path))
        metrics, points = evaluate_table(table, self.task, points=self.points, draws=self.draws, seed=self.seed)
        if self.checkpoint is not None:
            points["checkpoint_sha256"] = sha256_of(self.checkpoint)
        for path, content in ((self.path, metrics), (self.path.with_name(OPERATING_POINTS), points)):
            write_atomically(path, json.dumps(content, indent=1, allow_nan=False).encode())
        auc, counts = metrics["levels"]["image"]["auc"], metrics["counts"]
        if auc["value"] is not None:
            bounds = "no interval" if auc["low"] is None else f"{auc['low']:.3f} to {auc['high']:.3f}"
            found = f"{auc['value']:.3f} ({bounds})"
            logger.info("AUC of %d test images of %d patients: %s", counts["images"], counts["patients"], found)
        logger.info("%s and %s written", self.path, self.predictions.path)
