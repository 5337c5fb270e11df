"""A service put together: folder, fronts, worker and sender, each in a thread of its own."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from .arrivals import Arrivals
from .collector import Collector, Fetch
from .desk import Desk
from .health import Health, HealthServer
from .house import House
from .jobs import Jobs
from .log import Log, quiet_libraries
from .names import Names
from .retry import Backoff
from .sender import Destination, Sender
from .settings import Settings
from .spool import Spool
from .states import DEAD, KEPT
from .table import Table
from .worker import Work, Worker

__all__ = ["Front", "Service", "open_desk"]

_PAUSE_S = 0.5
_ERROR_PAUSE_S = 5.0
_LAST_WORDS_S = 10.0


class Front(NamedTuple):
    """A way in.

    Attributes:
        steps: what is done over and over, by name.
        fetch: how an image is got; None where the PACS sends them.
        open: begins to listen, returns what ends that; None where nothing listens.
    """

    steps: dict[str, Callable[[], bool]]
    fetch: Fetch | None = None
    open: Callable[[], Callable[[], None]] | None = None


@contextmanager
def open_desk(settings: Settings, *, echo: bool = False) -> Iterator[Desk]:
    """The folder of a service, for it alone.

    Raises:
        ValueError: another service works on it.
    """
    folder = Path(os.path.abspath(settings.folder))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ValueError(f"{folder} is in use by another service; give each its own --folder") from error
        backoff = Backoff(settings.first_wait_s, settings.most_wait_s, settings.attempts, settings.compute_attempts)
        names, spool, log = Names.of_folder(folder), Spool(folder), Log(folder, echo=echo)
        table = Table(folder / "jobs.sqlite")
        try:
            yield Desk(folder, names, spool, Jobs(table, backoff), log)
        finally:
            table.close()
            log.close()


class Service:
    """Runs until it is told to stop.

    Args:
        desk: what it works on.
        settings: of the site.
        work: what the worker process does.
        destination: where results go.
    """

    def __init__(
        self, desk: Desk, settings: Settings, work: Work, destination: Destination, patience_s: float = 600.0
    ) -> None:
        self.desk, self.settings = desk, settings
        self.sender = Sender(desk, destination, shadow=settings.shadow, kinds=settings.results, patience_s=patience_s)
        self.house = House(desk, retention_days=settings.retention_days, dead_days=settings.dead_days)
        self._arrivals: Arrivals | None = None
        self._stop = threading.Event()
        self.worker = Worker(desk, work, timeout_s=settings.timeout_s, stopping=self._stop.is_set)

    def arrivals(self) -> Arrivals | None:
        """What fronts tell the job table; None until the model was loaded once, for a job is images and a model."""
        model = self.worker.model
        if model is not None and (self._arrivals is None or self._arrivals.model != model):
            revived = (DEAD,) if self.settings.shadow else (DEAD, KEPT)
            self._arrivals = Arrivals(self.desk.jobs.table, model, revived=revived)
        return self._arrivals

    def run(self, front: Front) -> None:
        """Work until SIGTERM or Ctrl-C.

        Raises:
            ValueError: the model cannot be loaded, with what is wrong with the settings.
        """
        quiet_libraries(self.desk.log)
        self.house.open_up()
        settings = self.settings
        collector = Collector(
            self.desk, self.arrivals, quiet_s=settings.quiet_s, max_wait_s=settings.max_wait_s, fetch=front.fetch
        )
        steps = {"worker": self._work, "sender": self.sender.step, "collector": collector.step}
        steps |= {"house": self.house.step, **front.steps}
        threads = [threading.Thread(target=self._loop, args=step, daemon=True) for step in steps.items()]
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        with ExitStack() as stack:
            if settings.health_port is not None:
                stack.callback(HealthServer(Health(self.desk, self.worker), settings.health_port).close)
            if front.open is not None:
                stack.callback(front.open())
            for thread in threads:
                thread.start()
            self._stop.wait()
        self._wait_for(threads)
        self.desk.log.say("stopped", audit=True)
        if self.worker.model is None and self.worker.advice:
            raise ValueError(self.worker.advice)

    def _work(self) -> bool:
        done = self.worker.step()
        if self.worker.model is None and self.worker.advice:
            self._stop.set()  # waiting does not mend settings
        return done

    def _loop(self, name: str, step: Callable[[], bool]) -> None:
        """Do one thing over and over; an error costs a pause."""
        while not self._stop.is_set():
            try:
                pause_s = 0.0 if step() else _PAUSE_S
            except Exception as error:
                if not self._stop.is_set():  # else the table may be closed already
                    self.desk.log.error("step_failed", error, step=name)
                pause_s = _ERROR_PAUSE_S
            self._stop.wait(pause_s)

    def _wait_for(self, threads: Sequence[threading.Thread]) -> None:
        """Let what is being sent be sent; a study that is being processed is processed again after the next start."""
        end = time.monotonic() + _LAST_WORDS_S
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
