"""Ways in which the bytes of a file go wrong."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path

import torch

__all__ = ["cut", "flipped", "pickle_with_code"]


def flipped(content: bytes, draw: random.Random) -> bytes:
    """One bit turned over."""
    changed = bytearray(content)
    changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut(content: bytes, draw: random.Random) -> bytes:
    """The beginning, up to any byte."""
    return content[: draw.randrange(len(content))]


class _Canary:
    """An object whose pickle makes a folder when it is loaded without care."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def pickle_with_code(canary: Path, *, zipped: bool = True) -> bytes:
    """A checkpoint that would make the folder ``canary``, in the one or the other format of torch."""
    buffer = io.BytesIO()
    torch.save({"model": _Canary(canary)}, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()
