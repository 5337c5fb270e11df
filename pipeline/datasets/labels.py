"""From what records know to the class indices that a network learns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from .follow_up import RISK_TASKS, cancer_within
from .lesion_classes import LESION_CLASSES, MASS_MARGINS, has_margin, lesion_class
from .schema import FINDING_TYPES, RECORD_FIELDS, Record

__all__ = ["PRESETS", "Task", "encode_labels", "has_finding", "require_two_classes", "resolve_tasks", "task_sizes"]

UNKNOWN = -1

BENIGN = ("BENIGN", "BENIGN_WITHOUT_CALLBACK")
"""Benign without callback was judged benign without further work-up; it was never biopsied (Lee et al.
2017)."""

READ_AS_NORMAL = (None, "birads", "report", "reader", "synthetic")
"""Provenances of a NORMAL that says that the image shows nothing. Follow-up, convention or a specimen does not."""


def has_finding(record: Mapping[str, Any], kind: str) -> int | None:
    """Whether an image shows a finding of a type: 1, 0, or None where that is not known.

    It does where a finding is of the type, or the abnormality of the image. It does not where the type is one of those
    that the readers looked for (``looked_for``), nor on an image without findings that was read as normal: NORMAL by
    one of :data:`READ_AS_NORMAL`, or BI-RADS 1. Else nothing is known: who lists masses may leave other things untold.
    """
    findings = record.get("findings", ())
    if record.get("abnormality") == kind or any(finding.get("type") == kind for finding in findings):
        return 1
    if kind in record.get("looked_for", ()):
        return 0
    if findings or record.get("boxes") or record.get("abnormality") or record.get("pathology", "NORMAL") != "NORMAL":
        return None
    read = "pathology" in record and record.get("label_provenance") in READ_AS_NORMAL
    return 0 if read or record.get("birads") == 1 else None


DERIVED: dict[str, Callable[[Mapping[str, Any]], str | int | None]] = {
    "lesion": lesion_class,
    **{name: partial(cancer_within, years=years) for years, name in enumerate(RISK_TASKS, start=1)},
    **{f"margin_{name.lower()}": partial(has_margin, margin=name) for name in MASS_MARGINS},
    **{f"finding_{name}": partial(has_finding, kind=name) for name in FINDING_TYPES},
}
"""Fields that follow from others."""

Classes = Sequence[str | int | Sequence[str | int]]
Tasks = Sequence[str] | Mapping[str, Classes | Mapping[str, Any]]


class OneClassError(ValueError):
    """Labels of one class only; ``index`` is the place of the task among the tasks."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


@dataclass(frozen=True)
class Task:
    """One question: the classes of a record's field.

    Attributes:
        name: of the task.
        field: the record's field that answers it.
        classes: the field's values of each class, in the order of the class indices.
    """

    name: str
    field: str
    classes: tuple[tuple[str | int, ...], ...]

    def label(self, record: Record) -> int:
        """Class of a record; -1 where the field is absent or holds a value of no class."""
        known = cast(Mapping[str, Any], record)
        value = DERIVED[self.field](known) if self.field in DERIVED else known.get(self.field)
        for index, values in enumerate(self.classes):
            if value in values:
                return index
        return UNKNOWN


PRESETS = {
    task.name: task
    for task in (
        Task("pathology", "pathology", (BENIGN, ("MALIGNANT",))),
        Task("malignant_vs_rest", "pathology", (("NORMAL", *BENIGN), ("MALIGNANT",))),
        Task("density", "density", (("A",), ("B",), ("C",), ("D",))),
        Task("density_fatty_dense", "density", (("FATTY",), ("DENSE_GLANDULAR",))),
        Task("abnormality", "abnormality", (("mass",), ("calcification",))),
        Task("assessment", "birads", ((0,), (1,), (2,), (3,), (4,), (5,))),
        Task("suspicious", "birads", ((1, 2, 3), (4, 5, 6))),
        Task("masking", "masking", tuple((level,) for level in range(1, 9))),
        Task("lesion", "lesion", tuple((name,) for name in LESION_CLASSES)),
        Task("lesion_or_background", "lesion", tuple((name,) for name in ("BACKGROUND", *LESION_CLASSES))),
        Task("subtlety", "subtlety", ((1,), (2,), (3,), (4,), (5,))),
        *(Task(name, name, ((0,), (1,))) for name in RISK_TASKS),
        *(Task(name, name, ((0,), (1,))) for name in DERIVED if name.startswith(("margin_", "finding_"))),
    )
}
"""Tasks by name. Values that a preset does not list (a normal image in ``"pathology"``) are unknown to it.
``"suspicious"`` is the convention for datasets without pathology (INbreast, VinDr-Mammo)."""

GROUPS = {"margins": tuple(name for name in PRESETS if name.startswith("margin_"))}
"""Names that stand for several tasks: those of many labels, each of which a picture has or has not."""


def resolve_tasks(tasks: Tasks) -> list[Task]:
    """Turn what a configuration says into tasks.

    Args:
        tasks: names of ``PRESETS`` or of ``GROUPS``; or a mapping of names to classes, each class a value
            of the field or a list of values, such as ``{"pathology": [["NORMAL"], ["BENIGN", "MALIGNANT"]]}``. The
            field has the name of the task, or is given: ``{"cancer": {"field": "pathology", "classes": [...]}}``.
            The word ``"benign"`` alone stands for both benign pathologies; case does not matter.

    Raises:
        ValueError: for an unknown name or field, fewer than two classes, or a value in two classes.
    """
    if isinstance(tasks, str) or not tasks:
        raise ValueError(f"tasks must be a list of names or a mapping of classes, got {tasks!r}")
    if isinstance(tasks, Mapping):
        return [_custom_task(name, given) for name, given in tasks.items()]
    names = [one for name in tasks for one in GROUPS.get(name, (name,))]
    unknown = [name for name in names if name not in PRESETS]
    if unknown:
        raise ValueError(f"unknown task {unknown[0]!r}; give its classes, or one of {', '.join((*PRESETS, *GROUPS))}")
    return [PRESETS[name] for name in names]


def _custom_task(name: str, given: Classes | Mapping[str, Any]) -> Task:
    if isinstance(given, Mapping):
        field, classes = given.get("field", name), given.get("classes", ())
    else:
        field, classes = name, given
    if field not in RECORD_FIELDS and field not in DERIVED:
        raise ValueError(f"task {name!r}: records have no field {field!r}; give one with 'field'")
    spread = tuple(_class_values(values) for values in classes)
    flat = [value for values in spread for value in values]
    twice = [value for value, count in Counter(flat).items() if count > 1]
    if twice:
        raise ValueError(f"task {name!r}: {twice[0]!r} is in more than one class")
    if len(spread) < 2 or not all(spread):
        raise ValueError(f"task {name!r} needs two classes or more, each with a value; got {classes!r}")
    return Task(name, field, spread)


def _class_values(values: str | int | Sequence[str | int]) -> tuple[str | int, ...]:
    if isinstance(values, str) and values.upper() == "BENIGN":
        return BENIGN
    listed = [values] if isinstance(values, (str, int)) else list(values)
    known = [value for name in ("pathology", "density", "abnormality") for value in _vocabulary(name)]
    spelling = {str(value).upper(): value for value in known}
    return tuple(spelling.get(value.upper(), value) if isinstance(value, str) else value for value in listed)


def _vocabulary(field: str) -> list[str | int]:
    return [value for task in PRESETS.values() if task.field == field for values in task.classes for value in values]


def task_sizes(tasks: Tasks) -> dict[str, int]:
    """Number of classes of each task, as :class:`~mammo.networks.MammogramClassifier` takes it."""
    return {task.name: len(task.classes) for task in resolve_tasks(tasks)}


def encode_labels(records: Sequence[Record], tasks: Tasks) -> list[Record]:
    """Give each record its ``label``: the class index of each task, in order, -1 for unknown.

    Args:
        records: left alone; copies are returned.
        tasks: see :func:`resolve_tasks`.
    """
    resolved = resolve_tasks(tasks)
    return [cast(Record, {**record, "label": [task.label(record) for task in resolved]}) for record in records]


def require_two_classes(records: Sequence[Record], tasks: Tasks, section: str = "training") -> None:
    """Refuse to learn from labels of one class.

    Args:
        records: encoded records (:func:`encode_labels`).
        tasks: the same as they were encoded with.
        section: where they come from, for the error.

    Raises:
        OneClassError: naming the first such task and the images of each class.
    """
    for index, task in enumerate(resolve_tasks(tasks)):
        counts = Counter(record["label"][index] for record in records)
        present = [k for k in range(len(task.classes)) if counts[k]]
        if len(present) < 2:
            numbers = ", ".join(f"{'/'.join(map(str, v))}: {counts[k]}" for k, v in enumerate(task.classes))
            raise OneClassError(
                index,
                f"task {task.name!r} has {len(present)} of {len(task.classes)} classes in the {section} images "
                f"({numbers}; unknown: {counts[UNKNOWN]}); choose another task or split, or more labels",
            )
