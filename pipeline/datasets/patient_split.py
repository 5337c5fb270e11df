"""The datalist of a dataset without a split of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .records import Datalist
from .schema import Record
from .splits import split_records, stratum_fields

__all__ = ["SHARES", "patient_split_datalist"]

SHARES = {"training": 0.6, "validation": 0.2, "test": 0.2}
"""Share of the patients of each section."""


def patient_split_datalist(records: Sequence[Record], name: str, licence: str, root: Path, seed: int) -> Datalist:
    """Deal the patients 60/20/20, stratified by their worst image.

    Args:
        records: of one dataset or of several pooled; ``split`` is set in each.
        name: of the datalist.
        licence: of the data.
        root: folder of the images.
        seed: another seed deals otherwise; the order of the records does not matter.
    """
    fields = sorted(set(stratum_fields(records).values()) - {""})
    how = f"stratified by {' or '.join(fields)}" if fields else "not stratified: no class is known"
    lists = split_records(records, SHARES, seed)
    for section, listed in lists.items():
        for record in listed:
            record["split"] = section
    return Datalist(
        name=name,
        description=f"patients dealt 60/20/20, {how}, seed {seed}",
        licence=licence,
        root=str(root),
        training=lists["training"],
        validation=lists["validation"],
        test=lists["test"],
    )
