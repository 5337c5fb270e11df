"""A disk that is full in the midst of writing: one clear error, nothing half-written; with space the work goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from .campaign import Ground, Tally, files_of
from .comparing import different_files, different_training, half_written, unfinished, whole_results
from .processes import Run, one_error, succeeded
from .small_disk import disk_size_kb, grow, small_disk

__all__ = ["rows"]

PROMISE = "one line of error, nothing half-written; with space, the work is finished as its twin"
AMPLE_KB = 1 << 18

Start = Callable[[Path], Run]
"""Begins the work, or goes on with it, in a folder."""

Check = Callable[[Path], list[str]]
"""What is wrong with a folder."""


def rows(ground: Ground) -> Iterator[Tally]:
    """Disks of several sizes, each too small, under four kinds of work."""
    store, run, page = ground.store, ground.classifier, ground.report.parent
    yield fill(
        ground, "store of `mammo prepare`", store, lambda folder: ground.prepare(folder / "store"),
        left=lambda folder: _not_of(store, folder / "store"),
        finished=lambda folder: different_files(store, folder / "store"),
    )  # fmt: skip
    yield fill(
        ground, "checkpoints of `mammo finetune`", run, lambda folder: ground.finetune(folder / "run", resume=True),
        left=half_written, finished=lambda folder: different_training(run, folder / "run"),
    )  # fmt: skip
    yield fill(
        ground, "results of `mammo process`", ground.results, lambda folder: ground.process(folder / "results"),
        left=_no_result, finished=lambda folder: whole_results(folder / "results"),
    )  # fmt: skip
    yield fill(
        ground, "page of `mammo report`", page, ground.write_report,
        left=lambda folder: list(files_of(folder)), finished=lambda folder: different_files(page, folder),
    )  # fmt: skip


def fill(ground: Ground, case: str, calm: Path, start: Start, *, left: Check, finished: Check) -> Tally:
    """Do the work on disks that hold a random part of what it writes, look at what is left, and finish it with space.

    Args:
        ground: of the campaign.
        case: name of the work.
        calm: what the work writes, undisturbed.
        start: begins it.
        left: what is wrong when the disk was full.
        finished: what is wrong at the end.
    """
    tally, draw, need = Tally(case, PROMISE), ground.draw(case), disk_size_kb(calm)
    for number in range(ground.size(1, 8)):
        folder = ground.new(f"disks/{case.partition(' ')[0]}-{number}")
        with small_disk(folder, int(need * draw.uniform(0.05, 0.95))):
            wrong = one_error(start(folder), r"\bspace\b")
            wrong += left(folder)
            grow(folder, AMPLE_KB)
            wrong += succeeded(start(folder))
            tally.add(wrong + finished(folder))
    return tally


def _not_of(calm: Path, store: Path) -> list[str]:
    """Files of a store that are not those of the undisturbed one."""
    whole = files_of(calm)
    return [f"half-written: {name}" for name, digest in files_of(store).items() if whole.get(name) != digest]


def _no_result(folder: Path) -> list[str]:
    told = ["there is a result.json"] if (folder / "results" / "result.json").exists() else []
    return told + unfinished(folder)
