"""What a verb of the command line answers: for people as it goes, for machines (``--json``) as one object."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from enum import Enum
from numbers import Integral, Real
from pathlib import Path
from typing import Any

__all__ = ["Answer", "add_json_option", "new_results", "print_json", "stdout_for_json"]

CLOCKS_S = 1.0
"""Seconds that a file system's clock may be behind."""


@dataclass(frozen=True)
class Answer:
    """What a verb found.

    Attributes:
        content: what ``--json`` prints.
        status: the exit status.
        error: one line of what is wrong, for stderr and the key ``error``; the exit status is then 1.
    """

    content: Mapping[str, Any] = field(default_factory=dict)
    status: int = 0
    error: str = ""


def add_json_option(parser: Any) -> None:
    """Add ``--json`` to the parser of a verb that returns an :class:`Answer`."""
    parser.add_argument("--json", action="store_true", help="print JSON alone; what else is said goes to stderr")


@contextmanager
def stdout_for_json(wanted: bool) -> Iterator[None]:
    """Inside, all that is printed goes to stderr, by libraries in C too, so that JSON stands alone on stdout."""
    if not wanted:
        yield
        return
    handlers = [h for h in logging.getLogger().handlers if isinstance(h, logging.StreamHandler)]
    for handler in (h for h in handlers if h.stream is sys.stdout):
        handler.setStream(sys.stderr)
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def print_json(content: Any) -> None:
    """Print it as JSON that any reader takes: paths as text, null for what is not finite."""
    print(json.dumps(_plain(content), indent=1, allow_nan=False))


def new_results(folder: Path, since: float) -> dict[str, Any]:
    """The folder of a run, and by its name the content of every JSON file at its top that is no older than ``since``.

    Args:
        folder: of the run.
        since: of ``time.time()``, when the verb began.
    """
    written = [path for path in sorted(folder.glob("*.json")) if path.stat().st_mtime >= since - CLOCKS_S]
    return {"output_dir": folder, **{path.stem: json.loads(path.read_text(encoding="utf-8")) for path in written}}


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return _plain(value.value)
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (Sequence, set, frozenset)):
        return [_plain(one) for one in value]
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    return str(value)
