"""What an export did, in counts, and the two lists that stay at home: files set aside, and who is who."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from .key import write_private
from .one_file import IDENTITY_COLUMNS, Outcome

__all__ = ["DeidentifyReport", "FileSetAside", "read_crosswalk", "update_crosswalk"]

_COLUMNS = ["file", "output", *IDENTITY_COLUMNS]


class FileSetAside(TypedDict):
    """A file that was not exported."""

    file: str
    reason: str
    message: str


@dataclass
class DeidentifyReport:
    """Counts of one export, and what was not exported.

    Attributes:
        written: files that were exported now.
        kept: files whose export was there already.
        duplicates: files with the same content as another one of the run, exported once.
        burned_in: exported files that say of themselves, or look as if, text is burned in.
        not_looked_at: exported files of which neither their header nor a look at their pixels tells that.
        comments: comments that were taken out of compressed frames.
        withheld: values that were left out because no rule allows them, by keyword; of the files written now.
        set_aside: files that were not exported, with reasons.
    """

    written: int = 0
    kept: int = 0
    duplicates: int = 0
    burned_in: int = 0
    not_looked_at: int = 0
    comments: int = 0
    withheld: Counter[str] = field(default_factory=Counter)
    set_aside: list[FileSetAside] = field(default_factory=list)

    def add(self, outcome: Outcome, *, is_duplicate: bool) -> None:
        """Count one file."""
        if outcome.output is None:
            self.set_aside.append(
                FileSetAside(file=str(outcome.source), reason=outcome.reason, message=outcome.message)
            )
        elif is_duplicate:
            self.duplicates += 1
        else:
            self.written += outcome.is_new
            self.kept += not outcome.is_new
            self.burned_in += outcome.burned_in is True
            self.not_looked_at += outcome.burned_in is None
            self.comments += outcome.comments
            self.withheld += outcome.withheld

    def summary(self) -> str:
        """Counts as lines for a terminal; no value and no name of any file."""
        lines = [f"{self.written} files written, {self.kept} kept, {self.duplicates} duplicates"]
        if self.set_aside:
            reasons = Counter(item["reason"] for item in self.set_aside)
            lines.append(f"{len(self.set_aside)} files set aside: {_counts(reasons)}")
        if self.burned_in:
            lines.append(f"{self.burned_in} files with burned-in text, marked Patient Identity Removed NO")
        if self.not_looked_at:
            lines.append(f"{self.not_looked_at} files say nothing of burned-in text, and nobody looked at their pixels")
        if self.withheld:
            lines.append(f"values left out: {_counts(self.withheld)}")
        if self.comments:
            lines.append(f"{self.comments} comments taken out of compressed frames")
        return "\n".join(lines)

    def save(self, path: str | Path) -> Path:
        """Write the files set aside as CSV (file, reason, message), for the owner's eyes: paths may hold names."""
        _write_table(Path(path), list(FileSetAside.__annotations__), self.set_aside)
        return Path(path)


def update_crosswalk(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Write or complete the table from identifiers to pseudonyms, a row a source file, mode 600.

    Raises:
        ValueError: as :func:`read_crosswalk`.
    """
    rows = read_crosswalk(path)
    for outcome in outcomes:
        if outcome.output is not None:
            row = {"file": str(outcome.source), "output": str(outcome.output), **outcome.identity}
            rows[row["file"], row["output"]] = row
    _write_table(path, _COLUMNS, list(rows.values()))


def read_crosswalk(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    """Rows by source file as it was named, and output; none where the file is not there.

    Raises:
        ValueError: if the file is something else, which would be written over.
    """
    if not path.exists():
        return {}
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != _COLUMNS:
            raise ValueError(f"{path} is there and is not a crosswalk ({', '.join(_COLUMNS)}); name another file")
        return {(row["file"], row["output"]): row for row in reader}


def _write_table(path: Path, columns: list[str], rows: Sequence[Mapping[str, object]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_private(path, text.getvalue().encode("utf-8", "surrogateescape"))


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
