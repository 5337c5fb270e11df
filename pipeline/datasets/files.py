"""Write a file in one move, so that nobody ever reads half of it."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path

__all__ = ["write_atomically"]


def _default_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


_MODE = _default_mode()  # once: the mask can only be read by setting it, which would race between threads


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write ``content`` beside ``path`` and move it there; on any failure nothing is left behind.

    The temporary file lies in the same folder, because only a move within one file system is atomic.

    Raises:
        OSError: as the file system raises it (no permission); a full disk with the file and the way out.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        # mkstemp makes files of mode 600; a cache or a datalist is shared like any other file.
        os.chmod(temporary, _MODE)
        os.replace(temporary, path)
    except BaseException as error:  # Ctrl-C too must leave no half-written file
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = "no space left for this file; free some, or write to another folder"
            raise OSError(error.errno, message, str(path)) from error
        raise
