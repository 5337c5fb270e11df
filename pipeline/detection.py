"""What a detector's trainer and evaluator need beyond MONAI: batches of boxes, key metric, tables and metrics."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import pandas as pd
import torch
from ignite.engine import Events
from ignite.metrics import Metric
from monai.engines import Workflow
from torch import Tensor

from ..transforms.geometry import to_original_box
from .datasets.located_records import lesion_label
from .files import write_atomically
from .gather import gathered
from .handlers import write_table
from .metrics.box_precision import BOX
from .metrics.detection import evaluate_detections
from .metrics.detection_precision import coco_average_precision
from .metrics.evaluate import RESEARCH_USE

logger = logging.getLogger(__name__)

COLUMNS = ("image_id", "patient_id", "dataset", "split", "laterality", "view", "density")
"""What a record knows of an image that stands in each table."""


def collate_boxes(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A batch: ``image`` ``(B, C, H, W)`` stacked, everything else in lists, since images differ in their boxes."""
    batch: dict[str, Any] = {name: [item[name] for item in items] for name in items[0]}
    batch["image"] = torch.stack([torch.as_tensor(image) for image in batch["image"]])
    return batch


class PrepareDetectionBatch:
    """The ``prepare_batch`` of a detector's engine.

    Args:
        train: hand the targets to the network, which then gives losses; without, it gives detections.
    """

    def __init__(self, *, train: bool) -> None:
        self.train = train

    def __call__(
        self, batch: Mapping[str, Any], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[Any, ...]:
        image = batch["image"].to(device=device, non_blocking=non_blocking, **kwargs)  # (B, C, H, W)
        pairs = zip(batch["boxes"], batch["box_labels"], strict=True)
        targets = [{"boxes": boxes.to(image.device), "labels": labels.to(image.device)} for boxes, labels in pairs]
        return (image, targets, (targets,), {}) if self.train else (image, targets)


class LesionAveragePrecision(Metric):
    """COCO's average precision, mean over overlaps of 0.1 to 0.5, of the lesions on the grid: a key metric.

    Classes without a lesion among the images do not count. Its input is the evaluator's output, not decollated.

    Args:
        classes: names of the classes.
    """

    _state_dict_all_req_keys = ("rows",)

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = list(classes)
        self.rows: list[tuple[Any, ...]] = []
        super().__init__(output_transform=lambda output: (output["pred"], output["label"]))

    def reset(self) -> None:
        """Forget all images."""
        self.rows = []

    def update(self, output: tuple[Sequence[Mapping[str, Tensor]], Sequence[Mapping[str, Tensor]]]) -> None:
        """Add the detections and the true boxes of the images of a batch."""
        for found, truth in zip(*output, strict=True):
            kept = (found["boxes"], found["labels"], found["labels_scores"], truth["boxes"], truth["labels"])
            self.rows.append(tuple(tensor.detach().float().cpu().numpy() for tensor in kept))

    def compute(self) -> float:
        """The average precision in [0, 1] of the images of all processes.

        Raises:
            ValueError: none of the images shows a lesion.
        """
        rows = gathered(self.rows)
        present = sorted({int(label) for row in rows for label in row[4]})
        if not present:
            raise ValueError("no validation image shows a lesion on the grid, so no epoch can be chosen")
        place = np.full(len(self.classes), -1)
        place[present] = np.arange(len(present))
        found, truth = [], []
        for boxes, labels, scores, true_boxes, true_labels in rows:
            own = place[labels.astype(int)]
            found.append((boxes[own >= 0], own[own >= 0], scores[own >= 0]))
            truth.append((true_boxes, place[true_labels.astype(int)]))
        return float(coco_average_precision(found, truth, [self.classes[k] for k in present])["0.10:0.50"])


class DetectionWriter:
    """Write what an evaluator found: ``predictions.csv``, ``lesions.csv`` and ``images.csv`` in a folder.

    ``predictions.csv`` has a row a detection: class, score in [0, 1] and the box ``row0, col0, row1, col1`` in original
    pixels, half-open; ``lesions.csv`` the true boxes, likewise; ``images.csv`` a row an image, with the number of its
    lesions and detections and the best score (0 without a detection).

    Args:
        directory: receives the tables.
        records: the records of the images, with ``findings`` that have a box, see
            :class:`~mammo.pipeline.datasets.LocatedRecords`.
        classes: names of the classes.
    """

    def __init__(self, directory: str | Path, *, records: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> None:
        self.directory = Path(directory)
        self.records = {(record["dataset"], record["image_id"]): record for record in records}
        self.classes = list(classes)
        self.rows: list[dict[str, Any]] = []
        self.seen: list[tuple[str, str]] = []

    def attach(self, engine: Workflow) -> None:
        """Register with the evaluator ``engine``, which must not decollate its output."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def start(self, engine: Workflow) -> None:
        """Forget the images of an earlier epoch."""
        self.rows, self.seen = [], []

    def add(self, engine: Workflow) -> None:
        """Add the detections of one batch."""
        batch = engine.state.batch
        names = zip(batch["dataset"], batch["image_id"], strict=True)
        for key, matrix, found in zip(names, batch["to_original"], engine.state.output["pred"], strict=True):
            self.seen.append(key)
            known = {name: self.records[key].get(name) for name in COLUMNS}
            parts = (found[name].float().cpu().tolist() for name in ("boxes", "labels_scores", "labels"))
            for box, score, label in zip(*parts, strict=True):
                original = to_original_box(tuple(box), torch.as_tensor(matrix).cpu())
                edges = zip(BOX, original, strict=True)
                self.rows.append(known | {"class": self.classes[int(label)], "score": score} | dict(edges))

    def write(self, engine: Workflow) -> None:
        """Gather the rows of all processes and write the tables."""
        rows, seen = gathered(self.rows), list(dict.fromkeys(gathered(self.seen)))
        if idist.get_rank() != 0:
            return
        for name, table in zip(("predictions", "lesions", "images"), self._tables(rows, seen), strict=True):
            write_table(table, self.directory / f"{name}.csv")

    def _tables(self, rows: list[dict[str, Any]], seen: list[tuple[str, str]]) -> tuple[pd.DataFrame, ...]:
        place = [*COLUMNS, "class", *BOX]
        found = pd.DataFrame(rows, columns=[*COLUMNS, "class", "score", *BOX]).drop_duplicates()
        records = [self.records[key] for key in seen]
        lesions = pd.DataFrame([row for record in records for row in self._lesions(record)], columns=place)
        images = pd.DataFrame([{name: record.get(name) for name in COLUMNS} for record in records], columns=COLUMNS)
        index = pd.MultiIndex.from_frame(images[["dataset", "image_id"]])
        best = found.groupby(["dataset", "image_id"])["score"].agg(["size", "max"]).reindex(index)
        count = lesions.groupby(["dataset", "image_id"]).size().reindex(index)
        images["lesions"] = count.fillna(0).astype(int).to_numpy()
        images["detections"] = best["size"].fillna(0).astype(int).to_numpy()
        images["best_score"] = best["max"].astype(float).fillna(0.0).to_numpy()
        return found, lesions, images

    def _lesions(self, record: Mapping[str, Any]) -> list[dict[str, Any]]:
        known = {name: record.get(name) for name in COLUMNS}
        labelled = [(finding["box"], lesion_label(finding, self.classes)) for finding in record["findings"]]
        return [
            known | {"class": self.classes[label]} | dict(zip(BOX, box, strict=True))
            for box, label in labelled
            if label >= 0
        ]


class DetectionMetricsWriter:
    """Write ``metrics.json`` from the test rows of the tables of a :class:`DetectionWriter`.

    Args:
        path: the file to write.
        tables: the handler that writes the tables; list it before this one.
        hit: when a detection counts as right in the free-response ROC, see
            :class:`~mammo.pipeline.metrics.detection.HitCriterion`.
        draws: bootstrap draws of patients for the intervals.
        seed: of the bootstrap.
    """

    def __init__(
        self, path: str | Path, *, tables: DetectionWriter, hit: str = "centre", draws: int = 2000, seed: int = 0
    ) -> None:
        self.path = Path(path)
        self.tables = tables
        self.options: dict[str, Any] = {"hit": hit, "draws": draws, "seed": seed}

    def attach(self, engine: Workflow) -> None:
        """Register with the evaluator ``engine``."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Workflow) -> None:
        if idist.get_rank() != 0:
            return
        files = (self.tables.directory / f"{name}.csv" for name in ("predictions", "lesions", "images"))
        read = [pd.read_csv(file, dtype={"image_id": str, "patient_id": str, "dataset": str}) for file in files]
        found, lesions, images = (table[table["split"] == "test"].reset_index(drop=True) for table in read)
        metrics = evaluate_detections(found, lesions, images, self.tables.classes, **self.options)
        content = {"notice": RESEARCH_USE, **metrics}
        write_atomically(self.path, json.dumps(content, indent=1, allow_nan=False).encode())
        mean, counts = metrics["froc"]["all"]["mean_sensitivity"], metrics["counts"]
        if mean["value"] is not None:
            told = f"{counts['lesions']} lesions of {counts['images']} test images"
            logger.info("%s: mean sensitivity %.3f at 1/8 to 8 false positives an image", told, mean["value"])
        logger.info("%s and the tables beside it written", self.path)
