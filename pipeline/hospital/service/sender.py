"""Brings results to the PACS, and asks it whether it has them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ..naming import kind_of
from .desk import Desk
from .retry import PacsError
from .states import COMMITTED, COMPUTED, KEPT, SENT
from .table import Job

__all__ = ["Destination", "Sender"]


class Destination(Protocol):
    """A PACS that takes results. All methods raise :class:`~.retry.PacsError`."""

    confirms: bool
    """Whether it is asked for what it has."""

    def send(self, paths: Sequence[Path]) -> None:
        """Bring objects there, byte by byte as they are in the files; what is there already is no error."""

    def confirm(self, paths: Sequence[Path], ticket: str) -> bool:
        """Ask whether it has the objects.

        Args:
            paths: of the objects.
            ticket: UID of this question.

        Returns:
            True for yes; False where the answer comes later, to :meth:`Sender.answered`.
        """


class Sender:
    """Sends what was computed.

    Args:
        desk: what it works on.
        destination: the PACS.
        shadow: keep results instead of sending them.
        kinds: of objects that the PACS takes; None for all that there are.
        patience_s: after which the PACS is asked again for an answer that did not come.
    """

    def __init__(
        self,
        desk: Desk,
        destination: Destination,
        *,
        shadow: bool = False,
        kinds: Sequence[str] | None = None,
        patience_s: float = 600.0,
    ) -> None:
        self.desk, self.destination, self.shadow, self.patience_s = desk, destination, shadow, patience_s
        self.kinds = kinds

    def step(self) -> bool:
        """Send, or ask about, the next job; return whether there was one."""
        job = self.desk.jobs.next(COMPUTED)
        if job is not None:
            with self.desk.guarding(job, COMPUTED):
                self._keep(job) if self.shadow else self._send(job)
            return True
        waiting = self.desk.jobs.asked_about()
        if waiting is not None:
            with self.desk.guarding(waiting, COMPUTED):
                self._confirm(waiting)
        return waiting is not None

    def answered(self, ticket: str, missing: int) -> bool:
        """Take a late answer of the PACS.

        Args:
            ticket: UID of the question.
            missing: how many objects it has not.

        Returns:
            Whether the question was ours.
        """
        job = self.desk.jobs.with_ticket(ticket)
        if job is None:
            return False
        if missing:
            self.desk.failed(job, COMPUTED, "not_committed")
        else:
            self._committed(job)
        return True

    def _keep(self, job: Job) -> None:
        self.desk.say("kept", self.desk.jobs.move(job, KEPT, back=COMPUTED))

    def _send(self, job: Job) -> None:
        jobs, paths = self.desk.jobs, self._objects(job)
        if not paths:
            self.desk.failed(job, COMPUTED, "no_objects")
            return
        try:
            self.destination.send(paths)
        except PacsError as error:
            self.desk.failed(job, COMPUTED, error.reason, counts=not error.passes)
            return
        due = jobs.clock() if self.destination.confirms else 0.0
        # Attempts go on counting: what is sent, not found and sent again is given up at last.
        job = jobs.move(job, SENT, sent=job.sent or jobs.clock(), due=due, attempts=job.attempts)
        self.desk.say("sent", job, objects=len(paths), result=job.result)

    def _confirm(self, job: Job) -> None:
        jobs = self.desk.jobs
        ticket = f"2.25.{uuid.uuid4().int}"
        job = jobs.ask(job, ticket, jobs.clock() + max(self.patience_s, jobs.backoff.wait_s(job.waits + 1)))
        try:
            if self.destination.confirm(self._objects(job), ticket):
                self._committed(job)
        except PacsError as error:
            if error.passes:
                self.desk.say("failed", job, audit=False, stage=SENT, reason=error.reason, attempt=job.waits)
            else:
                self.desk.failed(job, COMPUTED, error.reason)

    def _committed(self, job: Job) -> None:
        self.desk.say("committed", self.desk.jobs.move(job, COMMITTED))

    def _objects(self, job: Job) -> list[Path]:
        # A result may be older than the setting.
        found = sorted((self.desk.spool.results / job.folder).glob("*.dcm"))
        return [path for path in found if self.kinds is None or kind_of(path.name) in self.kinds]
