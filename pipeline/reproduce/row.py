"""What a row of a paper's table is made of, as the YAML files in ``rows`` hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["MAIN", "PRETRAINING", "Figure", "Paper", "Part", "Row", "SplitRule", "Step", "read_row"]

MAIN, PRETRAINING = "main", "pretraining"
"""Datalists of a row: the one that is split, trained and tested on, and the larger one for pretraining alone."""

_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Paper:
    """Where the row is printed.

    Attributes:
        title: of the paper.
        place: table and line.
        arxiv: identifier; None where there is none.
        source: how the figures were read, where not from the text itself.
    """

    title: str
    place: str
    arxiv: str | None = None
    source: str = ""

    def __str__(self) -> str:
        told = f"{self.title} (arXiv:{self.arxiv})" if self.arxiv else self.title
        return f"{told}, {self.place}"


@dataclass(frozen=True)
class Figure:
    """One published number.

    Attributes:
        measure: ``auc``, ``average_precision`` or ``accuracy``; means over classes or labels where there are several.
        value: as a share of 1; None for a measure that is told though the paper prints no number.
        decimals: as printed, counted for a share of 1.
        level: see :data:`~mammo.pipeline.metrics.LEVELS`.
        label: the one of many labels that it is of.
    """

    measure: str
    value: float | None = None
    decimals: int = 2
    level: str = "image"
    label: str | None = None

    @property
    def name(self) -> str:
        """For people: ``auc of finding_mass, breast_mean``."""
        of = f" of {self.label}" if self.label else ""
        return f"{self.measure.replace('_', ' ')}{of}{'' if self.level == 'image' else f', {self.level}'}"


@dataclass(frozen=True)
class Part:
    """A dataset of the row.

    Attributes:
        dataset: name of an adapter.
        options: of the adapter.
        use: ``main``, or ``pretraining`` for one whose images, all of them, are only pretrained on.
    """

    dataset: str
    options: Mapping[str, Any] = field(default_factory=dict)
    use: str = MAIN


@dataclass(frozen=True)
class SplitRule:
    """How the patients are divided.

    Attributes:
        rule: in words.
        file: frozen split, in ``splits``, or a path relative to the row's file.
    """

    rule: str
    file: str


@dataclass(frozen=True)
class Step:
    """A stage of the bundle.

    Attributes:
        stage: name of the bundle's configuration.
        options: by key of the configuration.
        overlays: laid over this stage alone.
        inputs: by key of the configuration, what it takes: an earlier stage's name, or that of weights.
        datalist: ``main`` or ``pretraining``.
    """

    stage: str
    options: Mapping[str, Any] = field(default_factory=dict)
    overlays: Sequence[str] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    datalist: str = MAIN


@dataclass(frozen=True)
class Row:
    """A row of a paper's table.

    Attributes:
        id: unique.
        system: what was trained.
        dataset: for people.
        paper: where it is printed.
        data: the datasets.
        split: how the patients are divided.
        bundle: whose stages run.
        steps: in order; the last one leaves the predictions.
        figures: what was published.
        differs: what is not as in the paper, each in a sentence.
        options: given to every stage that knows them.
        overlays: laid over every stage.
        crops: options of the lesion crops; None for whole mammograms.
        weights: names of what must be downloaded, by :mod:`.sources`.
        phantom: settings of the phantom that stands for a dataset; None for a real one.
        folder: of the file that it was read from.
    """

    id: str
    system: str
    dataset: str
    paper: Paper
    data: Sequence[Part]
    split: SplitRule
    bundle: str
    steps: Sequence[Step]
    figures: Sequence[Figure]
    differs: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    overlays: Sequence[str] = ()
    crops: Mapping[str, Any] | None = None
    weights: Sequence[str] = ()
    phantom: Mapping[str, Any] | None = None
    folder: Path = Path()

    @property
    def split_file(self) -> Path:
        """The frozen split's file."""
        return self.folder / self.split.file

    @property
    def parts(self) -> dict[str, list[Part]]:
        """The datasets by use."""
        return {use: [part for part in self.data if part.use == use] for use in (MAIN, PRETRAINING)}


def read_row(content: Mapping[str, Any], folder: Path, where: str) -> Row:
    """Make a row of what its file holds.

    Args:
        content: of the file.
        folder: of the file.
        where: what to call it in an error.

    Raises:
        ValueError: naming the place and the key that is unknown or missing, or a name that nothing has.
    """
    nested: dict[str, Any] = dict(content)
    for key, kind in (("paper", Paper), ("split", SplitRule)):
        if key in nested:
            nested[key] = _make(kind, nested[key], f"{where}: {key}")
    for key, each in (("data", Part), ("steps", Step), ("figures", Figure)):
        made = enumerate(nested.get(key, ()), start=1)
        nested[key] = [_make(each, item, f"{where}: {key}, number {number}") for number, item in made]
    row = _make(Row, nested | {"folder": folder}, where)
    _check(row, where)
    return row


def _make(kind: type[_Made], content: Any, where: str) -> _Made:
    """A dataclass from a mapping."""
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if not isinstance(content, Mapping):
        raise ValueError(f"{where}: expected a mapping with {', '.join(known)}, got {content!r}")
    unknown = [name for name in content if name not in known]
    if unknown:
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; it has {', '.join(known)}")
    try:
        return kind(**content)
    except TypeError as error:
        raise ValueError(f"{where}: {str(error).partition('() ')[2]}") from error


def _check(row: Row, where: str) -> None:
    if not row.parts[MAIN] or not row.steps:
        raise ValueError(f"{where}: a row needs a dataset with use {MAIN} and a step")
    given = set(row.weights)
    for step in row.steps:
        wrong = [name for name in step.inputs.values() if name not in given]
        if wrong:
            raise ValueError(f"{where}: {step.stage} takes {wrong[0]!r}, which is no earlier step and none of weights")
        if step.datalist == PRETRAINING and not row.parts[PRETRAINING]:
            raise ValueError(f"{where}: {step.stage} takes the list of pretraining, and no dataset has that use")
        given.add(step.stage)
