"""Between the fronts and the worker: waits until a study has settled, and gets the images that are not here."""

from __future__ import annotations

from collections.abc import Callable

from .arrivals import Address, Arrivals
from .desk import Desk
from .incoming import InstanceError
from .retry import PacsError
from .states import DEAD, QUEUED, QUIET
from .table import Job

__all__ = ["Collector"]

Fetch = Callable[[Job, str, Address], None]
"""Bring an image into the spool; raises InstanceError or PacsError."""


class Collector:
    """Turns what came in into queued jobs.

    Args:
        desk: what it works on.
        arrivals: what the front tells the job table.
        quiet_s: seconds without a new image, after which a study is taken as whole.
        max_wait_s: seconds since its first image, after which it is processed as it is.
        fetch: gets an image; None where the PACS sends them.
    """

    def __init__(
        self,
        desk: Desk,
        arrivals: Callable[[], Arrivals | None],
        *,
        quiet_s: float,
        max_wait_s: float,
        fetch: Fetch | None = None,
    ) -> None:
        self.desk, self._arrivals, self._fetch = desk, arrivals, fetch
        self.quiet_s, self.max_wait_s = quiet_s, max_wait_s

    def step(self) -> bool:
        """Settle what is ready and collect one job's images; return whether there was something to do."""
        self.desk.jobs.wake()
        arrivals = self._arrivals()
        settled = [] if arrivals is None else arrivals.settle(self.quiet_s, self.max_wait_s)
        for quiet in settled:
            self.desk.say(quiet.state, quiet, images=self.desk.jobs.size(quiet))
        job = self.desk.jobs.next(QUIET)
        if job is not None:
            with self.desk.guarding(job, QUIET):
                self._collect(job)
        return bool(settled) or job is not None

    def _collect(self, job: Job) -> None:
        jobs = self.desk.jobs
        if self._fetch is not None and not self._bring(job, self._fetch):
            return
        images = jobs.images(job)
        if not images:
            reason = (jobs.refusals(job) or ["no_images"])[0]
            self.desk.bury(jobs.move(job, DEAD, reason=reason, back=QUIET), QUIET, reason)
            return
        self.desk.say("queued", jobs.move(job, QUEUED), images=len(images))

    def _bring(self, job: Job, fetch: Fetch) -> bool:
        """Get the images that are not here; return whether all are, or are refused."""
        jobs, refused = self.desk.jobs, {}
        for image, address in jobs.wanted(job):
            try:
                fetch(job, image, address)
            except InstanceError as error:
                self._refuse(job, image, error.reason)
            except PacsError as error:
                if error.passes:
                    self.desk.failed(job, QUIET, error.reason, counts=False)
                    return False
                refused[image] = error.reason  # the others may come
            else:
                jobs.arrived(image)
        if refused and job.attempts + 1 < jobs.most_attempts(QUIET):
            self.desk.failed(job, QUIET, next(iter(refused.values())))
            return False
        for image, reason in refused.items():
            self._refuse(job, image, reason)
        return True

    def _refuse(self, job: Job, image: str, reason: str) -> None:
        self.desk.jobs.refused(image, reason)
        self.desk.say("image_refused", job, image=image, reason=reason)
