"""A process that others work with is killed: a worker of a data loader or of `mammo prepare`, a rank of a training."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from .campaign import Ground, Tally
from .comparing import different_files, different_training
from .processes import Run, children, one_error, succeeded, until
from .ranks import launch, rank_processes

__all__ = ["rows"]

MINUTE_S = 60.0


def rows(ground: Ground) -> Iterator[Tally]:
    """The worker of each kind, killed at random moments."""
    yield _loader(ground)
    yield _preparing(ground)
    yield _rank(ground)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _loader(ground: Ground) -> Tally:
    promise = "one line of error within a minute; when resumed, weights and history as its twin's, to the bit"
    tally, draw = Tally("a data loader's worker in `mammo finetune --num_workers 2`", promise), ground.draw("loader")
    calm, options = ground.new("workers/calm"), ["--num_workers", 2, "--max_epochs", 4]
    twin = succeeded(ground.finetune(calm, *options))
    for number in range(ground.size(1, 5)):
        out = ground.new(f"workers/{number}")
        wrong = twin + _killed_loader(ground, out, options, draw)
        wrong += succeeded(ground.finetune(out, *options, resume=True))
        tally.add(wrong + different_training(calm, out))
    return tally


def _killed_loader(ground: Ground, out: Path, options: list[object], draw: random.Random) -> list[str]:
    """Kill a worker until one dies at work: of those that have loaded all that they should nobody takes notice."""
    for _ in range(20):
        shutil.rmtree(out, ignore_errors=True)
        run = ground.finetune(out, *options)
        until(partial(_loaders, run), run)
        time.sleep(draw.uniform(0, 0.3))
        for pid in _loaders(run)[:1]:
            _kill(pid)
        if run.wait(MINUTE_S) != 0:
            return one_error(run, "DataLoader worker", "--resume")
    return ["no worker could be killed at work"]


def _loaders(run: Run) -> list[int]:
    """The two workers of a run, where they are there; one child alone may be something else."""
    found = children(run.pid)
    return found if len(found) > 1 else []


def _preparing(ground: Ground) -> Tally:
    promise = "the run goes on; the image at fault is set aside with its reason, and prepared by the next run"
    tally, draw = Tally("a worker of `mammo prepare`", promise), ground.draw("preparing")
    for number in range(ground.size(1, 5)):
        store = ground.new(f"workers/store-{number}")
        run = ground.prepare(store)
        until(partial(_begun, store), run)
        time.sleep(draw.uniform(0, 0.1))
        workers = children(run.pid)
        for pid in workers:
            _kill(pid)
        wrong = succeeded(run)
        aside = list(store.glob("refused/*"))
        wrong += ["its reason is not told"] if any("SIGKILL" not in path.read_text() for path in aside) else []
        wrong += [] if workers else ["there was no worker"]
        tally.add(wrong + succeeded(ground.prepare(store)) + different_files(ground.store, store))
    return tally


def _begun(store: Path) -> bool:
    """Whether a store has an image."""
    return any(store.glob("sources/*/*"))


def _rank(ground: Ground) -> Tally:
    promise = "all end within a minute and say so; when resumed, weights and history as its twin's, to the bit"
    tally, draw = Tally("a rank of two, `torchrun -m monai.bundle run`, gloo", promise), ground.draw("rank")
    calm = ground.new("ranks/calm")
    twin = succeeded(launch(ground, calm))
    for number in range(ground.size(1, 4)):
        out = ground.new(f"ranks/{number}")
        wrong = twin + _killed_rank(launch(ground, out), out, number % 2, draw)
        wrong += succeeded(launch(ground, out))
        tally.add(wrong + different_training(calm, out))
    return tally


def _killed_rank(run: Run, out: Path, rank: int, draw: random.Random) -> list[str]:
    if not until((out / "checkpoints" / "last.pt").is_file, run):
        return [f"ended by itself: {run.said[-300:]}"]
    time.sleep(draw.uniform(0, 1))
    ranks = rank_processes(run.pid)
    if rank not in ranks:
        return [f"there is no rank {rank}"]
    _kill(ranks[rank])
    status = run.wait(MINUTE_S)
    if status is None:
        return ["the others were still there after a minute"]
    wrong = ["status 0"] if status == 0 else []
    wrong += [f"rank {other} still runs" for other, pid in ranks.items() if Path(f"/proc/{pid}").exists()]
    return wrong + ([] if "SIGKILL" in run.said else [f"it does not say why: {run.said[-300:]}"])
