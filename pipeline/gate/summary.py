"""Verdicts on many images: counts for a terminal, and one row an image for a table."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ...transforms.errors import MammogramError
from ..files import write_atomically
from .gate import GatePolicy, Verdict, unreadable
from .reasons import Outcome, Reason

__all__ = ["GateRow", "GateSummary"]

_COLUMNS = ("image", "outcome", "reasons", "messages")
_UNKNOWN = "unknown"
_LONGEST_NAME = 32
_REASONS_SHOWN = 3


class GateRow(NamedTuple):
    """One image and its verdict."""

    image: str
    verdict: Verdict
    dataset: str
    manufacturer: str


class GateSummary:
    """Collects verdicts and counts them by reason, outcome, dataset and manufacturer.

    Args:
        policy: the policy they were reached by.

    Attributes:
        rows: one an image, in the order they were added.
    """

    def __init__(self, policy: GatePolicy) -> None:
        self.policy = policy
        self.rows: list[GateRow] = []

    def add(self, image: str, verdict: Verdict, *, dataset: str | None = None, manufacturer: str | None = None) -> None:
        """Add the verdict on one image; a dataset or manufacturer that is None counts as ``"unknown"``."""
        self.rows.append(GateRow(image, verdict, _name(dataset), _name(manufacturer)))

    def add_unreadable(self, error: MammogramError, *, dataset: str | None = None) -> None:
        """Add a file that could not be read: refused, with the reader's reason."""
        self.add(error.path, unreadable(error), dataset=dataset)

    def images(self, *outcomes: str) -> list[str]:
        """Images with one of these outcomes, in order."""
        return [row.image for row in self.rows if row.verdict.outcome in outcomes]

    def outcomes(self, by: str | None = None) -> dict[str, Counter[str]]:
        """Number of images by outcome, overall (under ``"all"``) or for each ``"dataset"`` or ``"manufacturer"``."""
        counts: dict[str, Counter[str]] = {}
        for group, row in self._grouped(by):
            counts.setdefault(group, Counter())[str(row.verdict.outcome.value)] += 1
        return counts

    def reasons(self, by: str | None = None) -> dict[str, Counter[str]]:
        """Number of images by reason, grouped as in :meth:`outcomes`; an image counts for each of its reasons."""
        counts: dict[str, Counter[str]] = {}
        for group, row in self._grouped(by):
            counts.setdefault(group, Counter()).update(row.verdict.reasons)
        return counts

    def table(self) -> str:
        """Counts as lines for a terminal: overall, by reason, by dataset and by manufacturer."""
        total = self.outcomes().get("all", Counter())
        lines = [f"input gate, policy {self.policy.name}: {len(self.rows)} images, " + _outcomes_in_words(total)]
        reasons = self.reasons().get("all", Counter())
        if reasons:
            lines.append(f"  {'reason':<24}{'outcome':<10}{'images':>8}")
        for reason, count in sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0])):
            lines.append(f"  {reason:<24}{self._outcome_of(reason):<10}{count:>8}")
        for by in ("dataset", "manufacturer"):
            lines += self._group_lines(by)
        return "\n".join(lines)

    def save(self, path: str | Path) -> Path:
        """Write one row an image as CSV: image, outcome, reasons (joined by ``;``), messages (joined by ``|``)."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for image, (outcome, reasons, messages), *_ in self.rows:
            writer.writerow([image, outcome.value, "; ".join(reasons), " | ".join(messages)])
        write_atomically(path, text.getvalue().encode())
        return Path(path)

    def _grouped(self, by: str | None) -> Iterator[tuple[str, GateRow]]:
        if by not in (None, "dataset", "manufacturer"):
            raise ValueError(f"by={by!r}; expected 'dataset', 'manufacturer' or None")
        return ((getattr(row, by) if by else "all", row) for row in self.rows)

    def _outcome_of(self, reason: str) -> str:
        # What is none of our reasons is the reader's, and always refused.
        outcome = self.policy.outcomes[Reason(reason)] if reason in set(Reason) else Outcome.REFUSE
        return str(outcome.value)

    def _group_lines(self, by: str) -> list[str]:
        outcomes, reasons = self.outcomes(by), self.reasons(by)
        if set(outcomes) <= {_UNKNOWN}:
            return []
        lines = [f"  {by:<34}" + "".join(f"{outcome.value:>8}" for outcome in Outcome) + "  most frequent reasons"]
        for group, counts in sorted(outcomes.items(), key=lambda pair: (-pair[1].total(), pair[0])):
            often = ", ".join(f"{reason} {count}" for reason, count in reasons[group].most_common(_REASONS_SHOWN))
            numbers = "".join(f"{counts[outcome.value]:>8}" for outcome in Outcome)
            lines.append(f"  {group:<34}{numbers}  {often}")
        return lines


def _outcomes_in_words(counts: Counter[str]) -> str:
    words = {Outcome.ACCEPT: "accepted", Outcome.WARN: "with a warning", Outcome.REFUSE: "refused"}
    return ", ".join(f"{counts[outcome.value]} {text}" for outcome, text in words.items())


def _name(text: str | None) -> str:
    """A group's name; headers may hold anything, also what a terminal would obey."""
    shown = "".join(c if c.isprintable() else "?" for c in (text or "").strip())
    return shown[:_LONGEST_NAME] or _UNKNOWN
