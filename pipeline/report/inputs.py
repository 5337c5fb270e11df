"""The files of run folders, read with one clear error each."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ..metrics import class_columns, label_columns, labelled, read_predictions

HISTORY_KEYS = ("train", "validation")
CLASS_METRICS_KEYS = (
    *(f"counts.{key}" for key in ("images", "patients", "classes", "unlabelled", "patients_in_test_and_validation")),
    *(f"levels.image.{name}.value" for name in ("auc", "average_precision", "accuracy", "balanced_accuracy", "kappa")),
    "classes",
    "confusion",
    "calibration.temperature",
    "calibration.before.ace.value",
    "subgroups",
)
"""What is read of a task of several classes, of which ``confusion`` tells."""
LABEL_METRICS_KEYS = (
    *(f"counts.{key}" for key in ("images", "patients", "positive", "unlabelled", "with_several_labels")),
    "counts.patients_in_test_and_validation",
    *(f"levels.image.{name}.value" for name in ("auc", "average_precision", "exact_match", "hamming_loss")),
    "levels.image.labels_told",
    "labels",
    "calibration.temperature",
    "calibration.before.ace.value",
    "subgroups",
)
"""What is read of a task of many labels, of which ``labels`` tells."""
METRICS_KEYS = (
    *(f"counts.{key}" for key in ("images", "patients", "positive", "negative", "unlabelled")),
    "counts.patients_in_test_and_validation",
    *(f"levels.image.{name}.{key}" for name in ("auc", "average_precision") for key in ("value", "low", "high")),
    "levels.image.probabilistic_f1",
    "sensitivity_at_specificity",
    "specificity_at_sensitivity",
    "threshold.youden.value",
    "calibration.temperature",
    "calibration.before.reliability",
    "calibration.before.ace.value",
    "decision_curve",
    "subgroups",
)


class ReportError(ValueError):
    """An input of the report that is not there or cannot be read."""


@dataclass(frozen=True)
class Run:
    """What a run folder holds; ``None`` for a file that is not there.

    ``predictions.csv`` and ``metrics.json`` may also lie in its folder ``test``, where an evaluation of its
    own puts them.
    """

    name: str
    folder: Path
    history: dict[str, list[dict[str, Any]]] | None
    predictions: pd.DataFrame | None
    metrics: dict[str, Any] | None
    configuration: str | None
    environment: dict[str, Any] | None
    quarantine: pd.DataFrame | None
    evidence: dict[str, Any] | None = None

    @property
    def several_classes(self) -> bool:
        """The task has more than two classes: no threshold, no curve."""
        if self.metrics is not None:
            return "confusion" in self.metrics
        return self.predictions is not None and bool(class_columns(self.predictions))

    @property
    def many_labels(self) -> bool:
        """An image may have several labels: a threshold for each."""
        if self.metrics is not None:
            return "labels" in self.metrics
        return self.predictions is not None and bool(label_columns(self.predictions))

    @property
    def two_classes(self) -> bool:
        """One question with two answers: thresholds and curves."""
        return not (self.several_classes or self.many_labels)

    @property
    def classes(self) -> list[str]:
        """Names of the classes; benign and malignant where they are not told. Of many labels those of each."""
        if self.many_labels:
            return ["absent", "present"]
        task = (self.metrics or {}).get("task") or {}
        return list(task.get("classes") or ("benign", "malignant"))

    @property
    def test(self) -> pd.DataFrame | None:
        """The labelled test rows; all rows of a table that names no split."""
        if self.predictions is None:
            return None
        rows = self.predictions
        rows = rows[rows["split"] == "test"] if "split" in rows else rows
        return labelled(rows)


def read_run(name: str, folder: Path) -> Run:
    """Read a run folder.

    Raises:
        ReportError: the folder does not exist, or a file in it cannot be read; the message names it.
    """
    if not folder.is_dir():
        raise ReportError(f"{folder}: there is no such run folder (given for {name!r})")
    predictions = _find(folder, "predictions.csv")
    metrics = _find(folder, "metrics.json")
    quarantine = _find(folder, "quarantine.csv")
    configuration = _find(folder, "checkpoints/config.yaml") or _find(folder, "config.yaml")
    environment = _find(folder, "environment.json")
    evidence = _find(folder, "evidence.json")
    return Run(
        name=name,
        folder=folder,
        history=read_history(folder / "history.json"),
        predictions=None if predictions is None else read_predictions(predictions),
        metrics=None if metrics is None else read_metrics(metrics),
        configuration=None if configuration is None else read_configuration(configuration),
        environment=None if environment is None else read_object(environment),
        quarantine=None if quarantine is None else read_quarantine(quarantine),
        evidence=None if evidence is None else read_object(evidence),
    )


def read_text(path: Path) -> str:
    """A UTF-8 text file. Raises ReportError naming the file."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ReportError(f"{path}: cannot be read as text ({error})") from error


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object. Raises ReportError naming the file."""
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ReportError(f"{path}: not valid JSON ({error}); the run that wrote it may have been cut off") from error
    if not isinstance(content, dict):
        raise ReportError(f"{path}: expected a JSON object, found a {type(content).__name__}")
    return content


def read_configuration(path: Path) -> str:
    """A YAML file as its text, once it is known to be YAML. Raises ReportError naming the file."""
    text = read_text(path)
    try:
        yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ReportError(f"{path}: not valid YAML ({error})") from error
    return text


def read_history(path: Path) -> dict[str, list[dict[str, Any]]] | None:
    """``history.json``, its rows in order; ``None`` where there is no such file.

    Raises:
        ReportError: it is not ``{"train": [...], "validation": [...]}`` with an ``epoch`` and numbers in
            each row.
    """
    if not path.is_file():
        return None
    content = read_object(path)
    history = {key: content.get(key, []) for key in HISTORY_KEYS}
    for key, rows in history.items():
        sound = isinstance(rows, list) and all(isinstance(row, dict) and "epoch" in row for row in rows)
        if not sound or not all(_is_number(value) for row in rows for value in row.values()):
            raise ReportError(f"{path}: {key!r} must be a list of objects with an epoch and numbers")
    return history


def read_quarantine(path: Path) -> pd.DataFrame:
    """``quarantine.csv``: the images set aside, each with its reason. Raises ReportError naming the file."""
    try:
        frame = pd.read_csv(path, dtype="string", encoding="utf-8")
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ReportError(f"{path}: not a readable table of quarantined images ({error})") from error
    if not {"image_id", "reason"} <= set(frame.columns):
        raise ReportError(f"{path}: columns image_id and reason are needed, found {', '.join(frame.columns)}")
    return frame


def read_metrics(path: Path) -> dict[str, Any]:
    """``metrics.json`` of an evaluation of two classes, of several or of many labels.

    Raises:
        ReportError: something that the report tells is not in it; the message names the file and the key.
    """
    metrics = read_object(path)
    several = CLASS_METRICS_KEYS if "confusion" in metrics else METRICS_KEYS
    for dotted in LABEL_METRICS_KEYS if "labels" in metrics else several:
        value: Any = metrics
        for key in dotted.split("."):
            if not isinstance(value, dict) or key not in value:
                raise ReportError(f"{path}: {dotted} is missing; evaluate the run again")
            value = value[key]
    return metrics


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / "test" / name) if path.is_file()), None)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def finite(value: Any) -> float:
    """The value as a float, NaN for anything that cannot be drawn."""
    return float(value) if value is not None and math.isfinite(value) else math.nan
