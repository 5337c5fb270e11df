"""``kill -9`` of `mammo prepare` at random moments: gone on with, it leaves the store of an undisturbed run."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

from .campaign import Ground, Tally
from .comparing import different_files
from .processes import Run, succeeded, until

__all__ = ["rows"]

SPAN_S = 0.3
"""After its first new image a run is killed within this time."""

MOST_TRIES = 5
"""Runs for each kill: on a fast machine some end before they are killed."""


def rows(ground: Ground) -> Iterator[Tally]:
    """Runs with two worker processes, all killed, on one store; the last run may finish."""
    tally = Tally("`mammo prepare --store`, two workers", "when gone on with, the store as its twin, to the byte")
    draw, store = ground.draw("kill_prepare"), ground.new("killed/store")
    kills, killed, wrong = ground.size(2, 20), 0, list[str]()
    for _ in range(kills * MOST_TRIES):
        if killed == kills:
            break
        run = _begun(ground, store, draw)
        time.sleep(draw.uniform(0, SPAN_S))
        if run.kill():
            killed += 1
        else:
            wrong += succeeded(run)
    wrong += succeeded(ground.prepare(store, workers=2)) + different_files(ground.store, store)
    tally.add(wrong, killed)
    yield tally


def _begun(ground: Ground, store: Path, draw: random.Random) -> Run:
    """A run that has prepared its first image."""
    _leave_work(store, draw)
    before = len(_prepared(store))
    run = ground.prepare(store, workers=2)
    until(lambda: len(_prepared(store)) > before, run)
    return run


def _leave_work(store: Path, draw: random.Random) -> None:
    """Take most entries away, under both of their names, so that the next run has enough to do."""
    there = sorted(_prepared(store))
    chosen = {path.stat().st_ino for path in draw.sample(there, len(there) * 3 // 4)}
    for path in list(store.rglob("*.safetensors")):
        if path.stat().st_ino in chosen:
            path.unlink()


def _prepared(store: Path) -> set[Path]:
    """Names that lead from a source to an entry."""
    return set(store.glob("sources/*/*.safetensors"))
