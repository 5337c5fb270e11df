"""Score any mammograms: every file that was given gets a row, with a probability or with a reason."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ignite.engine import Events
from monai.engines import Workflow
from monai.utils import ensure_tuple
from numpy.typing import NDArray
from torch import Tensor

from ..networks import label_probabilities
from .datasets import Record, all_records, load_datalist, scan
from .gate import Outcome
from .handlers import write_table
from .metrics import apply_class_temperature, apply_temperature

logger = logging.getLogger(__name__)

SUFFIXES = {"", ".dcm", ".dicom", ".png", ".pgm", ".tif", ".tiff", ".jpg", ".jpeg", ".nii", ".gz"}
"""File names that a search of a folder takes for images; DICOM files often have no suffix."""


class InferenceImages(Sequence[Record]):
    """The usable images among files, folders and datalists; the others are in ``quarantine`` with their reasons.

    Args:
        paths: a file or folder, or several; folders are searched. Of a datalist (``.json``) all records are taken,
            lesions with their ``crop``.
        transform: deterministic transforms that prepare an image.
        cache_dir: keeps prepared images; None keeps nothing.
        workers: images prepared at a time.
        gate: policy of the input gate: training, deploy or all.

    Attributes:
        warnings: the gate's reasons of each usable image, by path.

    Raises:
        ValueError: if there is no image at all.
    """

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        transform: Callable[..., Any] | Sequence[Callable[..., Any]],
        cache_dir: str | None = None,
        workers: int = 1,
        gate: str = "training",
    ) -> None:
        records = [record for path in ensure_tuple(paths) for record in _records(Path(path))]
        if not records:
            raise ValueError(f"no image below {', '.join(map(str, ensure_tuple(paths)))}")
        result = scan(records, transform, cache_dir, workers, policy=gate)
        because = result.gate.policy.because
        self.warnings = {row.image: because(row.verdict, Outcome.WARN)[0] for row in result.gate.rows}
        self.records, self.quarantine = result.usable, result.quarantine
        logger.info(result.summary())

    def __getitem__(self, index: Any) -> Any:
        return self.records[index]

    def __len__(self) -> int:
        return len(self.records)


def _records(path: Path) -> list[Record]:
    if path.suffix.lower() == ".json":
        return [record for _, record in all_records(load_datalist(path))]
    return [
        Record(image=name, image_id=name, patient_id=name, dataset="inference") for name in map(str, find_images(path))
    ]


def find_images(path: Path) -> list[Path]:
    """The file itself, or the image files below a folder in order.

    Raises:
        FileNotFoundError: if ``path`` does not exist.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give image files or a folder of them")
    if path.is_file():
        return [path]
    found = (file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    return sorted(file for file in found if file.suffix.lower() in SUFFIXES and file.name != "DICOMDIR")


class ScoreWriter:
    """Write one row an image: its probability, or why there is none.

    With operating points there are also ``probability_calibrated`` and, for two classes, a column ``flagged_RULE`` for
    each threshold that was locked on validation images. A network of K > 2 classes gives ``probability_0`` to
    ``probability_{K-1}`` instead, and one of many labels ``probability_NAME``, ``probability_calibrated_NAME`` and
    ``flagged_NAME`` of each. The column ``calibrated`` speaks of ``probability``, as the network gives it.

    Args:
        path: the CSV file to write.
        images: the images given, usable or not.
        tasks: class count of each task in the order of the logits; the first one is written.
        multi_label: each task, of two classes, is a label that an image has or has not, and all are written.
        operating_points: ``operating_points.json`` of an evaluation of the same weights, or None.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        images: InferenceImages,
        tasks: Mapping[str, int] | None = None,
        multi_label: bool = False,
        operating_points: str | Path | None = None,
    ) -> None:
        self.path = Path(path)
        self.images = images
        self.tasks = {"pathology": 2} if tasks is None else dict(tasks)
        self.multi_label = multi_label
        self.points = None if operating_points is None else read_operating_points(operating_points)
        self.rows: list[dict[str, Any]] = []

    def attach(self, engine: Workflow) -> None:
        """Register with the evaluator ``engine``."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.add)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def add(self, engine: Workflow) -> None:
        """Add the images of one decollated batch."""
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            quality = str(item["mask_quality"])
            reason = "; ".join(self.images.warnings.get(item["image_id"], ()))
            # No breast: mask-weighted pooling leaves nothing but the bias of the head.
            scored = quality != "empty"
            row = {"image": item["image_id"], "status": "scored" if scored else "not scored"}
            if scored:
                row |= self._scores(output["pred"])
            self.rows.append(row | {"mask_quality": quality, "reason": reason})

    def _scores(self, logits: Tensor) -> dict[str, Any]:
        """The columns of one image."""
        temperature = None if self.points is None else self.points["temperature"]
        if self.multi_label:
            return self._labels(label_probabilities(logits, self.tasks).double().cpu().numpy(), temperature)
        classes = next(iter(self.tasks.values()))
        probabilities = logits[:classes].softmax(dim=0).double().cpu().numpy()
        if classes > 2:
            scores = _columns("probability", probabilities) | {"calibrated": False}
            if temperature is not None:
                calibrated = apply_class_temperature(probabilities[None], temperature)[0]
                scores |= _columns("probability_calibrated", calibrated)
            return scores
        probability = float(probabilities[1])
        scores = {"probability": probability, "calibrated": False}
        if temperature is not None:
            scores["probability_calibrated"] = float(apply_temperature([probability], temperature)[0])
        thresholds = {} if self.points is None else self.points["thresholds"].get("image", {})
        return scores | {f"flagged_{rule}": probability >= threshold for rule, threshold in thresholds.items()}

    def _labels(self, probabilities: NDArray[np.float64], temperature: float | None) -> dict[str, Any]:
        scores = {f"probability_{name}": float(p) for name, p in zip(self.tasks, probabilities, strict=True)}
        scores |= {"calibrated": False}
        if temperature is not None:
            calibrated = apply_temperature(probabilities, temperature)
            scores |= {f"probability_calibrated_{n}": float(p) for n, p in zip(self.tasks, calibrated, strict=True)}
        thresholds = {} if self.points is None else self.points["thresholds"]
        flags = {f"flagged_{name}": scores[f"probability_{name}"] >= of["youden"] for name, of in thresholds.items()}
        return scores | flags

    def write(self, engine: Workflow | None = None) -> None:
        """Write the table, the images that could not be scored included."""
        refused = [
            {"image": item["image"], "status": "not scored", "reason": f"{item['reason']}: {item['message']}"}
            for item in self.images.quarantine
        ]
        found = dict.fromkeys(name for row in self.rows for name in row)
        first, last = ("image", "status"), ("mask_quality", "reason")
        told = [name for name in found if name not in first + last] or ["probability", "calibrated"]
        write_table(pd.DataFrame(self.rows + refused, columns=[*first, *told, *last]).sort_values("image"), self.path)


def _columns(name: str, values: NDArray[np.float64]) -> dict[str, Any]:
    return {f"{name}_{k}": float(value) for k, value in enumerate(values)}


def read_operating_points(path: str | Path) -> dict[str, Any]:
    """``operating_points.json`` of an evaluation.

    Raises:
        ValueError: the file is no such object; the message names it.
        FileNotFoundError: it is not there.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid JSON ({error}); evaluate the classifier again") from error
    if not isinstance(content, dict) or not {"temperature", "thresholds"} <= set(content):
        raise ValueError(f"{path}: expected an object with temperature and thresholds, as mammo evaluate writes it")
    return content


def score(evaluator: Any, writer: ScoreWriter) -> None:
    """Run the evaluator where any image is usable, and write the table in every case."""
    if len(writer.images):
        evaluator.run()
    else:
        writer.write()
