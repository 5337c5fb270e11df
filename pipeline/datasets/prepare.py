"""From a dataset's folder to a datalist, with a table of everything that was not used."""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import Any

from .adapters import ADAPTERS
from .records import Datalist, all_records, check_leaks, datalist_sha256, save_datalist

__all__ = ["prepare_dataset"]

logger = logging.getLogger(__name__)


def prepare_dataset(dataset: str, root: str | Path, out: str | Path, **options: Any) -> Datalist:
    """List a dataset, split it by patient and write the datalist, and ``*.problems.csv`` beside it.

    Args:
        dataset: name of one of :data:`ADAPTERS`.
        root: the dataset's folder as downloaded.
        out: the datalist (JSON) to write; its paths are relative to ``root``.
        **options: of the adapter (``seed``, ``split``, ...); None leaves the adapter's default.

    Raises:
        ValueError: for an unknown dataset or option, a folder that is not this dataset's, or a leak that is
            not declared.
    """
    if dataset not in ADAPTERS:
        raise ValueError(f"unknown dataset {dataset!r}; known are {', '.join(ADAPTERS)}")
    given = {name: value for name, value in options.items() if value is not None}
    known = list(inspect.signature(ADAPTERS[dataset]).parameters)[1:]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ValueError(f"{dataset} has no option {unknown[0]!r}; it has {', '.join(known)}")
    datalist, report = ADAPTERS[dataset](root, **given)
    leaks = check_leaks(datalist)
    out = save_datalist(datalist, out, keep_root=True)
    logger.info(report.summary())
    logger.info(_sections_line(datalist))
    if leaks:
        logger.warning("known leak %s: %d patients", datalist.get("known_leak"), len(leaks))
    problems = report.save(out.with_suffix(".problems.csv"))
    logger.info("%s (sha256 %s), problems in %s", out, datalist_sha256(datalist)[:16], problems.name)
    return datalist


def _sections_line(datalist: Datalist) -> str:
    counts: dict[str, tuple[int, set[str]]] = {}
    for section, record in all_records(datalist):
        images, patients = counts.get(section, (0, set()))
        counts[section] = (images + 1, patients | {record["patient_id"]})
    return ", ".join(f"{name}: {images} images of {len(p)} patients" for name, (images, p) in counts.items())
