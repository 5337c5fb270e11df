"""Time and memory as the benchmarks take them: medians of ways that take turns, peaks above what lay there before."""

from __future__ import annotations

import ctypes
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["FORKSERVER", "medians", "peak_megabytes", "resident"]

FORKSERVER = multiprocessing.get_context("forkserver")
"""Memory is measured in processes of this context, which are fresh."""


def medians(ways: Mapping[str, Callable[[], object]], rounds: int, *, warm: int = 1) -> dict[str, float]:
    """Median wall seconds of each way. All take turns, so that a busy machine troubles all alike.

    Args:
        ways: what to time, by name.
        rounds: how often each is timed.
        warm: rounds before those, which do not count.
    """
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + warm):
        for name, way in ways.items():
            begun = time.perf_counter()
            way()
            if number >= warm:
                taken[name].append(time.perf_counter() - begun)
    return {name: statistics.median(values) for name, values in taken.items()}


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
