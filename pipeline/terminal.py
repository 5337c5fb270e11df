"""What a command prints: our own lines, warnings of the libraries, and one line for an error of the user's."""

from __future__ import annotations

import logging
import sys


def configure_logging() -> None:
    """Print our messages as they are; of ignite, which reports every epoch of every engine, warnings only."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("ignite").setLevel(logging.WARNING)


def user_error(error: BaseException) -> BaseException | None:
    """The error a user can mend behind MONAI's "failed to instantiate"; None for a defect of ours."""
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, (ValueError, OSError)):
            return chain
        chain = chain.__cause__
    return None
