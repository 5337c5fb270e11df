"""What a process of a study does: one stage, on one core, with a log and a record of how it ended."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
import threading
import time
import traceback
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path

import torch

from ..bundle_run import run_bundle
from ..files import write_atomically
from ..terminal import configure_logging, stop_on_sigterm, user_error

__all__ = ["COMPLETED", "CONFIGURATION", "FAILED", "work"]

logger = logging.getLogger(__name__)

CONFIGURATION = "stage.yaml"
"""The configuration of the stage, frozen when the study was planned: a bundle that is edited meanwhile does no harm."""

COMPLETED = "completed.json"
FAILED = "failed.json"


def work(folder: Path, bundle: str, name: str, digest: str) -> None:
    """Run the stage that lies in ``folder`` and leave ``completed.json`` or ``failed.json`` there.

    Everything printed goes to ``log.txt``. The exit status is 0 for a finished stage, else 1.

    Args:
        folder: the stage's run folder, with its frozen configuration.
        bundle: name of the bundle.
        name: of the stage.
        digest: of its configuration, which the record repeats.
    """
    _print_to(folder / "log.txt")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    stop_on_sigterm()
    torch.set_num_threads(1)
    configure_logging()
    start = time.perf_counter()
    record = {"stage": name, "digest": digest, "resumed": (folder / "checkpoints" / "last.pt").is_file()}
    try:
        run_bundle(bundle, name, overlays=[folder / CONFIGURATION])
    except KeyboardInterrupt:
        sys.exit(130)  # neither finished nor failed: the next start goes on
    except Exception as error:
        traceback.print_exc()
        reason = str(user_error(error) or f"{type(error).__name__}: {error}")
        _write(folder / FAILED, record | {"reason": reason})
        sys.exit(1)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux tells kilobytes
    seconds = time.perf_counter() - start
    _write(folder / COMPLETED, record | {"seconds": round(seconds, 2), "peak_memory_mb": round(memory)})


def _write(path: Path, content: dict[str, object]) -> None:
    write_atomically(path, json.dumps(content, indent=1).encode())


def _print_to(path: Path) -> None:
    """Send this process's output to a file, also that of libraries in C."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _end_with_parent() -> None:
    """Stop as by SIGTERM when the study's own process is gone, even by SIGKILL: nobody else would end this one."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
