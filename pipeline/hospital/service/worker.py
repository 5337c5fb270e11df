"""Takes one queued study after the other, and has it processed in a process that may die of it."""

from __future__ import annotations

import time
from collections.abc import Callable

from ...isolated import Lost, call_isolated, pack
from ..naming import file_name
from .desk import Desk
from .messages import Answer, Ready, Task, Trouble
from .states import QUEUED
from .table import Job

__all__ = ["Worker"]


_KEPT_ALIVE_S = 20.0
"""Between calls: the process ends after a minute without one, and the model would have to be loaded again."""

Work = Callable[[Task | None], Answer | Ready | Trouble]


class Worker:
    """Processes studies, one at a time; no study ends it.

    Args:
        desk: what it works on.
        work: what runs in the process; of None it returns :class:`~.messages.Ready`.
        timeout_s: that one study may take.
        start_s: that loading the model and its self test may take.
        stopping: whether the service ends: what the process dies of is then no fault of the study.
        clock: seconds that only go forwards.

    Attributes:
        model: fingerprint of the model, None until it was loaded once.
        ready: whether the model is loaded and passed its self test.
        trouble: why not.
        advice: what is wrong with the settings, for who started the service; no patient's data.
    """

    def __init__(
        self,
        desk: Desk,
        work: Work,
        *,
        timeout_s: float = 600.0,
        start_s: float = 900.0,
        stopping: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.desk, self._work = desk, pack(work)
        self.timeout_s, self.start_s, self._stopping, self._clock = timeout_s, start_s, stopping, clock
        self.model: str | None = None
        self.ready, self.trouble, self.advice = False, "starting", ""
        self._asked: float | None = None

    def step(self) -> bool:
        """Process the next study; return whether there was one."""
        if not self._is_ready():
            return False
        job = self.desk.jobs.start()
        if job is None:
            return False
        with self.desk.guarding(job, QUEUED):
            self.desk.say("running", job, audit=False)
            self._compute(job)
        return True

    def _is_ready(self) -> bool:
        now = self._clock()
        if self._asked is not None and now - self._asked < _KEPT_ALIVE_S:
            return self.ready
        was_ready, self._asked = self.ready, now
        said = self._call(None, self.start_s)
        self.ready = isinstance(said, Ready)
        if isinstance(said, Ready):
            self.model, self.trouble = said.model, ""
        else:
            self.trouble = _code(said)
            self.advice = said.advice if isinstance(said, Trouble) else ""
        if self.ready != was_ready:
            self.desk.log.say("ready" if self.ready else "not_ready", audit=True, reason=self.trouble or None)
        elif not self.ready:
            self.desk.log.say("not_ready", reason=self.trouble)
        return self.ready

    def _compute(self, job: Job) -> None:
        spool = self.desk.spool
        images = self.desk.jobs.images(job)
        folder = spool.new_result_folder()
        paths = tuple(str(spool.path(job.study, key)) for key in images)
        absent = tuple(self.desk.jobs.refusals(job))
        task = Task(paths, str(folder), job.answer or None, self._predecessor(job), absent)
        began = self._clock()
        said = self._call(task, self.timeout_s)
        self._asked = None if isinstance(said, Lost) else self._clock()
        if not isinstance(said, Answer) or (said.outcome == "failed" and not job.answer):
            spool.drop_result(folder.name)
            if isinstance(said, Lost) and self._stopping():
                return  # it stays `running`, and runs again after the next start
            self._failed(job, _code(said))
            return
        spool.seal(folder)
        codes = " ".join(sorted({*said.codes, *absent}))
        job = self.desk.jobs.computed(job, folder.name, said.result, said.outcome, codes)
        self.desk.say(job.state, job, result=said.result, outcome=said.outcome, seconds=round(self._clock() - began, 3))

    def _predecessor(self, job: Job) -> str | None:
        """The report that this job's will follow, where that is kept still."""
        earlier = self.desk.jobs.sent_before(job)
        report = earlier and self.desk.spool.results / earlier.folder / file_name("sr")
        return str(report) if report and report.is_file() else None

    def _failed(self, job: Job, reason: str) -> None:
        """After the last attempt the study is answered as failed: silence could be read as normal."""
        jobs = self.desk.jobs
        if job.answer or job.attempts + 1 < jobs.most_attempts(QUEUED):
            self.desk.failed(job, QUEUED, reason)
            return
        self.desk.bury(job, QUEUED, reason, "answered_as_failed")
        jobs.move(job, QUEUED, answer=reason)

    def _call(self, task: Task | None, timeout_s: float) -> Answer | Ready | Trouble | Lost:
        try:
            said = call_isolated(self._work, task, timeout_s)
        except Exception as error:  # it could not begin, or what it sent cannot be read
            return Trouble(type(error).__name__, "worker")
        known: Answer | Ready | Trouble | Lost = said
        return known


def _code(said: Answer | Ready | Trouble | Lost) -> str:
    if isinstance(said, Lost):
        return "timed_out" if said.timed_out else "crashed"
    if isinstance(said, Trouble):
        return f"{said.error}:{said.where}"
    return "engine_failed"
