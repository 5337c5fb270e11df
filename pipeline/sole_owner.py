"""One process at a time in a folder: by a lock that goes with the process, however it ends, and leaves no file."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["sole_owner"]

logger = logging.getLogger(__name__)

_NO_LOCKS = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP)
"""What network drives answer that cannot lock a folder."""

_held: dict[Path, int] = {}
"""Open handles of the folders that this process owns."""


@contextmanager
def sole_owner(folder: str | Path, option: str) -> Iterator[None]:
    """Own a folder, made where missing, as long as the block runs; this process may take it more than once.

    Of the processes that torchrun starts, the first one owns it for all.

    Args:
        folder: where two processes at work would spoil what the other one writes.
        option: that gives another folder, for the message.

    Raises:
        ValueError: another process owns it.
    """
    path = Path(folder).resolve()
    if path in _held or os.environ.get("RANK", "0") != "0":
        yield
        return
    path.mkdir(parents=True, exist_ok=True)
    _held[path] = os.open(path, os.O_RDONLY)
    try:
        _lock(path, option)
        yield
    finally:
        if path in _held:  # not in a forked process
            os.close(_held.pop(path))


def _lock(path: Path, option: str) -> None:
    try:
        fcntl.flock(_held[path], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(
            f"another run is at work in {path}; wait until it has ended, or give another {option}"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        logger.warning("%s lies on a drive without locks: take care that no other run works there", path)


def _forget() -> None:
    """Let go in a forked process, such as a data loader's worker, which may live a little longer than its parent."""
    for handle in _held.values():
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_forget)
