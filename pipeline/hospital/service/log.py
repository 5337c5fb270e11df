"""What the service says of itself: JSON lines of codes, numbers and pseudonyms, and never a text from outside."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType

from .audit import Audit

__all__ = ["Log", "place_of", "quiet_libraries"]

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_:./-]{0,79}|[0-9a-f]{32,64}", re.ASCII)
"""What may be said: codes and keyed hashes. UIDs, dates, numbers as texts and names in DICOM's form are neither."""

_BYTES, _FILES = 10 << 20, 10
LIBRARIES = ("pydicom", "pynetdicom", "highdicom", "dicomweb_client", "urllib3", "requests")


class Log:
    """The log of a service, and its audit trail.

    Args:
        folder: for ``log.jsonl``, which is rotated, and ``audit.jsonl``, which is not.
        echo: also print each line.
        clock: seconds since 1970.
    """

    def __init__(self, folder: Path, *, echo: bool = False, clock: Callable[[], float] = time.time) -> None:
        self._clock, self._echo, self._lock = clock, echo, threading.Lock()
        self.audit = Audit(folder / "audit.jsonl", clock)
        path = folder / "log.jsonl"
        path.touch(mode=0o600)
        self._file = RotatingFileHandler(path, maxBytes=_BYTES, backupCount=_FILES, encoding="ascii")

    def say(self, event: str, *, audit: bool = False, **facts: str | float | int | None) -> None:
        """Write one line.

        Args:
            event: what happened, as a code.
            audit: whether it belongs into the audit trail too.
            facts: anything that is no code, number or keyed hash is replaced by ``?``.
        """
        safe = {name: _safe(value) for name, value in facts.items()}
        if audit:
            self.audit.add(event, **safe)
        line = json.dumps({"at": round(self._clock(), 3), "event": event, **safe})
        with self._lock:
            self._file.emit(logging.LogRecord("mammo", logging.INFO, "", 0, line, None, None))
            if self._echo:
                print(line, flush=True)

    def error(self, event: str, error: BaseException, **facts: str) -> None:
        """Write what kind of error arose where; its text may quote a header."""
        self.say(event, error=type(error).__name__, where=place_of(error.__traceback__), audit=False, **facts)

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        self.audit.close()


class _Codes(logging.Handler):
    """Of the libraries' records: who, where and how bad, but not what they say."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        self._log.say(
            "library", level=record.levelname, logger=record.name, where=f"{record.module}:{record.lineno}", error=error
        )


def quiet_libraries(log: Log) -> None:
    """Let everything that is logged, or raised in a thread, come out as a line without its text."""
    root = logging.getLogger()
    root.handlers[:] = [_Codes(log)]
    root.setLevel(logging.WARNING)
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.WARNING)
        logger.propagate = True
    logging.captureWarnings(True)

    def of_thread(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            log.error("thread_died", arguments.exc_value)

    def of_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        log.error("process_died", error)

    threading.excepthook, sys.excepthook = of_thread, of_process


def place_of(trace: TracebackType | None) -> str:
    """File and line where an error arose."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "nowhere" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def _safe(value: str | float | int | None) -> str | float | int | None:
    if not isinstance(value, str):
        return value
    return value if _CODE.fullmatch(value) else ("" if not value else "?")
