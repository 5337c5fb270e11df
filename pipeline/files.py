"""Write a file in one move, so that nobody ever reads half of it."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import platform
import re
import time
from pathlib import Path

__all__ = ["link_atomically", "sweep", "write_atomically"]


_HOST = re.sub(r"[^A-Za-z0-9]", "-", platform.node()) or "host"
_NUMBERS = itertools.count()  # thread-safe in CPython; with the process and the machine it makes names unique
_TEMPORARY = re.compile(r"-(?P<pid>\d+)@(?P<host>[A-Za-z0-9-]+)\.tmp$")
_ABANDONED_S = 86400.0


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write ``content`` beside ``path`` and move it there; on any failure nothing is left behind.

    The temporary file lies in the same folder, because only a move within one file system is atomic.

    Raises:
        OSError: as the file system raises it (no permission); a full disk with the file and the way out.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        with open(temporary, "xb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException as error:  # Ctrl-C too must leave no half-written file
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = "no space left for this file; free some, or write to another folder"
            raise OSError(error.errno, message, str(path)) from error
        raise


def link_atomically(path: str | Path, name: str | Path) -> None:
    """Give a file a second name; where the file system has no hard links, a copy.

    Raises:
        OSError: as :func:`write_atomically`.
    """
    path, name = Path(path), Path(name)
    name.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(name)
    try:
        os.link(path, temporary)
        os.replace(temporary, name)
    except OSError:
        write_atomically(name, path.read_bytes())
    finally:
        temporary.unlink(missing_ok=True)  # a move onto another name of the same file does nothing


def sweep(folder: str | Path) -> int:
    """Delete what killed processes of this machine left unfinished in a folder and below; return how many files.

    Files of processes that live, or of other machines within a day, are left alone.
    """
    swept = 0
    for path in Path(folder).rglob(".*.tmp"):
        process = _TEMPORARY.search(path.name)
        if process and _is_abandoned(path, process["host"], int(process["pid"])):
            path.unlink(missing_ok=True)
            swept += 1
    return swept


def temporary_name(path: Path) -> Path:
    """A new name beside ``path`` that says whose it is."""
    return path.with_name(f".{path.name[:40]}.{next(_NUMBERS)}-{os.getpid()}@{_HOST}.tmp")


def _is_abandoned(path: Path, host: str, pid: int) -> bool:
    if host != _HOST:
        with contextlib.suppress(FileNotFoundError):
            return time.time() - path.stat().st_mtime > _ABANDONED_S
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
