"""What can go wrong with a PACS, and when it is tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

__all__ = ["DUPLICATE", "Backoff", "PacsError", "each"]

DUPLICATE = 0x0111
"""Duplicate SOP Instance (PS3.7 C.5.7): it has the object, whose UID is of these very bytes."""


class PacsError(Exception):
    """The PACS did not do what it was asked for.

    Args:
        reason: a code for counting; no text of the other side is ever part of it.
        passes: it does not answer at all, which is waited for however long it takes; else it said no.
    """

    def __init__(self, reason: str, *, passes: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.passes = reason, passes


def each(paths: Iterable[Path], send: Callable[[Path], None]) -> None:
    """Send all that can be sent; what is refused does not keep the others.

    Raises:
        PacsError: the first refusal, after all; at once what makes it useless to go on.
    """
    refused: PacsError | None = None
    for path in paths:
        try:
            send(path)
        except PacsError as error:
            if error.passes:
                raise
            refused = refused or error
    if refused is not None:
        raise refused


class Backoff(NamedTuple):
    """Waits that double.

    Attributes:
        first_s: seconds before the second attempt.
        most_s: the longest wait.
        attempts: of fetching and sending, after which is given up, where they count.
        compute_attempts: of processing.
    """

    first_s: float = 10.0
    most_s: float = 600.0
    attempts: int = 20
    compute_attempts: int = 3

    def wait_s(self, failures: int) -> float:
        """Seconds to wait after so many failures, 1 at least."""
        return min(self.most_s, self.first_s * 2.0 ** min(failures - 1, 32))
