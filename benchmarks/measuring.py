"""Time, memory and rows of comparison as the benchmarks take them.

Ways take turns, so that a busy machine troubles all alike; peaks are above what lay there before. A script ends with
:func:`finish`: its ratios, and its rows for the table of ``benchmarks/suite.py``.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

__all__ = [
    "FORKSERVER",
    "PUBLISHED",
    "Row",
    "compared",
    "finish",
    "medians",
    "middle",
    "peak_megabytes",
    "resident",
    "timings",
    "valued",
]

Name = TypeVar("Name", str, float)

FORKSERVER = multiprocessing.get_context("forkserver")
"""Memory is measured in processes of this context, which are fresh."""
PUBLISHED = "published recipe in our words"
"""The peer of ``benchmarks/published.py``."""


class Row(NamedTuple):
    """Ours beside one peer: ``ratio`` is ours by theirs, ``low`` and ``high`` its least and greatest in a round."""

    name: str
    unit: str
    ours: float
    theirs: float
    peer: str
    versions: str
    ratio: float
    low: float | None = None
    high: float | None = None


def compared(name: str, taken: Mapping[str, Sequence[float]], ours: str, peer: str, who: str, *libraries: str) -> Row:
    """Two ways that took turns: medians in seconds, and the quotients of their rounds.

    Args:
        name: of what is measured, with its setting.
        taken: seconds of every round, as of :func:`timings`.
        ours: name of our way in it.
        peer: name of the other.
        who: the peer's name for a reader.
        libraries: the distributions that it runs on; their versions are told.
    """
    quotients = [one / other for one, other in zip(taken[ours], taken[peer], strict=True)]
    values = statistics.median(taken[ours]), statistics.median(taken[peer])
    spread = (min(quotients), max(quotients)) if len(quotients) > 1 else (None, None)
    return Row(name, "s", *values, who, _versions(libraries), statistics.median(quotients), *spread)


def valued(name: str, unit: str, ours: float, theirs: float, who: str, *libraries: str) -> Row:
    """Two figures that were measured once; arguments as of :func:`compared`."""
    return Row(name, unit, ours, theirs, who, _versions(libraries), ours / theirs if theirs else float("nan"))


def finish(ratios: Mapping[str, Any], rows: Iterable[Row] = ()) -> None:
    """Print the last line of a benchmark: one JSON object of its ratios, with its rows under ``rows``."""
    print(json.dumps({**ratios, "rows": [row._asdict() for row in rows]}))


def timings(ways: Mapping[Name, Callable[[], object]], rounds: int, *, warm: int = 1) -> dict[Name, list[float]]:
    """Wall seconds of each way in each round. All take turns.

    Args:
        ways: what to time, by name.
        rounds: how often each is timed.
        warm: rounds before those, which do not count.
    """
    taken: dict[Name, list[float]] = {name: [] for name in ways}
    for number in range(rounds + warm):
        for name, way in ways.items():
            begun = time.perf_counter()
            way()
            if number >= warm:
                taken[name].append(time.perf_counter() - begun)
    return taken


def middle(taken: Mapping[Name, Sequence[float]]) -> dict[Name, float]:
    """Medians of :func:`timings`."""
    return {name: statistics.median(values) for name, values in taken.items()}


def medians(ways: Mapping[Name, Callable[[], object]], rounds: int, *, warm: int = 1) -> dict[Name, float]:
    """Median wall seconds of each way; arguments as of :func:`timings`."""
    return middle(timings(ways, rounds, warm=warm))


def peak_megabytes(work: Callable[[], object]) -> float:
    """Peak of resident memory during ``work`` above what this process, a fresh one, held before it."""
    ctypes.CDLL(None).malloc_trim(0)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    work()
    return resident("VmHWM") - before


def resident(field: str) -> float:
    """A line of ``/proc/self/status`` in MB, such as ``VmRSS`` or ``VmHWM``."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def _versions(libraries: Iterable[str]) -> str:
    return ", ".join(f"{name} {version(name)}" for name in libraries)
