"""The datalist of a dataset with a split of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..records import Datalist
from ..schema import SECTIONS, Record
from ..splits import split_patients

__all__ = ["check_validation_fraction", "official_split_datalist"]


def check_validation_fraction(fraction: float) -> None:
    """Refuse a share of the training patients that is not from 0 up to but not including 1."""
    if not 0 <= fraction < 1:
        raise ValueError(f"validation_fraction must be at least 0 and below 1, got {fraction}")


def official_split_datalist(
    sections: Mapping[str, list[Record]],
    strata: Mapping[str, int],
    *,
    name: str,
    licence: str,
    root: Path,
    validation_fraction: float,
    seed: int,
) -> Datalist:
    """Keep a given split; without a validation part, cut one from the training patients.

    Args:
        sections: records of ``"training"``, ``"test"`` and, where the dataset has one, ``"validation"``.
        strata: class of each training patient, to have each class in both parts.
        name: of the dataset.
        licence: of the dataset.
        root: of the paths.
        validation_fraction: share of the training patients to cut.
        seed: of the cut.
    """
    lists: dict[str, list[Record]] = {section: list(sections.get(section, ())) for section in SECTIONS}
    description = "the dataset's own split"
    if not lists["validation"] and validation_fraction:
        shares = {"training": 1 - validation_fraction, "validation": validation_fraction}
        patients = {record["patient_id"] for record in lists["training"]}
        dealt = split_patients({patient: strata[patient] for patient in patients}, shares, seed)
        whole, lists["training"] = lists["training"], []
        for record in whole:
            lists[dealt[record["patient_id"]]].append(record)
        description += f", validation {validation_fraction} of the training patients, seed {seed}"
    for section, records in lists.items():
        for record in records:
            record["split"] = section
    return Datalist(
        name=name,
        description=description,
        licence=licence,
        root=str(root),
        training=lists["training"],
        validation=lists["validation"],
        test=lists["test"],
    )
