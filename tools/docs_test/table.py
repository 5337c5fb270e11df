"""The table at the end of a run: what ran as printed, what ran smaller, what did not run and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .declared import Planned

__all__ = ["PageResult", "render"]

_WIDEST = 110


@dataclass(frozen=True)
class PageResult:
    """What a page's commands did; ``failed`` holds one text a failure, ``seconds`` is wall time with its fixtures."""

    page: str
    planned: Sequence[Planned] = ()
    failed: Sequence[str] = ()
    seconds: float = 0.0
    blocks: int = 0
    slowest: Sequence[tuple[float, str]] = field(default_factory=tuple)


def render(results: Sequence[PageResult]) -> str:
    """Three lists as text: all pages with their counts, commands that ran smaller, commands that did not run."""
    widest = max((len(result.page) for result in results), default=4)
    names = ("blocks", "commands", "as printed", "smaller", "not run", "failed", "seconds")
    lines = [f"{'page':{widest}}" + "".join(f"{name:>12}" for name in names)]
    rows = [_counts(result) for result in results]
    lines += [_row(result.page, row, widest) for result, row in zip(results, rows, strict=True)]
    lines.append(_row("all", [sum(column) for column in zip(*rows, strict=True)] or [0] * len(names), widest))
    lines += _listed("run smaller than printed", [(r.page, p, _difference(p)) for r, p in _all(results) if p.smaller])
    lines += _listed("not run", [(r.page, p, p.reason) for r, p in _all(results) if p.reason])
    failures = [f"  {result.page}: {text}" for result in results for text in result.failed]
    return "\n".join(lines + (["", "failed:", *failures] if failures else []))


def _all(results: Sequence[PageResult]) -> list[tuple[PageResult, Planned]]:
    return [(result, planned) for result in results for planned in result.planned]


def _counts(result: PageResult) -> list[float]:
    smaller = sum(planned.smaller for planned in result.planned)
    left = sum(bool(planned.reason) for planned in result.planned)
    run = len(result.planned) - smaller - left
    return [result.blocks, len(result.planned), run, smaller, left, len(result.failed), result.seconds]


def _row(name: str, counts: Sequence[float], widest: int) -> str:
    return f"{name:{widest}}" + "".join(f"{count:12.0f}" for count in counts)


def _listed(title: str, entries: Sequence[tuple[str, Planned, str]]) -> list[str]:
    lines = ["", f"{title}:"]
    for page, planned, text in entries:
        lines += [f"  {page}:{planned.command.line}  {_short(planned.command.text)}", f"      {text}"]
    return lines if entries else []


def _difference(planned: Planned) -> str:
    """What was put into a command, and what was taken out of it."""
    before, after = planned.command.text.split(), planned.text.split()
    added = [word for word in after if word not in before]
    gone = [word for word in before if word not in after]
    return "with " + " ".join(added) + (f" for {' '.join(gone)}" if gone else "")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDEST else line[: _WIDEST - 4] + " ..."
