"""Prepare every image before a run, and set aside those that cannot be used."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from joblib import Parallel, delayed
from tqdm import tqdm

from ...transforms.errors import MammogramError
from .files import write_atomically
from .schema import Record
from .store import PreparedDataset

__all__ = ["Quarantined", "ScanResult", "save_quarantine", "scan"]


class Quarantined(TypedDict):
    """An image that is left out of a run."""

    image: str
    image_id: str
    reason: str
    """One of :class:`~mammo.transforms.errors.ReadFailure`."""
    message: str


class ScanResult(NamedTuple):
    """What :func:`scan` found.

    Attributes:
        usable: the records whose image could be prepared, in order.
        quarantine: the others, each with its reason.
        mask_quality: number of usable images by the quality of their breast mask; empty without a mask step.
        computed: how many images were prepared now; the rest of ``usable`` was in the folder already.
    """

    usable: list[Record]
    quarantine: list[Quarantined]
    mask_quality: dict[str, int]
    computed: int

    def summary(self) -> str:
        """One line a count, for a terminal."""
        lines = [f"{len(self.usable)} images usable, {self.computed} of them prepared now"]
        if self.quarantine:
            reasons = Counter(item["reason"] for item in self.quarantine)
            lines.append(f"{len(self.quarantine)} images set aside: " + _counts(reasons))
        doubtful = {quality: count for quality, count in self.mask_quality.items() if quality != "ok"}
        if doubtful:
            lines.append(f"{sum(doubtful.values())} breast masks are not ok: " + _counts(doubtful))
        return "\n".join(lines)


def scan(
    records: Sequence[Record],
    transform: Sequence[Callable[..., Any]] | Callable[..., Any],
    cache_dir: str | PathLike[str] | None,
    workers: int = 1,
    *,
    force_recompute: bool = False,
    progress: bool = False,
) -> ScanResult:
    """Prepare all records into ``cache_dir`` and sort out the images that cannot be used.

    Interrupted, it leaves whole entries only, and goes on from there when started again. The work is done by
    joblib in threads; ``joblib.parallel_config(backend=...)`` around the call takes it to processes or to a
    cluster.

    Args:
        records: of a datalist.
        transform: the transforms of :class:`PreparedDataset`; those that it keeps are run.
        cache_dir: the folder to fill; None only sorts.
        workers: images at a time; 0 is taken as 1.
        force_recompute: prepare also what the folder holds already.
        progress: show a progress bar.

    Raises:
        OSError: for a full disk, naming the folder.
    """
    dataset = PreparedDataset(records, transform, cache_dir, force_recompute=force_recompute)
    dataset.set_data([])  # what goes to other processes need not hold all records
    usable: list[Record] = []
    quarantine: list[Quarantined] = []
    quality: Counter[str] = Counter()
    computed = 0
    jobs = Parallel(n_jobs=max(1, workers), prefer="threads", return_as="generator")
    results = jobs(delayed(_prepare)(dataset, record) for record in records)
    for record, result in tqdm(
        zip(records, results, strict=True), "preparing", len(records), unit="image", disable=None if progress else True
    ):
        if isinstance(result, MammogramError):
            quarantine.append(_quarantined(record, result))
            continue
        mask_quality, reused = result
        usable.append(record)
        computed += not reused
        if mask_quality is not None:
            quality[mask_quality] += 1
    return ScanResult(usable, quarantine, dict(quality), computed)


def save_quarantine(quarantine: Sequence[Quarantined], path: str | Path) -> Path:
    """Write the images set aside as CSV: image, image_id, reason, message."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(Quarantined.__annotations__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(quarantine)
    write_atomically(path, text.getvalue().encode())
    return Path(path)


def _prepare(dataset: PreparedDataset, record: Mapping[str, Any]) -> tuple[str | None, bool] | MammogramError:
    try:
        item, reused = dataset.prepare(record)
    except MammogramError as error:
        return error
    quality = item.get("mask_quality")
    return None if quality is None else str(quality), reused


def _quarantined(record: Record, error: MammogramError) -> Quarantined:
    return Quarantined(
        image=record["image"], image_id=record.get("image_id", ""), reason=error.reason, message=error.message
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda pair: -pair[1]))
