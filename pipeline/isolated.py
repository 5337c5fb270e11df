"""Call a function in a process whose death costs one call only."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from typing import Any, NamedTuple

from cloudpickle import dumps, loads

from .forked import Child, Mother

__all__ = ["Lost", "call_isolated", "pack"]

_PROGRAM = "from mammo.pipeline import forked, isolated; forked.bear(int(sys.argv[1]), sys.argv[2:], isolated._serve)"
_SLOW = ("mammo.transforms",)
"""Seconds of importing, which is done once for all processes if the caller has done it too."""
_IDLE_S = 60.0
"""After so long without a call a process ends: threads of a cluster outlive the work."""
_PATIENCE_S = 10.0
"""With a process that a dead network drive holds in the kernel."""

_here = threading.local()
_mothers: list[Mother] = []
"""None or one: of this process, and not of the one that it was forked from."""
_asking = threading.Lock()


_Answer = tuple[Any, Exception | None, str]
"""Result, error and its traceback."""


class Lost(NamedTuple):
    """In place of a result: the process that was at work is gone."""

    timed_out: bool
    message: str


def pack(function: Callable[[Any], Any]) -> bytes:
    """A function, or a closure, as :func:`call_isolated` takes it."""
    return bytes(dumps(function))


def call_isolated(function: bytes, item: Any, timeout_s: float | None = None) -> Any:
    """``function(item)``, or :class:`Lost`, from the process that belongs to this thread.

    It starts with the first call and goes when the thread does. Threads, of joblib's or of a cluster's worker, thus
    share nothing: in a pool with one queue, a process that dies with the queue's lock in its hand stops all others
    for ever.

    Args:
        function: of :func:`pack`; another one than in the last call takes another process.
        item: picklable.
        timeout_s: seconds that the call may take, starting not counted; None for any time.

    Raises:
        Exception: whatever the function raises.
        RuntimeError: if the process ends before it could begin.
    """
    worker: _Worker | None = getattr(_here, "worker", None)
    answer = worker.call(item, timeout_s) if worker is not None and worker.function == function else None
    if answer is None:
        worker = _here.worker = _Worker(function)
        answer = worker.call(item, timeout_s) or Lost(False, "its process went before it could be asked")
    if isinstance(answer, Lost):
        return answer
    result, error, trace = answer
    if error is not None:
        raise error from RuntimeError(f"in a worker process:\n{trace}")
    return result


class _Worker:
    """A process, and our end of the pipe to it."""

    def __init__(self, function: bytes) -> None:
        self.function = function
        surroundings = sys.path, os.getcwd(), dict(os.environ)
        self.connection, theirs = Pipe()
        with theirs:
            self.process = _start(theirs)
        self.end = weakref.finalize(self, _end, self.process, self.connection)
        try:
            self.connection.send(surroundings)
            self.connection.send_bytes(function)
            self.connection.recv()
        except (EOFError, OSError):
            self.end()
            message = f"a worker process could not begin ({_cause(self.process)}); what it said is above"
            raise ChildProcessError(message) from None

    def call(self, item: Any, timeout_s: float | None) -> _Answer | Lost | None:
        """The process's answer; None where it had gone before it could be asked."""
        try:
            self.connection.send(item)
        except OSError:
            return None
        try:
            if self.connection.poll(timeout_s):
                answer: _Answer | None = self.connection.recv()
                return answer
            self.end()
            return Lost(True, f"took more than {timeout_s:g} seconds")
        except (EOFError, OSError):
            self.end()
            return Lost(False, f"its process died ({_cause(self.process)})")
        except BaseException:  # Ctrl-C: the answer that is on its way is nobody's
            self.end()
            raise


def _start(connection: Connection) -> Child:
    """A process with the other end of a connection; from a new mother where there is none, or none that answers."""
    with _asking:
        if _mothers and _mothers[0].owner == os.getpid():
            with contextlib.suppress(EOFError, OSError):
                return _mothers[0].fork(connection)
        _mothers[:] = [Mother(_PROGRAM, [name for name in _SLOW if name in sys.modules])]
        try:
            return _mothers[0].fork(connection)
        except (EOFError, OSError):
            raise ChildProcessError("no worker process could begin; why is said above") from None


def _end(process: Child, connection: Connection) -> None:
    connection.close()
    if not process.wait(0.1):  # a process that died tells its own cause
        process.kill()
        process.wait(_PATIENCE_S)


def _cause(process: Child) -> str:
    code = process.returncode or 0
    return f"exit status {code}" if code >= 0 else signal.Signals(-code).name


def _serve(descriptor: int) -> None:
    """What the process does: until the pipe is closed, or who holds its other end is dead."""
    connection = Connection(descriptor)
    with contextlib.suppress(EOFError, ConnectionError):
        sys.path[:], folder, environment = connection.recv()
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        function = loads(connection.recv_bytes())
        connection.send(None)
        while connection.poll(_IDLE_S):
            item = connection.recv()
            _send(connection, _answer(function, item))
        connection.send(None)  # who is asking at this moment shall ask another


def _answer(function: Callable[[Any], Any], item: Any) -> _Answer:
    try:
        return function(item), None, ""
    except Exception as error:
        return None, error, traceback.format_exc()


def _send(connection: Connection, answer: _Answer) -> None:
    try:
        connection.send(answer)
    except ConnectionError:
        raise
    except Exception:  # what cannot be pickled raises errors of its own
        error = TypeError(f"{type(answer[1] or answer[0]).__name__} cannot be sent from a worker process")
        connection.send((None, error, answer[2] or traceback.format_exc()))
