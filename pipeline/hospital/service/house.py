"""Keeps the folder in order: after a start, and as time passes."""

from __future__ import annotations

import shutil

from .desk import Desk
from .states import COMMITTED, DEAD, ENDS, QUIET, SAME, SENT
from .table import Job

__all__ = ["House"]

_DAY_S = 86400.0
_BETWEEN_S = 600.0


class House:
    """Recovery and retention.

    Args:
        desk: what it works on.
        retention_days: that images and results stay after the PACS has the results.
        dead_days: that they stay where they were given up, kept, or not confirmed by the PACS.
    """

    def __init__(self, desk: Desk, *, retention_days: float, dead_days: float) -> None:
        self.desk, self.retention_days, self.dead_days = desk, retention_days, dead_days
        self._next = 0.0

    def open_up(self) -> None:
        """After a start: queue again what was running, delete half-written files, write missing dead letters."""
        jobs = self.desk.jobs
        again = jobs.recover()
        known = {name for (name,) in jobs.table.rows("SELECT folder FROM job WHERE folder != ''")}
        swept = self.desk.spool.sweep(known)
        self.desk.log.say("started", audit=True, running_again=again, swept=swept)
        for job in jobs.table.jobs("state = ? AND uid != ''", DEAD):
            if not (self.desk.folder / "dead" / f"{job.number:06d}" / "reason.json").exists():
                self.desk.bury(job, job.back or QUIET, job.reason)

    def step(self) -> bool:
        """Now and then, delete what is no longer needed; the table remembers what was done."""
        now = self.desk.jobs.clock()
        if now < self._next:
            return False
        self._next = now + _BETWEEN_S
        jobs = self.desk.jobs
        self.desk.spool.sweep()
        delivered = jobs.finished(now - self.retention_days * _DAY_S, (COMMITTED, SENT, SAME))
        # Not yet confirmed, or answered as failed: somebody may want to look at the images.
        done = [job for job in delivered if not job.due and not job.answer]
        done += jobs.finished(now - self.dead_days * _DAY_S, ENDS)
        for job in {job.number: job for job in done}.values():
            self._delete(job)
        return False

    def _delete(self, job: Job) -> None:
        jobs = self.desk.jobs
        # Within one transaction: an image that comes in meanwhile waits, and then finds its study's folder gone or not.
        with jobs.table.transaction():
            if jobs.is_last(job):
                self.desk.spool.drop_study(job.study)
            if job.folder:
                self.desk.spool.drop_result(job.folder)
            shutil.rmtree(self.desk.folder / "dead" / f"{job.number:06d}", ignore_errors=True)
            jobs.forget(job)
        self.desk.say("deleted", job)
