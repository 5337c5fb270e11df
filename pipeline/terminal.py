"""What a command prints: our own lines, warnings of the libraries, and one line for an error of the user's."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

EXTRAS = {
    "transformers": "clip",
    "tokenizers": "clip",
    "highdicom": "hospital",
    "pynetdicom": "hospital",
    "dicomweb_client": "hospital",
    "requests": "hospital",
    "onnx": "export",
    "onnxscript": "export",
    "onnxruntime": "export",
    "dask": "scale",
    "tensorboard": "tracking",
    "mlflow": "tracking",
}
"""Which extra of ours brings a module."""

_LOADER_WORKER = "DataLoader worker"
"""How torch's error begins when a process that loads images has died."""


class _Lines(logging.StreamHandler):
    """Lines on stdout. One that cannot be written, since its reader has gone, is no traceback; any other fault is."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (its name)
        if not isinstance(sys.exc_info()[1], BrokenPipeError):
            super().handleError(record)


def configure_logging() -> None:
    """Print our messages as they are; of ignite, which reports every epoch of every engine, warnings only."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[_Lines(sys.stdout)])
    logging.getLogger("ignite").setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(is_not_told_again)
    logging.getLogger("monai.bundle.workflows").addFilter(speaks_of_more_than_logging)


def stdout_is_closed() -> int:
    """Let a command end quietly whose reader has gone, such as ``mammo STAGE --help | head``; its exit status."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered is flushed at the end
    return 128 + signal.SIGPIPE


def stop_on_sigterm() -> None:
    """Let SIGTERM, which schedulers send, end a command as Ctrl-C does: with everything put away."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stop)


def speaks_of_more_than_logging(record: logging.LogRecord) -> bool:
    """Filter of MONAI's warning that it was given no logging file: our commands configure logging themselves."""
    return not record.getMessage().startswith("Logging file is set to")


def is_not_told_again(record: logging.LogRecord) -> bool:
    """Filter of ignite's words on an error that ends a run: the command tells it, once and last."""
    return "run is terminating due to exception" not in str(record.msg)  # unformatted: a filter must not fail


def duration(seconds: float) -> str:
    """A time in words, as long as one cares: ``40 s``, ``3 min``, ``2 h 10 min``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def user_error(error: BaseException) -> BaseException | None:
    """The error a user can mend behind MONAI's "failed to instantiate"; None for a defect of ours."""
    chain: BaseException | None = error
    outer: BaseException | None = None
    while chain is not None:
        missing = isinstance(chain, ImportError) and chain.name is None  # our words: an extra is not installed
        if missing and str(chain).startswith("Cannot locate"):
            return ImportError(f"{str(chain).rstrip('.')}; PYTHONPATH must name the folder of a module of your own")
        if missing or isinstance(chain, (ValueError, OSError)):
            return chain
        # Of a call of ours it would be our defect.
        of_component = str(outer).startswith("Failed to instantiate component")
        if isinstance(chain, TypeError) and "unexpected keyword argument" in str(chain) and of_component:
            return ValueError(f"{str(outer).splitlines()[0]}: {chain}")
        lacking = (chain.name or "").partition(".")[0] if isinstance(chain, ModuleNotFoundError) else ""
        if lacking in EXTRAS:
            return ImportError(f"this needs {lacking}, which is not installed: pip install 'mammo[{EXTRAS[lacking]}]'")
        if isinstance(chain, RuntimeError) and str(chain).startswith(_LOADER_WORKER):
            said = str(chain).splitlines()[0].rstrip(" .")
            return ChildProcessError(
                f"{said}, perhaps for want of memory; give fewer --num_workers or a smaller --batch_size. Finished "
                "epochs are kept, go on with --resume true"
            )
        outer, chain = chain, chain.__cause__
    return None
