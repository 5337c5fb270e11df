"""The records of a detection run: those whose lesions all have a place, with their boxes."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import ignite.distributed as idist

from ..files import write_atomically
from .import_report import ImportReport
from .roi_masks import MaskPolicy, locate_findings
from .schema import FINDING_TYPES, Finding, Record

__all__ = ["ANY_LESION", "LocatedRecords", "lesion_label"]

logger = logging.getLogger(__name__)

ANY_LESION = "lesion"
"""The class that any finding belongs to."""


def lesion_label(finding: Mapping[str, Any], classes: Sequence[str]) -> int:
    """Index of the class of a finding; -1 for one that is not sought.

    Args:
        finding: a finding of a record.
        classes: types of findings, or ``["lesion"]`` for findings of any type.
    """
    if list(classes) == [ANY_LESION]:
        return 0
    kind = str(finding.get("type"))
    return list(classes).index(kind) if kind in classes else -1


class LocatedRecords(Mapping[str, list[Record]]):
    """A mapping of section names to the records that a detector can learn from, each with ``findings`` and ``boxes``.

    Kept are images whose findings of the classes all have a place, told or by their ROI mask, and images that are
    known to show none: those whose readers looked for all classes (``looked_for``), those with findings of other types
    only, and NORMAL or BI-RADS 1 ones without findings. Of other images nobody knows what a detection would mean; they
    are listed in ``output_dir/left_out.csv`` and counted in the log. ``findings`` then holds those of the classes, in
    the order of ``boxes``.

    Args:
        records: such as :class:`~mammo.pipeline.datasets.RunRecords`; left alone.
        classes: see :func:`lesion_label`.
        output_dir: the run folder.
        cache_dir: where boxes found in masks are kept, in ``lesion_boxes.json``, so that each is read once; None
            keeps nothing.
        mask_policy: for masks of another size than their image, see
            :class:`~mammo.pipeline.datasets.roi_masks.MaskPolicy`.
        workers: masks read at a time.

    Attributes:
        report: what was left out, and the counts.

    Raises:
        ValueError: for an unknown class, or a section without a lesion that has a place.
    """

    def __init__(
        self,
        records: Mapping[str, list[Record]],
        *,
        classes: Sequence[str],
        output_dir: str | Path,
        cache_dir: str | Path | None = None,
        mask_policy: str = MaskPolicy.SKIP,
        workers: int = 1,
    ) -> None:
        unknown = [name for name in classes if name not in FINDING_TYPES]
        if not classes or (unknown and list(classes) != [ANY_LESION]):
            raise ValueError(f"classes={list(classes)}; give [{ANY_LESION}], or types of {', '.join(FINDING_TYPES)}")
        self.classes = list(classes)
        self.report = ImportReport("lesions")
        with idist.one_rank_first():
            located = self._locate(records, cache_dir, mask_policy, workers)
        self._sections = {name: self._usable(records[name], found) for name, found in located.items()}
        images = sum(map(len, located.values()))
        kept = sum(map(len, self._sections.values()))
        boxes = [len(record["boxes"]) for found in self._sections.values() for record in found]
        self.report.counts |= {"images": images, "images kept": kept, "of them without lesion": boxes.count(0)}
        if idist.get_rank() == 0:
            logger.info(self.report.summary())
            if self.report.problems:
                self.report.save(Path(output_dir, "left_out.csv"))
        for name, found in self._sections.items():
            if not any(record["boxes"] for record in found):
                raise ValueError(
                    f"no lesion of {self.classes} has a place in {name!r}; records need findings with box, polygon, "
                    f"circle or roi_mask, see {Path(output_dir, 'left_out.csv')}"
                )

    def __getitem__(self, section: str) -> list[Record]:
        return self._sections[section]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sections)

    def __len__(self) -> int:
        return len(self._sections)

    def _locate(
        self, records: Mapping[str, list[Record]], cache_dir: str | Path | None, mask_policy: str, workers: int
    ) -> dict[str, list[Record]]:
        """The records with the findings of the classes, which have a ``box`` where one is known."""
        flat = [self._sought(record) for section in records.values() for record in section]
        file = None if cache_dir is None else Path(cache_dir, "lesion_boxes.json")
        kept: dict[str, list[float]] = json.loads(file.read_text()) if file is not None and file.is_file() else {}
        names = [[_mask_identity(record, finding, mask_policy) for finding in record["findings"]] for record in flat]
        for record, own in zip(flat, names, strict=True):
            pairs = zip(record["findings"], own, strict=True)
            record["findings"] = [_told(finding, kept.get(name)) for finding, name in pairs]
        found = locate_findings(flat, mask_policy, workers, self.report)
        new = {
            name: finding["box"]
            for own, findings in zip(names, found, strict=True)
            for name, finding in zip(own, findings, strict=True)
            if name and "box" in finding
        }
        if file is not None and not new.keys() <= kept.keys():
            write_atomically(file, json.dumps(kept | new).encode())
        located = iter([cast(Record, {**record, "findings": own}) for record, own in zip(flat, found, strict=True)])
        return {name: [next(located) for _ in section] for name, section in records.items()}

    def _sought(self, record: Record) -> Record:
        """A copy with the findings of the classes only."""
        findings = record.get("findings") or [cast(Finding, {"box": box}) for box in record.get("boxes", ())]
        sought = [finding for finding in findings if lesion_label(finding, self.classes) >= 0]
        return cast(Record, {**record, "findings": sought})

    def _usable(self, told: Sequence[Record], located: Sequence[Record]) -> list[Record]:
        usable: list[Record] = []
        for record, own in zip(told, located, strict=True):
            if not _is_told(record, self.classes):
                self.report.add("excluded", "whether it shows a lesion is not known", item=record["image_id"])
            elif not all("box" in finding for finding in own["findings"]):
                self.report.add("excluded", "a lesion of it has no place", item=record["image_id"])
            else:
                usable.append(cast(Record, {**own, "boxes": [finding["box"] for finding in own["findings"]]}))
        return usable


def _is_told(record: Record, classes: Sequence[str]) -> bool:
    """Whether the record says what its image shows: findings, or that there are none of the classes."""
    named = bool(record.get("findings") or record.get("boxes"))
    sought = record.get("looked_for", [])
    if sought and (list(classes) == [ANY_LESION] or set(classes) <= set(sought)):
        return True
    return named or record.get("pathology") == "NORMAL" or record.get("birads") == 1


def _told(finding: Finding, box: list[float] | None) -> Finding:
    return finding if box is None else {**finding, "box": box}


def _mask_identity(record: Record, finding: Finding, mask_policy: str) -> str:
    """What tells a mask that is read from any other: its file, that of its image, and the policy; else empty."""
    if "roi_mask" not in finding or any(place in finding for place in ("box", "polygon", "circle")):
        return ""
    files = (finding["roi_mask"], finding.get("crop", ""), record["image"])
    stamps = [f"{path}:{os.stat(path).st_size}:{os.stat(path).st_mtime_ns}" for path in files if os.path.isfile(path)]
    return "|".join([str(mask_policy), *stamps])
