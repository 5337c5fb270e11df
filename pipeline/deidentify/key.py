"""Where the secret key comes from, and files that only their owner may read."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from pathlib import Path

from .pseudonyms import LEAST_KEY_BYTES, check_key

__all__ = ["KEY_VARIABLE", "create_key", "load_key", "write_private"]

KEY_VARIABLE = "MAMMO_DEIDENTIFY_KEY"
"""Environment variable of the key."""


def load_key(key_file: str | Path | None = None) -> bytes:
    """Read the key from a file, or without one from the environment variable MAMMO_DEIDENTIFY_KEY.

    The bytes are the key, whatever they are; a newline at the end does not count.

    Raises:
        ValueError: if there is no key, it is weak, or others may read its file.
        OSError: if the file cannot be read.
    """
    if key_file is None:
        text = os.environ.get(KEY_VARIABLE)
        if text is None:
            raise ValueError(f"no key: give a key file, or set {KEY_VARIABLE} to at least {LEAST_KEY_BYTES} bytes")
        return _named(KEY_VARIABLE, os.fsencode(text))
    path = Path(key_file)
    if not path.is_file():
        raise ValueError(
            f"{path}: no such key file; only the key used before gives the same pseudonyms; "
            "have a new one made if this is the first export"
        )
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise ValueError(
            f"{path}: mode {mode:o} lets others read the key; run chmod 600 on it, or pass the key by {KEY_VARIABLE}"
        )
    return _named(str(path), path.read_bytes().rstrip(b"\r\n"))


def create_key(key_file: str | Path) -> bytes:
    """Draw a key of 256 random bits and write it to a new file of mode 600, as 64 hexadecimal digits.

    Raises:
        ValueError: if the file exists already; a key is never replaced.
    """
    path = Path(key_file)
    path.parent.mkdir(parents=True, exist_ok=True)
    key = secrets.token_hex(LEAST_KEY_BYTES).encode("ascii")
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ValueError(f"{path}: there is a key already; use it, or name a file that does not exist") from error
    with os.fdopen(handle, "wb") as file:
        file.write(key + b"\n")
    return key


def write_private(path: str | Path, content: bytes) -> None:
    """Write a file of mode 600 in one move."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")  # mkstemp makes files of mode 600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:  # Ctrl-C too must leave no half-written file
        Path(temporary).unlink(missing_ok=True)
        raise


def _named(source: str, key: bytes) -> bytes:
    try:
        return check_key(key)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
