"""Splits by patient: stratified, seeded, and nested where shares of the labels are compared.

A patient is a dataset and its own patient id, since most datasets count from 1.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from .schema import DENSITIES, PATHOLOGIES, Record

__all__ = [
    "PatientKey",
    "dealing_order",
    "image_strata",
    "label_fraction",
    "patient_key",
    "patient_strata",
    "split_patients",
    "split_records",
    "strata_by_dataset",
    "stratum_fields",
]

PatientKey = tuple[str, str]
"""Dataset and patient id."""

Stratum = tuple[str, int]
"""Dataset and class, -1 where nothing is known."""

Patient = TypeVar("Patient", str, PatientKey)
Class = TypeVar("Class", int, Stratum)

SCALES: dict[str, Sequence[str | int]] = {
    "pathology": PATHOLOGIES,
    "birads": range(7),
    "masking": range(9),
    "density": DENSITIES,
}
"""Fields to stratify by, the best first, and their values from least to most severe."""


def patient_key(record: Record) -> PatientKey:
    """Whose image it is: the dataset and the patient id in it."""
    return record["dataset"], record["patient_id"]


def stratum_fields(records: Sequence[Record]) -> dict[str, str]:
    """The field of :data:`SCALES` that each dataset is stratified by; empty where it knows none of them."""
    known: dict[str, set[str]] = defaultdict(set)
    for record in records:
        known[record["dataset"]].update(name for name in SCALES if name in record)
    return {dataset: next((name for name in SCALES if name in names), "") for dataset, names in known.items()}


def image_strata(records: Sequence[Record]) -> list[Stratum]:
    """The dataset and class of each image, so that pooled datasets keep their shares too.

    Encoded records (with ``label``) are told apart by their first task; others by the field of
    :func:`stratum_fields`.
    """
    fields = stratum_fields(records)
    return [(record["dataset"], _class(record, fields[record["dataset"]])) for record in records]


def _class(record: Record, field: str) -> int:
    if "label" in record:
        return record["label"][0] if record["label"] else -1
    value = cast(Mapping[str, Any], record).get(field)
    return -1 if value is None else SCALES[field].index(value)


def strata_by_dataset(records: Sequence[Record]) -> dict[PatientKey, Stratum]:
    """The dataset and class of each patient; the class is the worst of the images (:func:`image_strata`)."""
    strata: dict[PatientKey, Stratum] = {}
    for record, own in zip(records, image_strata(records), strict=True):
        key = patient_key(record)
        strata[key] = max(own, strata.get(key, own))
    return strata


def patient_strata(records: Sequence[Record]) -> dict[str, int]:
    """The class of each patient of one dataset by patient id, as :func:`strata_by_dataset` finds it.

    Raises:
        ValueError: for an id that two datasets share; :func:`split_records` tells them apart.
    """
    strata: dict[str, int] = {}
    datasets: dict[str, str] = {}
    for (dataset, patient), (_, own) in strata_by_dataset(records).items():
        if datasets.setdefault(patient, dataset) != dataset:
            raise ValueError(
                f"patient {patient!r} is in {datasets[patient]!r} and in {dataset!r}, and these are two patients; "
                "split pooled datasets with split_records"
            )
        strata[patient] = own
    return strata


def split_records(records: Sequence[Record], shares: Mapping[str, float], seed: int) -> dict[str, list[Record]]:
    """Deal records, of one dataset or of several, to sections: a patient's images stay together.

    Args:
        records: left alone; each section keeps their order.
        shares: see :func:`split_patients`.
        seed: see :func:`split_patients`.

    Returns:
        The records of each section of ``shares``, also of those with a share of 0.

    Raises:
        ValueError: if the shares are negative or do not sum to 1.
    """
    dealt = split_patients(strata_by_dataset(records), shares, seed)
    sections: dict[str, list[Record]] = {name: [] for name in shares}
    for record in records:
        sections[dealt[patient_key(record)]].append(record)
    return sections


def split_patients(strata: Mapping[Patient, Class], shares: Mapping[str, float], seed: int) -> dict[Patient, str]:
    """Deal patients to sections so that each section holds about the same share of each class.

    Every class with as many patients as there are sections is in all of them; where each section's share of
    a class is one patient or more, it gets that to within one patient. A patient who is added later moves
    few others: none of another class, and of the same class at most two for each further section.

    Args:
        strata: class of each patient, as :func:`strata_by_dataset` or :func:`patient_strata` gives it.
        shares: share of the patients of each section, such as ``{"training": 0.6, "validation": 0.2, "test":
            0.2}``.
        seed: another seed deals otherwise; the order of ``strata`` does not matter.

    Returns:
        The section of each patient.

    Raises:
        ValueError: if the shares are negative or do not sum to 1.
    """
    if not shares or min(shares.values()) < 0 or not math.isclose(sum(shares.values()), 1):
        raise ValueError(f"shares must be 0 or more and sum to 1, got {dict(shares)}")
    sections = [name for name, share in shares.items() if share > 0]
    dealt: dict[Patient, str] = {}
    for patients in dealing_order(strata, seed):
        counts = _allocate(len(patients), [shares[name] for name in sections])
        names = [name for name, count in zip(sections, counts, strict=True) for _ in range(count)]
        dealt.update(zip(patients, names, strict=True))
    return dealt


def label_fraction(records: Sequence[Record], percentage: float, seed: int) -> list[Record]:
    """Keep the images of a random share of the patients, for label-efficiency experiments.

    The patients are drawn class by class (:func:`strata_by_dataset`), at least one of each class, and nested:
    with one seed the 10 % lie inside the 50 %. Give it training records only; validation and test keep all
    labels. A patient who is added later takes the place of one other of the same class at most.

    Args:
        records: the training records.
        percentage: share of the patients in percent, above 0 and up to 100 (all).
        seed: another seed draws other patients.

    Raises:
        ValueError: if ``percentage`` is not in (0, 100].
    """
    if not 0 < percentage <= 100:
        raise ValueError(f"percentage of the labels must be above 0 and at most 100, got {percentage}")
    kept: set[PatientKey] = set()
    for patients in dealing_order(strata_by_dataset(records), seed):
        # Rounded half up by hand: round() would take 2.5 to 2 and 3.5 to 4.
        kept.update(patients[: max(1, math.floor(len(patients) * percentage / 100 + 0.5))])
    return [record for record in records if patient_key(record) in kept]


def dealing_order(strata: Mapping[Patient, Class], seed: int) -> list[list[Patient]]:
    """The patients of each class, class by class, in an order that depends on the seed and the patient only."""
    groups: dict[Class, list[Patient]] = defaultdict(list)
    for patient, stratum in strata.items():
        groups[stratum].append(patient)
    return [sorted(groups[stratum], key=lambda patient: _draw(patient, seed)) for stratum in sorted(groups)]


def _draw(patient: str | PatientKey, seed: int) -> tuple[bytes, str]:
    """A number drawn for the patient alone: the order of two patients is the same whoever else is there.

    It is that of the id, so that pooling datasets leaves the order inside each as it was; the dataset only
    orders equal ids.
    """
    dataset, name = ("", patient) if isinstance(patient, str) else patient
    return hashlib.sha256(f"{seed}:{name}".encode()).digest(), dataset


def _allocate(total: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers that sum to ``total``, by largest remainder; none is 0 where ``total`` suffices for
    all.
    """
    exact = np.asarray(shares) * total
    counts = np.floor(exact + 1e-9).astype(int)
    for index in np.argsort(counts - exact, kind="stable")[: total - counts.sum()]:
        counts[index] += 1
    while total >= len(shares) and (counts == 0).any():
        counts[counts.argmax()] -= 1
        counts[counts.argmin()] += 1
    return [int(count) for count in counts]
