"""How jobs go on: each step is one transaction, so that after a crash at any moment a restart goes on from there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .arrivals import Address, revive
from .retry import Backoff
from .states import COMPUTED, DEAD, FAILED, QUEUED, QUIET, RUNNING, SAME, SENT
from .table import Job, Table

__all__ = ["Jobs"]

_TICKETS = 8
"""Questions to the PACS about one job whose answers are waited for: it may take longer than we wait to ask again."""


class Jobs:
    """The steps of a job.

    Args:
        table: of jobs.
        backoff: waits after failures.
        clock: seconds since 1970.
    """

    def __init__(self, table: Table, backoff: Backoff, *, clock: Callable[[], float] = time.time) -> None:
        self.table, self.backoff, self.clock = table, backoff, clock

    def recover(self) -> int:
        """After a start: what was running has to run again, behind all others. Returns how many.

        What the PACS was asked about is asked anew: whoever would have heard the answer is gone.
        """
        now = self.clock()
        with self.table.transaction() as db:
            db.execute("UPDATE job SET due = ? WHERE state = ? AND due > ?", (now, SENT, now))
            return db.execute("UPDATE job SET state = ?, changed = ? WHERE state = ?", (QUEUED, now, RUNNING)).rowcount

    def wake(self) -> None:
        """Put failed jobs whose time has come back to where they failed."""
        now = self.clock()
        if self.table.jobs("state = ? AND due <= ? LIMIT 1", FAILED, now):
            with self.table.transaction() as db:
                db.execute("UPDATE job SET state = back, changed = ? WHERE state = ? AND due <= ?", (now, FAILED, now))

    def next(self, state: str) -> Job | None:
        """The job that has been in a state for longest."""
        found = self.table.jobs("state = ? ORDER BY changed, number LIMIT 1", state)
        return found[0] if found else None

    def start(self) -> Job | None:
        """The next queued job, now running."""
        with self.table.transaction():
            job = self.next(QUEUED)
            return None if job is None else self.move(job, RUNNING, attempts=job.attempts, waits=job.waits)

    def move(self, job: Job, state: str, **values: Any) -> Job:
        """Put a job into a state, with other columns; attempts count anew."""
        told = {"attempts": 0, "waits": 0, "reason": "", "due": 0.0, **values, "state": state, "changed": self.clock()}
        with self.table.transaction() as db:
            assignments = ", ".join(f"{name} = ?" for name in told)
            db.execute(f"UPDATE job SET {assignments} WHERE number = ?", (*told.values(), job.number))
            return self.table.jobs("number = ?", job.number)[0]

    def fail(self, job: Job, back: str, reason: str, *, counts: bool = True) -> Job:
        """Note a failure: tried again after a while, or given up after the last attempt.

        Args:
            job: that failed.
            back: the state from which it goes on.
            reason: code of the failure.
            counts: False for what will pass, such as a PACS that is down: tried for ever.
        """
        attempts, waits = job.attempts + counts, job.waits + 1
        dead = attempts >= self.most_attempts(back)
        due = 0.0 if dead else self.clock() + self.backoff.wait_s(waits)
        state = DEAD if dead else FAILED
        return self.move(job, state, reason=reason, back=back, attempts=attempts, waits=waits, due=due)

    def most_attempts(self, state: str) -> int:
        """After how many failures in a state a job is given up."""
        return self.backoff.compute_attempts if state == QUEUED else self.backoff.attempts

    def computed(self, job: Job, folder: str, result: str, outcome: str, codes: str) -> Job:
        """Note a result that is on disk; where another job has the same result, this one has nothing to send."""
        with self.table.transaction():
            twins = self.table.jobs(
                "result = ? AND number != ? AND state NOT IN (?, ?) LIMIT 1", result, job.number, DEAD, SAME
            )
            if twins:
                return self.move(job, SAME)
            values = {"folder": folder, "result": result, "outcome": outcome, "codes": codes}
            return self.move(job, COMPUTED, **values, computed=self.clock())

    def sent_before(self, job: Job) -> Job | None:
        """The latest job of the same study whose result the PACS has, and we still have."""
        found = self.table.jobs(
            "study = ? AND number < ? AND sent IS NOT NULL AND folder != '' ORDER BY number DESC LIMIT 1",
            job.study,
            job.number,
        )
        return found[0] if found else None

    def asked_about(self) -> Job | None:
        """A sent job about which the PACS is to be asked now."""
        found = self.table.jobs("state = ? AND due > 0 AND due <= ? ORDER BY due LIMIT 1", SENT, self.clock())
        return found[0] if found else None

    def ask(self, job: Job, ticket: str, due: float) -> Job:
        """Note a question to the PACS, and when it is asked again; an answer to an earlier question still counts."""
        with self.table.transaction() as db:
            tickets = " ".join([*job.ticket.split()[1 - _TICKETS :], ticket])
            db.execute(
                "UPDATE job SET ticket = ?, due = ?, waits = waits + 1 WHERE number = ?", (tickets, due, job.number)
            )
            return self.table.jobs("number = ?", job.number)[0]

    def with_ticket(self, ticket: str) -> Job | None:
        """The sent job of a question."""
        found = self.table.jobs("state = ? AND instr(' ' || ticket || ' ', ' ' || ? || ' ')", SENT, ticket)
        return found[0] if found and ticket else None

    def retry(self, number: int | None = None) -> int:
        """Let jobs that were given up go on, or only one of them: images too that were not taken. Returns how many."""
        with self.table.transaction() as db:
            dead = self.table.jobs("state = ? AND back != '' AND uid != ''", DEAD)
            chosen = [job for job in dead if number in (None, job.number)]
            for job in chosen:
                revive(db, job, self.clock())
                db.execute(
                    "UPDATE image SET refused = '' WHERE key IN (SELECT image FROM job_image WHERE job = ?)",
                    (job.number,),
                )
        return len(chosen)

    def size(self, job: Job) -> int:
        """Number of the job's images, here or not."""
        ((count,),) = self.table.rows("SELECT count(*) FROM job_image WHERE job = ?", job.number)
        return int(count)

    def images(self, job: Job) -> list[str]:
        """Keyed hashes of the job's images that are in the spool."""
        return [key for key, _ in self._images(job, "here = 1")]

    def wanted(self, job: Job) -> list[tuple[str, Address]]:
        """The job's images that have to be fetched."""
        return self._images(job, "here = 0 AND refused = ''")

    def arrived(self, image: str) -> None:
        """Note that an image is in the spool."""
        with self.table.transaction() as db:
            db.execute("UPDATE image SET here = 1, refused = '' WHERE key = ?", (image,))

    def told_patient(self, job: Job, patient: str) -> None:
        """Note whose study it is, by keyed hash."""
        with self.table.transaction() as db:
            db.execute("UPDATE job SET patient = ? WHERE number = ?", (patient, job.number))

    def refused(self, image: str, reason: str) -> None:
        """Note that an image is not taken, and is not asked for again."""
        with self.table.transaction() as db:
            db.execute("UPDATE image SET refused = ? WHERE key = ?", (reason, image))

    def refusals(self, job: Job) -> list[str]:
        """Why images of a job were not taken."""
        rows = self.table.rows(
            "SELECT refused FROM image JOIN job_image ON image = key WHERE job = ? AND refused != '' ORDER BY refused",
            job.number,
        )
        return [reason for (reason,) in rows]

    def counts(self) -> dict[str, int]:
        """Number of jobs by state."""
        return dict(self.table.rows("SELECT state, count(*) FROM job GROUP BY state"))

    def finished(self, before: float, states: tuple[str, ...]) -> list[Job]:
        """Jobs that ended in one of these states before a time."""
        marks = ", ".join("?" * len(states))
        return self.table.jobs(f"state IN ({marks}) AND changed < ? AND uid != ''", *states, before)

    def is_last(self, job: Job) -> bool:
        """Whether no other job needs the images of the study."""
        return not self.table.jobs("study = ? AND number != ? AND uid != '' LIMIT 1", job.study, job.number)

    def forget(self, job: Job) -> None:
        """Note that what belonged to a job is deleted, its study's images too if it was the last; not what was done."""
        with self.table.transaction() as db:
            if self.is_last(job):
                db.execute("UPDATE image SET here = 0, uid = '' WHERE study = ?", (job.study,))
            db.execute(
                "UPDATE job SET uid = '', folder = '', back = CASE WHEN back = '' THEN '' ELSE ? END WHERE number = ?",
                (QUIET, job.number),
            )

    def _images(self, job: Job, condition: str) -> list[tuple[str, Address]]:
        rows = self.table.rows(
            f"SELECT key, series, uid FROM image JOIN job_image ON image = key WHERE job = ? AND {condition} "
            "ORDER BY key",
            job.number,
        )
        return [(key, Address(series, uid)) for key, series, uid in rows]
