"""Run many stages, a few at a time, each in a process of its own; what is finished is not run again."""

from __future__ import annotations

import fcntl
import json
import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast

import yaml

from ..files import write_atomically
from .process import COMPLETED, CONFIGURATION, FAILED, work
from .progress import Progress, format_seconds
from .stage import Stage, in_order

__all__ = ["Outcome", "Outcomes", "run_stages"]

logger = logging.getLogger(__name__)

_PARTS = ("datasets", "engines", "evaluation", "explain", "handlers", "checkpoints", "training")
_PRELOADED = [work.__module__, "mammo.networks", "mammo.transforms", *(f"mammo.pipeline.{part}" for part in _PARTS)]
"""Imported once, before the first stage: a stage starts at once, and code that is edited meanwhile does no harm."""

_PATIENCE_S = 20.0
"""For a stage that was asked to stop."""


@dataclass(frozen=True)
class Outcome:
    """How a stage ended.

    Attributes:
        folder: its run folder.
        seconds: that it took; of a resumed one, since it was resumed.
        reason: why it failed; None where it finished.
        resumed: whether it went on from a checkpoint.
    """

    folder: Path
    seconds: float = 0.0
    reason: str | None = None
    resumed: bool = False


class Outcomes(dict[str, Outcome]):
    """Outcomes by digest."""

    def of(self, stage: Stage) -> Outcome:
        """How this stage ended."""
        return self[stage.digest]

    def failures(self) -> list[Outcome]:
        """Those that failed, or could not run because another failed."""
        return [outcome for outcome in self.values() if outcome.reason is not None]


def run_stages(goals: Sequence[Stage], runs: Path, *, workers: int = 1) -> Outcomes:
    """Run the goals and all that they need, inputs first; equal stages once.

    A stage whose run folder holds a record of its completion is not run again; one that was interrupted goes on from
    its last epoch. One that failed is tried again by the next call; the others go on without it. Processes fork from
    a server that has imported torch and MONAI once and computed nothing: a stage starts at once, shares the libraries'
    memory, and takes nobody with it when it dies.

    Args:
        goals: the stages whose results are wanted.
        runs: folder of the run folders.
        workers: stages at a time, one core each.

    Returns:
        How each stage ended, inputs included.

    Raises:
        ValueError: if another process runs stages in ``runs``.
    """
    if workers < 1:
        raise ValueError(f"workers={workers}: a study needs one process or more")
    runs.mkdir(parents=True, exist_ok=True)
    with _sole_owner(runs):
        return _Crew(in_order(goals), runs, workers).run()


class _Crew:
    """The processes at work, and what is still to do."""

    def __init__(self, stages: Sequence[Stage], runs: Path, workers: int) -> None:
        self.runs, self.workers, self.total = runs, workers, len(stages)
        self.context = get_context("forkserver")
        self.context.set_forkserver_preload(_PRELOADED)
        self.progress = Progress(workers)
        self.running: dict[BaseProcess, Stage] = {}
        self.outcomes = Outcomes()
        self.waiting: list[Stage] = []
        for stage in stages:
            found = _completed(stage, runs)
            if found is None:
                self.waiting.append(stage)
            else:
                self.outcomes[stage.digest] = found
                self.progress.add(stage, found.seconds)

    def run(self) -> Outcomes:
        logger.info("%d stages, %d of them finished before", self.total, len(self.outcomes))
        try:
            while self.waiting or self.running:
                self._start()
                sentinels = {process.sentinel: process for process in self.running}
                for sentinel in wait(sentinels) if sentinels else []:  # of nothing it would wait for ever
                    self._end(sentinels[cast(int, sentinel)])
        finally:
            self._stop()
        return self.outcomes

    def _start(self) -> None:
        for stage in list(self.waiting):
            inputs = [self.outcomes.get(needed.digest) for needed in stage.inputs.values()]
            failed = next((one for one in inputs if one is not None and one.reason is not None), None)
            if failed is not None:
                self.waiting.remove(stage)
                self._record(
                    stage, Outcome(stage.folder(self.runs), reason=f"needs {failed.folder.name}, which failed")
                )
            elif None not in inputs and len(self.running) < self.workers:
                self.waiting.remove(stage)
                self.running[self._process(stage)] = stage

    def _process(self, stage: Stage) -> BaseProcess:
        folder = stage.folder(self.runs)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAILED).unlink(missing_ok=True)
        text = yaml.safe_dump(stage.resolved(self.runs), sort_keys=False, allow_unicode=True)
        write_atomically(folder / CONFIGURATION, text.encode())
        arguments = (folder, stage.bundle, stage.name, stage.digest)
        process = self.context.Process(target=work, args=arguments, name=folder.name)
        process.start()
        return process

    def _end(self, process: BaseProcess) -> None:
        process.join()
        stage = self.running.pop(process)
        found = _completed(stage, self.runs)
        if found is None:
            folder = stage.folder(self.runs)
            found = Outcome(folder, reason=_reason(folder, process.exitcode))
        else:
            self.progress.add(stage, found.seconds)
        self._record(stage, found)

    def _record(self, stage: Stage, outcome: Outcome) -> None:
        self.outcomes[stage.digest] = outcome
        number = f"[{len(self.outcomes)}/{self.total}] {stage.name}, {stage.title}"
        if outcome.reason is not None:
            logger.warning("%s FAILED: %s (%s)", number, outcome.reason, outcome.folder)
            return
        left = self.progress.left([*self.waiting, *self.running.values()])
        rest = "" if left is None or len(self.outcomes) == self.total else f"; about {format_seconds(left)} left"
        logger.info("%s: %s%s", number, format_seconds(outcome.seconds), rest)

    def _stop(self) -> None:
        """End what still runs: only after Ctrl-C, SIGTERM or an error of ours is there anything."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.join(_PATIENCE_S)
            process.kill()
            process.join()


def _completed(stage: Stage, runs: Path) -> Outcome | None:
    """The outcome that an earlier attempt recorded; None where there is none, or that of another configuration."""
    path = stage.folder(runs) / COMPLETED
    if not path.is_file():
        return None
    record = json.loads(path.read_text())
    if record["digest"] != stage.digest:
        return None
    return Outcome(path.parent, seconds=record["seconds"], resumed=record["resumed"])


def _reason(folder: Path, status: int | None) -> str:
    if (folder / FAILED).is_file():
        return str(json.loads((folder / FAILED).read_text())["reason"])
    if status is not None and status < 0:
        return f"its process was killed by {signal.Signals(-status).name}; SIGKILL often means too little memory"
    return f"its process ended with status {status}; see {folder / 'log.txt'}"


@contextmanager
def _sole_owner(runs: Path) -> Iterator[None]:
    """Two studies at work on one stage would spoil it for both."""
    with open(runs / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ValueError(
                f"another study is at work in {runs}; wait for it, or give another --output_dir"
            ) from error
        yield
