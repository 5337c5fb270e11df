"""What every part of the service works on, and what happens to a job that fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...files import link_atomically
from .jobs import Jobs
from .log import Log
from .names import Names
from .spool import Spool, sync_file, sync_folder
from .states import DEAD
from .table import Job

__all__ = ["Desk"]


@dataclass(frozen=True)
class Desk:
    """The parts that all others share.

    Attributes:
        folder: of the service, with everything that must outlive it.
        names: keyed hashes.
        spool: images and results.
        jobs: the job table.
        log: log and audit trail.
    """

    folder: Path
    names: Names
    spool: Spool
    jobs: Jobs
    log: Log

    def say(self, event: str, job: Job, *, audit: bool = True, **facts: str | float | int | None) -> None:
        """Log what happened to a job."""
        self.log.say(event, audit=audit, job=job.number, study=job.study, patient=job.patient or None, **facts)

    def failed(self, job: Job, back: str, reason: str, *, counts: bool = True) -> Job:
        """Note a failure; a job that is given up goes to the dead-letter folder.

        Args:
            job: that failed.
            back: the state from which it is tried again.
            reason: code of the failure.
            counts: see :meth:`~mammo.pipeline.hospital.service.jobs.Jobs.fail`.
        """
        job = self.jobs.fail(job, back, reason, counts=counts)
        if job.state == DEAD:
            self.bury(job, back, reason)
        else:
            self.say("failed", job, audit=False, stage=back, reason=reason, attempt=job.waits)
        return job

    @contextmanager
    def guarding(self, job: Job, back: str) -> Iterator[None]:
        """Let no job, whatever is wrong with it, hold up the others; a full disk is no fault of the job's."""
        try:
            yield
        except Exception as error:
            self.log.error("job_failed", error, stage=back)
            self.failed(job, back, type(error).__name__, counts=not isinstance(error, OSError))

    def bury(self, job: Job, stage: str, reason: str, event: str = "dead") -> None:
        """Put images, results and the reason into ``dead/<number of the job>``; the files stay in the spool too.

        Args:
            job: that is not tried again.
            stage: the state in which it failed.
            reason: code of the failure.
            event: for the log.
        """
        folder = self.folder / "dead" / f"{job.number:06d}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for key in self.jobs.images(job):
            path = self.spool.path(job.study, key)
            if path.exists():
                link_atomically(path, folder / path.name)
        if job.folder:
            for path in (self.spool.results / job.folder).iterdir():
                link_atomically(path, folder / "results" / path.name)
        about = {"job": job.number, "study": job.study, "stage": stage, "reason": reason, "attempts": job.attempts}
        letter = folder / "reason.json"
        letter.write_text(json.dumps(about | {"first": job.first, "given_up": job.changed}, indent=2) + "\n")
        sync_file(letter)
        sync_folder(folder)
        self.say(event, job, stage=stage, reason=reason)
