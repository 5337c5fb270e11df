"""An audit trail that cannot be changed unseen: each line holds the hash of the one before."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["Audit", "check_audit"]

_START = "0" * 64
_TAIL = 1 << 16


class Audit:
    """Append-only JSON lines, on disk before a call returns.

    A line that a crash or a full disk left half-written is cut off, and the next line says how long it was.

    Args:
        path: of the file; made where missing, for its owner only.
        clock: seconds since 1970.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        broken = self._cut()
        last = self._last()
        self._number: int = 0 if last is None else json.loads(last)["n"]
        self.head = _START if last is None else _hash(last)
        if broken:
            self.add("audit_repaired", bytes_cut=broken)

    def add(self, event: str, **facts: str | float | int | None) -> None:
        """Add a line.

        Args:
            event: what happened.
            facts: codes, numbers and pseudonyms; see :class:`~mammo.pipeline.hospital.service.log.Log`.
        """
        with self._lock:
            line = {"n": self._number + 1, "at": round(self._clock(), 3), "event": event, **facts, "before": self.head}
            text = json.dumps(line, ensure_ascii=True, separators=(",", ":")).encode()
            os.lseek(self._file, 0, os.SEEK_END)
            written = os.write(self._file, text + b"\n")
            if written != len(text) + 1:
                self._cut()
                raise OSError(
                    f"the audit trail could not be written: {written} of {len(text) + 1} bytes; free some disk"
                )
            os.fsync(self._file)
            self._number, self.head = self._number + 1, _hash(text)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _cut(self) -> int:
        size = os.lseek(self._file, 0, os.SEEK_END)
        tail = os.pread(self._file, _TAIL, max(0, size - _TAIL))
        broken = len(tail) - (tail.rfind(b"\n") + 1)
        if broken:
            os.ftruncate(self._file, size - broken)
        return broken

    def _last(self) -> bytes | None:
        size = os.lseek(self._file, 0, os.SEEK_END)
        lines = os.pread(self._file, _TAIL, max(0, size - _TAIL)).splitlines()
        return lines[-1] if lines else None


def check_audit(path: Path) -> tuple[int, str]:
    """Check a trail from its first line to its last.

    Returns:
        Number of lines, and the hash of the last: whoever noted both elsewhere sees a cut at the end too.

    Raises:
        ValueError: with the number of the first line that is not what was written.
    """
    head, number = _START, 0
    with open(path, "rb") as file:
        for number, text in enumerate(file, start=1):
            line = text.rstrip(b"\n")
            try:
                told = json.loads(line)
                right = (told["n"], told["before"]) == (number, head)
            except (ValueError, KeyError, TypeError):
                right = False
            if not right:
                raise ValueError(f"{path}: line {number} was changed, or one before it was: keep the file as evidence")
            head = _hash(line)
    return number, head


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
