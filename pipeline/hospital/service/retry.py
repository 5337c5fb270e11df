"""What can go wrong with a PACS, and when it is tried again."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Backoff", "PacsError"]


class PacsError(Exception):
    """The PACS did not do what it was asked for.

    Args:
        reason: a code for counting; no text of the other side is ever part of it.
        passes: it does not answer at all, which is waited for however long it takes; else it said no.
    """

    def __init__(self, reason: str, *, passes: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.passes = reason, passes


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
