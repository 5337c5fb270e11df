"""How a study becomes a job: its images come in, settle, and are compared with what was done before."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from .states import DEAD, KEPT, QUIET, RECEIVED, SAME
from .table import Job, Table

__all__ = ["Address", "Arrivals"]


class Address(NamedTuple):
    """Where the PACS has an image.

    Attributes:
        series: Series Instance UID (0020,000E).
        instance: SOP Instance UID (0008,0018).
    """

    series: str
    instance: str


class Arrivals:
    """What the fronts tell the job table.

    Args:
        table: of jobs.
        model: fingerprint of everything that shapes a result but the images.
        revived: states from which an earlier job with the same images goes on when they are sent again.
        clock: seconds since 1970.
    """

    def __init__(
        self, table: Table, model: str, *, revived: Collection[str] = (DEAD,), clock: Callable[[], float] = time.time
    ) -> None:
        self.table, self.model, self.revived, self.clock = table, model, revived, clock

    def received(self, study: str, image: str, *, uid: str, instance: str, patient: str) -> bool:
        """Note an image that a PACS sent and that is in the spool.

        The job takes all images that are known of the study, so that a late one is looked at beside the others.

        Args:
            study: keyed hash of the study.
            image: keyed hash of the image.
            uid: Study Instance UID.
            instance: SOP Instance UID.
            patient: keyed hash of the patient.

        Returns:
            Whether the image was new.
        """
        now = self.clock()
        with self.table.transaction() as db:
            known = db.execute("SELECT 1 FROM image WHERE key = ?", (image,)).fetchone()
            db.execute(
                "INSERT INTO image(key, study, uid, here) VALUES (?, ?, ?, 1) "
                "ON CONFLICT(key) DO UPDATE SET here = 1, study = excluded.study, uid = excluded.uid",
                (image, study, instance),
            )
            number = _open_job(db, study, uid, now)
            db.execute("UPDATE job SET last = ?, patient = ? WHERE number = ?", (now, patient, number))
            db.execute(
                "INSERT OR IGNORE INTO job_image(job, image) SELECT ?, key FROM image WHERE study = ?", (number, study)
            )
        return known is None

    def listed(self, study: str, uid: str, images: Mapping[str, Address]) -> bool:
        """Note the images that a PACS says it has; they are fetched once nothing changes any more.

        Args:
            study: keyed hash of the study.
            uid: Study Instance UID.
            images: all of the study, by keyed hash.

        Returns:
            Whether there is something to do for them.
        """
        now, found = self.clock(), set(images)
        with self.table.transaction() as db:
            latest = db.execute(
                "SELECT number, state FROM job WHERE study = ? ORDER BY number DESC LIMIT 1", (study,)
            ).fetchone()
            told = set() if latest is None else _images(db, latest[0])
            if told == found:
                return latest is not None and latest[1] == RECEIVED
            number = _open_job(db, study, uid, now)
            for key, address in images.items():
                db.execute(
                    "INSERT INTO image(key, study, uid, series) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT(key) DO UPDATE SET "
                    "study = excluded.study, uid = excluded.uid, series = excluded.series",
                    (key, study, address.instance, address.series),
                )
            db.execute("DELETE FROM job_image WHERE job = ?", (number,))
            db.executemany("INSERT INTO job_image(job, image) VALUES (?, ?)", [(number, key) for key in images])
            db.execute("UPDATE job SET last = ? WHERE number = ?", (now, number))
        return True

    def settle(self, quiet_s: float, max_wait_s: float) -> list[Job]:
        """Close the jobs whose images have settled.

        Args:
            quiet_s: seconds without a new image.
            max_wait_s: seconds since the first image, after which the rest is not waited for.

        Returns:
            They, now ``quiet``, or ``same`` where an earlier job had these images and this model.
        """
        now = self.clock()
        ready = self.table.jobs(
            "state = ? AND (last <= ? OR first <= ?) ORDER BY number", RECEIVED, now - quiet_s, now - max_wait_s
        )
        return [self._settled(job, now) for job in ready]

    def _settled(self, job: Job, now: float) -> Job:
        with self.table.transaction() as db:
            identity = self._identity(job.study, _images(db, job.number))
            earlier = self.table.jobs("identity = ?", identity)
            if not earlier:
                db.execute(
                    "UPDATE job SET state = ?, identity = ?, changed = ? WHERE number = ?",
                    (QUIET, identity, now, job.number),
                )
            else:
                db.execute("UPDATE job SET state = ?, changed = ? WHERE number = ?", (SAME, now, job.number))
                if earlier[0].state in self.revived:
                    revive(db, earlier[0]._replace(uid=job.uid), now)
        return self.table.jobs("number = ?", job.number)[0]

    def _identity(self, study: str, images: Iterable[str]) -> str:
        return hashlib.sha256("\n".join([self.model, study, *sorted(images)]).encode()).hexdigest()


def revive(db: sqlite3.Connection, job: Job, now: float) -> None:
    """Let a job that was given up, or kept, go on where it ended."""
    db.execute(
        "UPDATE job SET state = back, uid = ?, attempts = 0, waits = 0, due = 0, reason = '', changed = ? "
        "WHERE number = ? AND state IN (?, ?) AND back != ''",
        (job.uid, now, job.number, DEAD, KEPT),
    )


def _open_job(db: sqlite3.Connection, study: str, uid: str, now: float) -> int:
    row = db.execute("SELECT number FROM job WHERE study = ? AND state = ?", (study, RECEIVED)).fetchone()
    if row is not None:
        return int(row[0])
    cursor = db.execute(
        "INSERT INTO job(study, uid, state, first, last, changed) VALUES (?, ?, ?, ?, ?, ?)",
        (study, uid, RECEIVED, now, now, now),
    )
    return int(cursor.lastrowid or 0)


def _images(db: sqlite3.Connection, job: int) -> set[str]:
    return {key for (key,) in db.execute("SELECT image FROM job_image WHERE job = ?", (job,))}
