"""The datalist of a dataset without a split of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .records import Datalist
from .schema import Record
from .splits import patient_strata, split_patients

__all__ = ["patient_split_datalist"]

SHARES = {"training": 0.6, "validation": 0.2, "test": 0.2}


def patient_split_datalist(records: Sequence[Record], name: str, licence: str, root: Path, seed: int) -> Datalist:
    """Deal the patients 60/20/20, stratified by their worst pathology."""
    sections = split_patients(patient_strata(records), SHARES, seed)
    lists: dict[str, list[Record]] = {section: [] for section in SHARES}
    for record in records:
        record["split"] = sections[record["patient_id"]]
        lists[record["split"]].append(record)
    return Datalist(
        name=name,
        description=f"patients dealt 60/20/20, stratified by pathology, seed {seed}",
        licence=licence,
        root=str(root),
        training=lists["training"],
        validation=lists["validation"],
        test=lists["test"],
    )
