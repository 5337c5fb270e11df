"""The few kinds of block that a report is made of; ``report.html`` has one macro for each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from monai.utils import StrEnum


class Tone(StrEnum):
    """How a paragraph is set."""

    PLAIN = "plain"
    NOTE = "note"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True)
class Text:
    """A paragraph; ``heading`` stands above it."""

    kind: ClassVar[str] = "text"
    text: str
    tone: Tone = Tone.PLAIN
    heading: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose first column names its rows."""

    kind: ClassVar[str] = "table"
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """An embedded picture: ``source`` is a data URI, ``alt`` says what it shows to those who cannot see
    it.
    """

    kind: ClassVar[str] = "picture"
    source: str
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Tile:
    """One headline figure."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Tiles:
    """Headline figures side by side."""

    kind: ClassVar[str] = "tiles"
    items: Sequence[Tile]


@dataclass(frozen=True)
class Fold:
    """Verbatim text behind a title that opens it."""

    kind: ClassVar[str] = "fold"
    title: str
    text: str


@dataclass(frozen=True)
class Group:
    """Small tables or pictures side by side where the page is wide enough."""

    kind: ClassVar[str] = "group"
    items: Sequence[Table | Picture]


Block = Text | Table | Picture | Tiles | Fold | Group


@dataclass(frozen=True)
class Section:
    """A titled part of the report."""

    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)

    @property
    def anchor(self) -> str:
        """Name of the section in links."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def missing(what: str, cure: str) -> Text:
    """A paragraph that says what is not in the report, and how it would get there."""
    return Text(f"Missing: {what}. {cure}", Tone.MISSING)
