"""The table of ratios as text, and the page of the suite as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from measuring import Row

__all__ = ["Machine", "Ran", "page", "table"]


INTRODUCTION = """# Benchmarks beside named peers

Written by `make bench` (`python benchmarks/suite.py`): every script of `benchmarks/` in its quick size, which shows
that it runs and about how large a ratio is. Figures of full size, and what they mean, are in [results](results.md).
"""
STATE = """Measured on {machine.processor}, {machine.cores} processors, {machine.memory:.0f} GB; {versions};
{minutes:.0f} minutes in all. Before the scripts other processes took {least:.0%} to {most:.0%} of the processors' time
(median {median:.0%}). Ways take turns, so that ratios suffer less from a busy machine than seconds do.
"""
RATIOS = """A ratio is ours by the peer's: below 1 is less time or memory. In brackets the least and the greatest ratio
of a round, where there were several. Of IoU, the overlap with the true breast, more is better.
"""
GROWTH = """## How costs grow

Exponents: seconds grow as that power of the quantity. 1 is proportional; less means a part that does not grow; -1
would be perfect sharing among workers. 95 % intervals of a least-squares line through all rounds;
`python benchmarks/growth.py --quick`.

![Seconds of preparing, a pretraining step and a study over what grows, on logarithmic axes]({figure})

| work | quantity | from | to | exponent |
| --- | --- | --: | --: | --: |"""


class Ran(NamedTuple):
    """What a script gave: its rows, its further ratios, growths, wall seconds, and the load before it (0 to 1)."""

    name: str
    rows: Sequence[Row]
    ratios: Mapping[str, Any]
    growth: Sequence[Mapping[str, Any]]
    seconds: float
    load: float


class Machine(NamedTuple):
    """What the figures were measured on; memory in GB."""

    processor: str
    cores: int
    memory: float
    versions: Sequence[str]


def table(rows: Sequence[Row]) -> str:
    """All rows as aligned text."""
    cells = [("what", "ours", "peer's", "ratio", "rounds", "peer"), *map(_cells, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(6)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)


def page(ran: Sequence[Ran], machine: Machine, figure: str) -> str:
    """The page: how it was measured, the ratios, the growth, and what else the scripts tell.

    Args:
        ran: all scripts.
        machine: what they ran on.
        figure: name of the figure of growth, beside the page.
    """
    loads = sorted(one.load for one in ran)
    state = STATE.format(
        machine=machine,
        versions=", ".join(machine.versions),
        minutes=sum(one.seconds for one in ran) / 60,
        least=loads[0],
        most=loads[-1],
        median=loads[len(loads) // 2],
    )
    lines = [INTRODUCTION, state, RATIOS]
    for one in (one for one in ran if one.rows):
        lines += [f"## `benchmarks/{one.name}.py`", "", *_markdown(one.rows), ""]
    lines += _growth([growth for one in ran for growth in one.growth], figure)
    lines += ["## Figures without a peer", "", "| script | what | value |", "| --- | --- | --: |"]
    lines += [row for one in ran if not one.rows and not one.growth for row in _ratios(one)]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    rounds = "" if row.low is None or row.high is None else f"({_short(row.low)} to {_short(row.high)})"
    ratio = "-" if math.isnan(row.ratio) else _short(row.ratio)
    ours, theirs = (f"{value:.3g} {row.unit}" for value in (row.ours, row.theirs))
    return row.name, ours, theirs, ratio, rounds, f"{row.peer} ({row.versions})"


def _short(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def _markdown(rows: Sequence[Row]) -> list[str]:
    lines = ["| what | ours | peer's | ratio | peer |", "| --- | --: | --: | --: | --- |"]
    for what, ours, theirs, ratio, rounds, peer in map(_cells, rows):
        lines.append(f"| {what} | {ours} | {theirs} | **{ratio}** {rounds} | {peer} |".replace("  |", " |"))
    return lines


def _growth(found: Sequence[Mapping[str, Any]], figure: str) -> list[str]:
    lines = [GROWTH.format(figure=figure)]
    for one in found:
        quantities = [float(quantity) for quantity in one["seconds"]]
        interval = f"{one['exponent']:.2f} ({one['low']:.2f} to {one['high']:.2f})"
        lines.append(f"| {one['work']} | {one['quantity']} | {quantities[0]:.4g} | {quantities[-1]:.4g} | {interval} |")
    return [*lines, ""]


def _ratios(one: Ran) -> list[str]:
    return [f"| `{one.name}.py` | {name.replace('_', ' ')} | {value} |" for name, value in one.ratios.items()]
