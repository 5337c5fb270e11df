"""What the files of a run tell about it, for its model card and its reporting checklist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ...networks import read_state
from ..datasets.records import load_datalist
from ..datasets.schema import SECTIONS
from .run_files import CONFIGURATION, ENVIRONMENT, METRICS, OPERATING_POINTS, read_json, training_configuration

AUTHORS = "to be filled by the authors"
"""How a document marks what no run can know."""
COUNTED = ("pathology", "density", "abnormality", "manufacturer", "label_provenance")
"""Fields of a record whose values are counted for each section."""


@dataclass(frozen=True)
class RunFacts:
    """The contents of an evaluation's folder, its inputs and the run that left its checkpoint.

    Attributes:
        metrics: ``metrics.json``.
        points: ``operating_points.json``, empty where it is not there.
        environment: of the evaluation, likewise.
        configuration: of the evaluation, likewise.
        training: configuration of the run whose folder holds the checkpoint, likewise.
        datalist: name, description, licence and known leak of the datalist.
        sections: for each section of the datalist ``images``, ``patients``, ``ages`` (range) and counts of values.
        parameters: numbers in the checkpoint's weights.
    """

    metrics: Mapping[str, Any]
    points: Mapping[str, Any]
    environment: Mapping[str, Any]
    configuration: Mapping[str, Any]
    training: Mapping[str, Any]
    datalist: Mapping[str, str]
    sections: Mapping[str, Mapping[str, Any]]
    parameters: int

    @property
    def task(self) -> Mapping[str, Any]:
        """Name, classes and order of the task; empty where it is not known."""
        found: Mapping[str, Any] = self.metrics.get("task", {})
        return found

    @property
    def labels(self) -> Mapping[str, Any]:
        """Measures of each of many labels; empty for a task of classes."""
        found: Mapping[str, Any] = self.metrics.get("labels", {})
        return found

    @property
    def has_two_classes(self) -> bool:
        """The task has thresholds, and not only a likeliest class."""
        return "threshold" in self.metrics


def gather_facts(directory: Path, *, datalist: Path, checkpoint: Path) -> RunFacts:
    """Read what a run left.

    Args:
        directory: the evaluation's folder, with ``metrics.json``.
        datalist: the datalist of the run.
        checkpoint: the classifier's weights.

    Raises:
        FileNotFoundError: ``metrics.json`` or the datalist are not there.
        ValueError: a file cannot be read, or there is no checkpoint; the message names it.
    """
    content: Mapping[str, Any] = load_datalist(datalist)
    about = {key: str(content[key]) for key in ("name", "description", "licence", "known_leak") if content.get(key)}
    return RunFacts(
        metrics=read_json(directory / METRICS),
        points=_optional_json(directory / OPERATING_POINTS),
        environment=_optional_json(directory / ENVIRONMENT),
        configuration=_optional_yaml(directory / CONFIGURATION),
        training=_optional_yaml(training_configuration(checkpoint.parent.parent)),
        datalist=about,
        sections={name: _count(content[name]) for name in SECTIONS if content.get(name)},
        parameters=_count_parameters(checkpoint),
    )


def _count(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    ages = [record["age"] for record in records if "age" in record]
    counts = {name: Counter(str(r[name]) for r in records if name in r) for name in COUNTED}
    return {
        "images": len(records),
        "patients": len({(record["dataset"], record["patient_id"]) for record in records}),
        "ages": f"{min(ages)} to {max(ages)} years, known of {len(ages)} images" if ages else None,
        **{name: dict(sorted(values.items())) for name, values in counts.items() if values},
    }


def _count_parameters(checkpoint: Path) -> int:
    """Numbers in the classifier's weights, without the reconstruction that it may have been trained with."""
    own = [value for name, value in read_state(checkpoint).items() if not name.startswith("reconstruction.")]
    return sum(value.numel() for value in own if value.is_floating_point())


def _optional_json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _optional_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML ({error})") from error
    return content if isinstance(content, dict) else {}
