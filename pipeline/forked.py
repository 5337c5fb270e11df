"""Processes forked from one that has imported what they need, so that each starts in milliseconds and not in seconds.

multiprocessing's fork server does as much, but runs the user's script again, and never starts in a cluster's daemons.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import traceback
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection, Pipe
from typing import NoReturn

__all__ = ["Child", "Mother", "bear"]

_NUMBER = struct.Struct("q")
"""A process id first, an exit status at the end."""


class Child:
    """A process that a :class:`Mother` bore.

    Attributes:
        returncode: its exit status, or minus the signal that ended it; None while it runs, or where nobody knows.
    """

    def __init__(self, told: Connection) -> None:
        self.returncode: int | None = None
        self._told = told
        (self._pid,) = _NUMBER.unpack(told.recv_bytes())
        self._ended = False

    def wait(self, seconds: float) -> bool:
        """Whether it has ended, at the latest after so many seconds."""
        if not self._ended and self._told.poll(seconds):
            self._ended = True
            with contextlib.suppress(EOFError, OSError):  # its mother is dead, and it by her hand
                (self.returncode,) = _NUMBER.unpack(self._told.recv_bytes())
        return self._ended

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if not self.wait(0):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)


class Mother:
    """The process that others are forked from; it ends with this one, and they with it.

    Args:
        program: Python that ends in a call of :func:`bear`; ``sys.argv[1]`` is its descriptor, the rest is ``modules``.
        modules: what to import before.
    """

    def __init__(self, program: str, modules: Sequence[str]) -> None:
        self.owner = os.getpid()
        self._socket, theirs = socket.socketpair()
        # A session of its own, because Ctrl-C is for the caller.
        command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {program}"]
        with theirs:
            process = subprocess.Popen(
                [*command, str(theirs.fileno()), *modules],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self.end = weakref.finalize(self, _end, self._socket, process)

    def fork(self, connection: Connection) -> Child:
        """A process that serves the other end of a connection.

        Raises:
            EOFError: if she is dead (OSError too).
        """
        told, tells = Pipe(duplex=False)
        with tells:
            socket.send_fds(self._socket, [b"1"], [connection.fileno(), tells.fileno()])
        return Child(told)


def _end(asking: socket.socket, process: subprocess.Popen[bytes]) -> None:
    asking.close()
    process.terminate()  # she heeds it only while she imports, which takes seconds
    process.wait()


def bear(descriptor: int, modules: Sequence[str], serve: Callable[[int], None]) -> None:
    """What a mother does, until her owner is dead: fork processes that call ``serve`` with a descriptor."""
    for module in modules:
        __import__(module)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # from here on she has children to end first
    asked, (woken, waking) = socket.socket(fileno=descriptor), os.pipe()
    os.set_blocking(waking, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    born: dict[int, Connection] = {}
    with selectors.DefaultSelector() as ready:
        ready.register(asked, selectors.EVENT_READ, partial(_answered, asked, born, serve))
        ready.register(woken, selectors.EVENT_READ, partial(_buried, woken, born))
        while all(key.data() for key, _ in ready.select()):
            pass
    for process in born:
        os.kill(process, signal.SIGKILL)


def _answered(asked: socket.socket, born: dict[int, Connection], serve: Callable[[int], None]) -> bool:
    """Fork one process for one request; False where nobody is left to ask."""
    message, descriptors, *_ = socket.recv_fds(asked, 1, 2)
    if not message:
        return False
    connection, tells = descriptors
    process = os.fork()
    if not process:
        asked.close()
        for other in (*born.values(), Connection(tells, readable=False)):  # their end is told by the mother's copy
            other.close()
        _live(connection, serve)
    os.close(connection)
    born[process] = Connection(tells, readable=False)
    with contextlib.suppress(BrokenPipeError):  # who asked is gone
        born[process].send_bytes(_NUMBER.pack(process))
    return True


def _live(connection: int, serve: Callable[[int], None]) -> NoReturn:
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()
        serve(connection)
        status = 0
    except BaseException:  # the process ends here, whatever it was
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _buried(woken: int, born: dict[int, Connection]) -> bool:
    """Tell of all processes that have ended; always True."""
    os.read(woken, 512)
    for process in list(born):
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            with born.pop(process) as tells, contextlib.suppress(BrokenPipeError):
                tells.send_bytes(_NUMBER.pack(os.waitstatus_to_exitcode(status)))
    return True
