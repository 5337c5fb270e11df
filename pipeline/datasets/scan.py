"""Prepare every image before a run, and set aside those that cannot be used."""

from __future__ import annotations

import concurrent.futures
import csv
import io
import logging
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import cv2
import torch
from joblib import Parallel, delayed
from joblib.externals.loky import ProcessPoolExecutor
from tqdm import tqdm

from ...transforms.errors import MammogramError, ReadFailure
from ..files import write_atomically
from ..gate import GatePolicy, GateSummary, Outcome, Verdict, gate_policy, judge
from .schema import Record
from .store import PreparedDataset

__all__ = ["Quarantined", "ScanResult", "save_quarantine", "scan"]


logger = logging.getLogger(__name__)


class Judged(NamedTuple):
    """One prepared image: quality of its mask, whether it was prepared before, what the gate says, and who made it."""

    mask_quality: str | None
    reused: bool
    verdict: Verdict
    manufacturer: str | None


Result = Judged | MammogramError
"""What became of an image, or why it cannot be read."""

# Three classes: joblib raises the second; the third is no kind of the first before Python 3.11.
TOO_LONG = (TimeoutError, multiprocessing.TimeoutError, concurrent.futures.TimeoutError)
LOST_WORKER = (BrokenProcessPool, *TOO_LONG)


class Quarantined(TypedDict):
    """An image that is left out of a run."""

    image: str
    image_id: str
    reason: str
    """One of :class:`~mammo.transforms.errors.ReadFailure`, or codes of :class:`~mammo.pipeline.gate.Reason`."""
    message: str


class ScanResult(NamedTuple):
    """What :func:`scan` found.

    Attributes:
        usable: the records whose image could be prepared, in order.
        quarantine: the others, each with its reason.
        mask_quality: number of usable images by the quality of their breast mask; empty without a mask step.
        gate: the input gate's verdict on every image, the unusable ones included.
        computed: how many images were prepared now; the rest of ``usable`` was in the folder already.
    """

    usable: list[Record]
    quarantine: list[Quarantined]
    mask_quality: dict[str, int]
    computed: int
    gate: GateSummary

    def summary(self) -> str:
        """One line a count, for a terminal."""
        lines = [f"{len(self.usable)} images usable, {self.computed} of them prepared now"]
        if self.quarantine:
            reasons = Counter(item["reason"] for item in self.quarantine)
            lines.append(f"{len(self.quarantine)} images set aside: " + _counts(reasons))
        doubtful = {quality: count for quality, count in self.mask_quality.items() if quality != "ok"}
        if doubtful:
            lines.append(f"{sum(doubtful.values())} breast masks are not ok: " + _counts(doubtful))
        warned = [row.verdict for row in self.gate.rows if row.verdict.outcome == Outcome.WARN]
        if warned:
            policy = self.gate.policy
            reasons = Counter(reason for verdict in warned for reason in policy.because(verdict, Outcome.WARN)[0])
            lines.append(f"{len(warned)} images used with a warning: " + _counts(reasons))
        return "\n".join(lines)


def scan(
    records: Sequence[Record],
    transform: Sequence[Callable[..., Any]] | Callable[..., Any],
    cache_dir: str | PathLike[str] | None,
    workers: int = 1,
    *,
    policy: GatePolicy | str = "training",
    force_recompute: bool = False,
    progress: bool = False,
    processes: bool = False,
    timeout_s: float | None = None,
) -> ScanResult:
    """Prepare all records into ``cache_dir`` and sort out the images that cannot be used.

    Interrupted, it leaves whole entries only, and goes on from there when started again. The work is done by
    joblib: in threads, which start at once, or in processes, which use the cores better and survive a codec that
    crashes; ``joblib.parallel_config(backend="dask")`` around the call takes it to a cluster.

    Args:
        records: of a datalist.
        transform: the transforms of :class:`PreparedDataset`; those that it keeps are run.
        cache_dir: the folder to fill; None only sorts.
        workers: images at a time; 0 is taken as 1.
        policy: of the input gate: what it refuses is prepared, but set aside.
        force_recompute: prepare also what the folder holds already.
        progress: show a progress bar.
        processes: work in processes instead of threads.
        timeout_s: seconds that one image may take in a process; None for any time.

    Raises:
        OSError: for a full disk, naming the folder.
    """
    dataset = PreparedDataset(records, transform, cache_dir, force_recompute=force_recompute)
    dataset.set_data([])  # what goes to other processes need not hold all records
    chosen = gate_policy(policy) if isinstance(policy, str) else policy
    jobs = _Jobs(dataset, chosen, max(1, workers), processes, timeout_s)
    gate = GateSummary(chosen)
    usable: list[Record] = []
    quarantine: list[Quarantined] = []
    quality: Counter[str] = Counter()
    computed = 0
    for record, result in tqdm(
        zip(records, jobs.run(records), strict=True),
        "preparing",
        len(records),
        unit="image",
        disable=None if progress else True,
    ):
        if isinstance(result, MammogramError):
            gate.add_unreadable(result, dataset=record.get("dataset"))
            quarantine.append(_quarantined(record, (result.reason,), (result.message,)))
            continue
        maker = result.manufacturer or record.get("manufacturer")
        gate.add(record["image"], result.verdict, dataset=record.get("dataset"), manufacturer=maker)
        computed += not result.reused
        if result.verdict.outcome == Outcome.REFUSE:
            quarantine.append(_quarantined(record, *chosen.because(result.verdict, Outcome.REFUSE)))
            continue
        usable.append(record)
        if result.mask_quality is not None:
            quality[result.mask_quality] += 1
    return ScanResult(usable, quarantine, dict(quality), computed, gate)


def save_quarantine(quarantine: Sequence[Quarantined], path: str | Path) -> Path:
    """Write the images set aside as CSV: image, image_id, reason, message."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(Quarantined.__annotations__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(quarantine)
    write_atomically(path, text.getvalue().encode())
    return Path(path)


@dataclass(frozen=True)
class _Jobs:
    """The same work in threads, in processes or on a cluster; results come in the order of the records."""

    dataset: PreparedDataset
    policy: GatePolicy
    workers: int
    processes: bool
    timeout_s: float | None

    def run(self, records: Sequence[Record]) -> Iterator[Result]:
        """Yield each record's result. A file that kills its process costs the images in flight a second try, alone."""
        if self.processes and self.workers == 1:
            yield from self._alone(records)  # joblib would work in this process, where a crash ends everything
            return
        done = 0
        while done < len(records):
            try:
                for result in self._parallel(records[done:]):
                    yield result
                    done += 1
            except LOST_WORKER as error:
                # The culprit is among those that were handed out: each of them gets a process of its own.
                suspects = records[done : done + 5 * self.workers]
                logger.warning("a worker was lost (%s); %d images are tried alone", type(error).__name__, len(suspects))
                for result in self._alone(suspects):
                    yield result
                    done += 1

    def _parallel(self, records: Sequence[Record]) -> Iterator[Result]:
        if not self.processes:
            pool = Parallel(n_jobs=self.workers, prefer="threads", return_as="generator")
            return pool(delayed(_prepare)(self.dataset, self.policy, record) for record in records)
        pool = Parallel(
            n_jobs=self.workers,
            prefer="processes",
            return_as="generator",
            batch_size=1,
            pre_dispatch=4 * self.workers,
            timeout=self.timeout_s,
        )
        return pool(delayed(_prepare_in_process)(self.dataset, self.policy, record) for record in records)

    def _alone(self, records: Sequence[Record]) -> Iterator[Result]:
        """Each record in a process without others, which is started anew where it was lost."""
        pool: ProcessPoolExecutor | None = None
        for record in records:
            if pool is None:
                pool = ProcessPoolExecutor(max_workers=1)
                pool.submit(_start).result()  # importing is not the image's time
            try:
                result = pool.submit(_prepare_in_process, self.dataset, self.policy, record).result(self.timeout_s)
            except LOST_WORKER as error:
                pool.shutdown(kill_workers=True)
                pool = None
                result = _lost(record, error, self.timeout_s)
            yield result
        if pool is not None:
            pool.shutdown()


def _lost(record: Record, error: Exception, timeout_s: float | None) -> MammogramError:
    if isinstance(error, TOO_LONG):
        message = f"took more than {timeout_s:g} seconds; raise the limit if it is worth the time"
        return MammogramError(record["image"], ReadFailure.TIMED_OUT, message)
    message = "the process that read it died: a damaged file that crashes a decoder, or too little memory"
    return MammogramError(record["image"], ReadFailure.CRASHED, message)


def _start() -> None:
    """Nothing, in a process that imports this module for it."""


def _prepare_in_process(dataset: PreparedDataset, policy: GatePolicy, record: Mapping[str, Any]) -> Result:
    # As many processes as cores: threads inside each would only stand in each other's way.
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    logging.getLogger("pydicom").setLevel(logging.ERROR)  # its warnings quote values of headers
    return _prepare(dataset, policy, record)


def _prepare(dataset: PreparedDataset, policy: GatePolicy, record: Mapping[str, Any]) -> Result:
    try:
        prepared = dataset.prepare(record)
    except MammogramError as error:
        return error
    quality = prepared.item.get("mask_quality")
    facts = {
        "is_dicom": False,  # transforms without metadata of a file's header leave nothing of it to judge
        **prepared.facts,
        "listed_laterality": record.get("laterality"),
        "listed_view": record.get("view"),
        "implant": record.get("implant"),
        "mask_quality": quality,
    }
    return Judged(quality, prepared.reused, judge(facts, policy), facts.get("manufacturer"))


def _quarantined(record: Record, reasons: Sequence[str], messages: Sequence[str]) -> Quarantined:
    return Quarantined(
        image=record["image"],
        image_id=record.get("image_id", ""),
        reason="; ".join(reasons),
        message=" | ".join(messages),
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda pair: -pair[1]))
