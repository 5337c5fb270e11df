"""The states of a job, and which of them are ends."""

from __future__ import annotations

__all__ = [
    "COMMITTED", "COMPUTED", "DEAD", "ENDS", "FAILED", "KEPT", "QUEUED", "QUIET", "RECEIVED", "RUNNING", "SAME",
    "SENT", "STATES",
]  # fmt: skip

RECEIVED = "received"
"""Images of the study are coming in."""
QUIET = "quiet"
"""None came for a while: the images are settled, and fetched where they are not here."""
QUEUED = "queued"
"""All images are in the spool."""
RUNNING = "running"
"""In the worker process."""
COMPUTED = "computed"
"""The result is in the spool, and stays what it is whatever happens."""
SENT = "sent"
"""The PACS took every object."""
COMMITTED = "committed"
"""The PACS answers for every object: storage commitment, or a query that finds them."""
FAILED = "failed"
"""Will be tried again at the time in `due`, from the state in `back`."""
DEAD = "dead"
"""Given up; the dead-letter folder says why."""
SAME = "same"
"""The same images and model as an earlier job: nothing was run."""
KEPT = "kept"
"""Shadow mode: computed, not sent."""

STATES = (RECEIVED, QUIET, QUEUED, RUNNING, COMPUTED, SENT, COMMITTED, FAILED, DEAD, SAME, KEPT)
ENDS = (SENT, COMMITTED, DEAD, SAME, KEPT)
"""Nothing is left to do; a sent job may still become a committed one."""
