"""Command lines of ``mammo`` as real processes, to be killed: forked, so that none imports everything again."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from mammo.pipeline.cli import main

__all__ = ["Run", "children", "ended_with_us", "mammo", "one_error", "python", "succeeded", "until"]

_FORK = multiprocessing.get_context("fork")
_started: list[Run] = []
LIMIT_S = 600.0
"""After so long a run counts as hanging."""


class Run:
    """A process of a session of its own that runs a function; what it says goes to a new file.

    Args:
        work: what it runs; an integer that it returns is the exit status.
        log: the file.
    """

    def __init__(self, work: Callable[[], Any], log: Path) -> None:
        self.log, self.begun = log, time.monotonic()
        log.parent.mkdir(parents=True, exist_ok=True)
        self.process = _FORK.Process(target=_alone, args=(work, log))
        self.process.start()
        _started.append(self)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return int(self.process.pid or 0)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.is_alive()

    @property
    def said(self) -> str:
        """What this run has written so far, to both of its outputs."""
        return self.log.read_text(errors="replace") if self.log.is_file() else ""

    def wait(self, limit_s: float = LIMIT_S) -> int | None:
        """Exit status; the negative number of a signal; None where it still ran at the limit, and was killed."""
        self.process.join(limit_s)
        if self.process.is_alive():
            self.kill()
            return None
        return self.process.exitcode

    def kill(self) -> bool:
        """``kill -9`` of the process and all that it started; return whether it was still there."""
        alive = self.process.is_alive()
        for pid in (*([self.pid] if alive else []), *(descendants(self.pid) if alive else [])):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.join()
        return alive


@contextmanager
def ended_with_us() -> Iterator[None]:
    """Leave no process behind, however the block ends."""
    try:
        yield
    finally:
        for run in _started:
            run.kill()


def python(words: list[str], log: Path, **environment: str) -> Run:
    """Start ``python WORDS`` afresh, with more in its environment."""
    return Run(lambda: os.execve(sys.executable, [sys.executable, *words], os.environ | environment), log)


def mammo(words: list[str], log: Path) -> Run:
    """Start ``mammo WORDS``."""

    def work() -> int:
        sys.argv = ["mammo", *words]
        return main(words)

    return Run(work, log)


def until(condition: Callable[[], object], run: Run, limit_s: float = LIMIT_S) -> bool:
    """Wait for a condition while a run is at work; return whether it came true before the run ended."""
    end = time.monotonic() + limit_s
    while run.alive and time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.002)
    return bool(condition()) and run.alive


def children(pid: int) -> list[int]:
    """Processes that a process has started and that still run."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(word) for word in task.read_text().split()]
    return found


def descendants(pid: int) -> list[int]:
    """Its children, theirs, and so on."""
    return [one for child in children(pid) for one in (child, *descendants(child))]


def succeeded(run: Run, limit_s: float = LIMIT_S) -> list[str]:
    """What is wrong with a run that should end well."""
    status = run.wait(limit_s)
    return [] if status == 0 else [f"status {status}, not 0: {_last_words(run)}"]


def one_error(run: Run, *words: str, limit_s: float = LIMIT_S) -> list[str]:
    """What is wrong with a run that should end with one line of error that holds these words (regular expressions)."""
    status, said = run.wait(limit_s), run.said
    if status is None:
        return [f"still at work after {limit_s:.0f} s"]
    lines = [line for line in said.splitlines() if line.startswith("mammo: error: ")]
    wrong = [] if status == 1 else [f"status {status}, not 1"]
    if len(lines) != 1 or "Traceback" in said:
        wrong.append(f"not one line of error but {_last_words(run)!r}")
    else:
        wrong += [f"{word!r} is not in {lines[0]!r}" for word in words if not re.search(word, lines[0])]
    return wrong


def _last_words(run: Run) -> str:
    return run.said[-400:].strip()


def _alone(work: Callable[[], Any], log: Path) -> None:
    os.setsid()
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    # A caller may have put something else in their place.
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
    torch.set_num_threads(1)
    status = work()
    sys.exit(status if isinstance(status, int) else 0)
