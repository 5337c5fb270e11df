"""The default front: asks a PACS for new mammograms over DICOMweb, and opens no port."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Protocol

from ..naming import is_ours
from .arrivals import Address, Arrivals
from .desk import Desk
from .incoming import InstanceError, examine, may_stay
from .names import valid_uid
from .retry import Backoff, PacsError
from .table import Job
from .web import Row, listed_image, text

__all__ = ["Fetcher", "Poller", "Source"]


_ALL_AFTER_S = 3600.0
"""An image that took the place of another leaves the count of a study as it was: now and then all are listed."""


class Source(Protocol):
    """A PACS that is asked; see :class:`~.web.Pacs`."""

    def studies(self, filters: Mapping[str, str]) -> Sequence[Row]:
        """Studies that match."""

    def instances(self, study: str) -> Sequence[Row]:
        """All instances of a study."""

    def fetch(self, study: str, series: str, instance: str, path: Path) -> None:
        """Write an instance to a new file."""


class Poller:
    """Looks for studies whose mammograms are new or have changed.

    Args:
        desk: what it works on.
        arrivals: what it tells the job table; None while the model is not known.
        source: the PACS.
        filters: of QIDO-RS, by keyword, such as ``{"ModalitiesInStudy": "MG"}``.
        poll_s: seconds between two looks.
        look_back_days: how old a study's date may be; None for any.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        desk: Desk,
        arrivals: Callable[[], Arrivals | None],
        source: Source,
        *,
        filters: Mapping[str, str],
        poll_s: float = 15.0,
        look_back_days: int | None = 2,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.desk, self._arrivals, self.source = desk, arrivals, source
        self.filters, self.poll_s, self.look_back_days, self._clock = dict(filters), poll_s, look_back_days, clock
        self._counts: dict[str, str] = {}
        self._open: set[str] = set()
        self._failures, self._next, self._looked_at_all = 0, 0.0, clock()

    def step(self) -> bool:
        """Look once, if it is time to."""
        arrivals, now = self._arrivals(), self._clock()
        if arrivals is None or now < self._next:
            return False
        try:
            self._look(arrivals)
            self._failures = 0
        except PacsError as error:
            self._failures += 1
            self.desk.log.say("poll_failed", reason=error.reason, attempt=self._failures)
        backoff = Backoff(self.poll_s, self.desk.jobs.backoff.most_s)
        self._next = self._clock() + (backoff.wait_s(self._failures) if self._failures else self.poll_s)
        return False

    def _look(self, arrivals: Arrivals) -> None:
        if self._clock() - self._looked_at_all > _ALL_AFTER_S:
            self._looked_at_all, self._counts = self._clock(), {}
        counts: dict[str, str] = {}
        failures: list[PacsError] = []
        for row in self.source.studies(self._filters()):
            uid, count = text(row, "0020000D"), text(row, "00201208")
            if not valid_uid(uid):
                self.desk.log.say("study_refused", reason="invalid_uid")
                continue
            study = self.desk.names.study(uid)
            # A count that did not change spares a query; a server need not give one.
            same = count and study not in self._open and self._counts.get(study) == count
            if same or self._could_list(arrivals, study, uid, failures):
                counts[study] = count
        self._counts = counts
        if failures:
            raise failures[0]

    def _could_list(self, arrivals: Arrivals, study: str, uid: str, failures: list[PacsError]) -> bool:
        """Whether this study's images are listed. Failures that pass are appended, so that the others need not wait."""
        try:
            self._list(arrivals, study, uid)
            return True
        except PacsError as error:
            if error.passes:
                failures.append(error)
            else:
                self.desk.log.say("poll_failed", study=study, reason=error.reason)
            return False

    def _list(self, arrivals: Arrivals, study: str, uid: str) -> None:
        images = {}
        for row in self.source.instances(uid):
            listed = listed_image(row)
            if listed is None:
                self.desk.log.say("image_refused", study=study, reason="invalid_uid")
                continue
            series, instance, sop_class = listed
            if may_stay(sop_class, is_ours(text(row, "00080070"), text(row, "0008103E"))):
                images[self.desk.names.instance(instance)] = Address(series, instance)
        if images and arrivals.listed(study, uid, images):
            if study not in self._open:
                self.desk.log.say("received", audit=True, study=study, images=len(images))
            self._open.add(study)
        else:
            self._open.discard(study)

    def _filters(self) -> dict[str, str]:
        if self.look_back_days is None:
            return self.filters
        today = datetime.fromtimestamp(self._clock()).date()
        return {
            "StudyDate": _range(today - timedelta(days=self.look_back_days), today + timedelta(days=1)),
            **self.filters,
        }


class Fetcher:
    """Brings images of a PACS into the spool.

    Args:
        desk: what it works on.
        source: the PACS.
    """

    def __init__(self, desk: Desk, source: Source) -> None:
        self.desk, self.source = desk, source

    def __call__(self, job: Job, image: str, address: Address) -> None:
        """Fetch one image.

        Raises:
            InstanceError: it is not what was listed, or may not stay.
            PacsError: the PACS does not give it.
        """
        spool, names = self.desk.spool, self.desk.names
        temporary = spool.temporary()
        try:
            self.source.fetch(job.uid, address.series, address.instance, temporary)
            about = examine(temporary)
            if (names.study(about.study), names.instance(about.instance)) != (job.study, image):
                raise InstanceError("not_what_was_listed")
            if not may_stay(about.sop_class, about.ours):
                raise InstanceError("not_a_mammogram")
            spool.adopt(temporary, job.study, image)
            self.desk.jobs.told_patient(job, names.patient(about.patient))
        finally:
            temporary.unlink(missing_ok=True)


def _range(first: date, last: date) -> str:
    """A range of dates as DICOM writes it (PS3.4 C.2.2.2.5)."""
    return f"{first:%Y%m%d}-{last:%Y%m%d}"
