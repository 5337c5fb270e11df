"""What an adapter could not use, row by row, so that nothing is dropped in silence."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from ..files import write_atomically

__all__ = ["ImportReport", "Problem"]


class Problem(TypedDict):
    """One thing that was not used, or not as its table says.

    ``kind`` is ``"image"`` (the row's image is not there: the row is lost), ``"roi"`` (mask or crop is
    missing or doubtful: the row is kept without it), ``"label"`` (a value that cannot be
    understood or contradicts another: the row is kept without it), ``"excluded"`` (left out on purpose), ``"column"``
    (of a table, without use) or ``"file"`` (a file without use).
    """

    kind: str
    table: str
    row: int
    """1 for the first row below the header; 0 where no row is concerned."""
    item: str
    reason: str


@dataclass
class ImportReport:
    """Counts and problems of one import.

    Attributes:
        dataset: name of the dataset.
        counts: rows read, records made and the like, by name.
        problems: each with its table, row and reason.
    """

    dataset: str
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, kind: str, reason: str, *, table: str = "", row: int = 0, item: str = "") -> None:
        """Note one problem."""
        self.problems.append(Problem(kind=kind, table=table, row=row, item=item, reason=reason))

    @property
    def unresolved(self) -> list[Problem]:
        """The rows whose image was not found."""
        return [problem for problem in self.problems if problem["kind"] == "image"]

    def summary(self) -> str:
        """Counts, then each kind of problem with its number, as lines for a terminal."""
        lines = [f"{self.dataset}: " + ", ".join(f"{count} {name}" for name, count in self.counts.items())]
        # A column's own name may hold a colon.
        reasons = [p["reason"] if p["kind"] == "column" else p["reason"].split(":")[0] for p in self.problems]
        kinds = Counter(zip((problem["kind"] for problem in self.problems), reasons, strict=True))
        lines += [f"  {count} x {kind}: {reason}" for (kind, reason), count in kinds.most_common()]
        return "\n".join(lines)

    def save(self, path: str | Path) -> Path:
        """Write the problems as CSV (kind, table, row, item, reason), in one move."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(Problem.__annotations__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.problems)
        write_atomically(path, text.getvalue().encode())
        return Path(path)
