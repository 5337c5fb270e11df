"""Prepare every image before a run, and set aside those that cannot be used."""

from __future__ import annotations

import csv
import io
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import cv2
import torch
from joblib import Parallel, delayed
from tqdm import tqdm

from ...transforms.errors import MammogramError, ReadFailure
from ..files import write_atomically
from ..gate import GatePolicy, GateSummary, Outcome, Verdict, gate_policy, judge
from ..isolated import Lost, call_isolated, pack
from .schema import Record
from .store import PreparedDataset

__all__ = ["Quarantined", "ScanResult", "save_quarantine", "scan"]


class Judged(NamedTuple):
    """One prepared image: quality of its mask, whether it was prepared before, what the gate says, and who made it."""

    mask_quality: str | None
    reused: bool
    verdict: Verdict
    manufacturer: str | None


Result = Judged | MammogramError
"""What became of an image, or why it cannot be read."""


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

    Interrupted, it leaves whole entries only, and goes on from there when started again. The work is done by joblib's
    threads; ``joblib.parallel_config(backend="dask")`` around the call takes it to a cluster. A process to each
    thread uses the cores better: then a file that kills or holds up the process which reads it is set aside, and
    remembered in ``cache_dir``, so that scans and datasets without processes leave it alone.

    Args:
        records: of a datalist.
        transform: the transforms of :class:`PreparedDataset`; those that it keeps are run.
        cache_dir: the folder to fill; None only sorts.
        workers: images at a time; 0 is taken as 1.
        policy: of the input gate: what it refuses is prepared, but set aside.
        force_recompute: prepare also what the folder holds already.
        progress: show a progress bar.
        processes: give each thread a process for the work.
        timeout_s: seconds that one image may take in a process; None for any time.

    Raises:
        OSError: for a full disk, naming the folder.
    """
    dataset = PreparedDataset(records, transform, cache_dir, force_recompute=force_recompute)
    dataset.set_data([])  # what goes to other processes need not hold all records
    chosen = gate_policy(policy) if isinstance(policy, str) else policy
    work: Callable[[Record], Result | Lost] = partial(_prepare, dataset, chosen)
    if processes:
        work = partial(call_isolated, pack(partial(_prepare_in_process, dataset, chosen)), timeout_s=timeout_s)
    pool = Parallel(n_jobs=max(1, workers), prefer="threads", return_as="generator")
    results = pool(delayed(work)(record) for record in records)
    gate = GateSummary(chosen)
    usable: list[Record] = []
    quarantine: list[Quarantined] = []
    quality: Counter[str] = Counter()
    computed = 0
    for record, result in tqdm(
        zip(records, results, strict=True),
        "preparing",
        len(records),
        unit="image",
        disable=None if progress else True,
    ):
        if isinstance(result, Lost):
            result = _lost(dataset, record, result)
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


def _lost(dataset: PreparedDataset, record: Record, lost: Lost) -> MammogramError:
    """The error of an image whose process was lost, remembered."""
    if lost.timed_out:
        error = MammogramError(
            record["image"], ReadFailure.TIMED_OUT, f"{lost.message}; allow it more if it is worth it"
        )
    else:
        what = "a damaged file that crashes a decoder, or too little memory for so many workers"
        error = MammogramError(record["image"], ReadFailure.CRASHED, f"{lost.message}: {what}")
    with suppress(MammogramError):  # the image is not even there any more
        dataset.refuse(record, error)
    return error


def _prepare_in_process(dataset: PreparedDataset, policy: GatePolicy, record: Mapping[str, Any]) -> Result:
    # As many processes as cores: threads inside each would only stand in each other's way.
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    logging.getLogger("pydicom").setLevel(logging.ERROR)  # its warnings quote values of headers
    return _prepare(dataset, policy, record, retry=True)


def _prepare(dataset: PreparedDataset, policy: GatePolicy, record: Mapping[str, Any], retry: bool = False) -> Result:
    try:
        prepared = dataset.prepare(record, retry=retry)
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
