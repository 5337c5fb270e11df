"""The table of a campaign, and the page that it is written to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mammo.pipeline.files import write_atomically

from .campaign import Tally

__all__ = ["table", "write_page"]

INTRODUCTION = """# Fault campaign

What breaks in practice, done to real processes on small phantoms, and whether anything was lost by it. Written by

    make faults

which prints every loss with its reason and ends with status 1 if there is one; here in its {size} size.
`make faults QUICK=1` takes a few minutes and leaves this page alone; one kind alone, at other moments and places:

    .venv/bin/python -m benchmarks.faults --only KIND --seed 1

*Tried* counts the times that a fault was done, *lost* those after which the promise did not hold.

"""


def table(rows: Sequence[tuple[str, Tally]], names: Mapping[str, str]) -> Iterator[str]:
    """A table of tallies by kind, with the name of each kind and a line for the sum."""
    yield "| fault | KIND | case | afterwards | tried | survived | lost |"
    yield "|---|---|---|---|--:|--:|--:|"
    for kind, row in rows:
        counts = f"{row.tried} | {row.survived} | {len(row.lost)}"
        yield f"| {names[kind]} | `{kind}` | {row.case} | {row.promise} | {counts} |"
    tried, lost = sum(row.tried for _, row in rows), sum(len(row.lost) for _, row in rows)
    yield f"| all | | | | {tried} | {tried - lost} | {lost} |"


def write_page(
    rows: Sequence[tuple[str, Tally]], names: Mapping[str, str], out: Path | None, *, quick: bool = False
) -> int:
    """Print the table and write it, where a page is given; return the exit status.

    It is 1 if anything was lost, or if nothing was tried in a row: then that row says nothing.
    """
    lines = [*table(rows, names)]
    print("\n".join(lines))
    if out is not None:
        introduction = INTRODUCTION.format(size="quick" if quick else "full")
        write_atomically(out, (introduction + "\n".join(lines) + "\n").encode())
    return int(not rows or any(row.lost or not row.tried for _, row in rows))
