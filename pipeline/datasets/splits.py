"""Splits by patient: stratified, seeded, and nested where shares of the labels are compared."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from .schema import PATHOLOGIES, Record

__all__ = ["label_fraction", "patient_strata", "split_patients"]


def patient_strata(records: Sequence[Record]) -> dict[str, int]:
    """The class of each patient, the worst of the images; -1 where nothing is known.

    Encoded records (with ``label``) are told apart by their first task, others by pathology.
    """
    strata: dict[str, int] = {}
    for record in records:
        if "label" in record:
            own = record["label"][0] if record["label"] else -1
        else:
            own = PATHOLOGIES.index(record["pathology"]) if "pathology" in record else -1
        strata[record["patient_id"]] = max(own, strata.get(record["patient_id"], -1))
    return strata


def split_patients(strata: Mapping[str, int], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Deal patients to sections so that each section holds about the same share of each class.

    Every class with as many patients as there are sections is in all of them.

    Args:
        strata: class of each patient, as :func:`patient_strata` gives it.
        shares: share of the patients of each section, such as ``{"training": 0.6, "validation": 0.2, "test":
            0.2}``.
        seed: another seed deals otherwise; the order of ``strata`` does not matter.

    Returns:
        The section of each patient.

    Raises:
        ValueError: if the shares are negative or do not sum to 1.
    """
    if min(shares.values()) < 0 or not math.isclose(sum(shares.values()), 1):
        raise ValueError(f"shares must be 0 or more and sum to 1, got {dict(shares)}")
    sections = [name for name, share in shares.items() if share > 0]
    dealt: dict[str, str] = {}
    for patients in _shuffled_strata(strata, seed):
        counts = _allocate(len(patients), [shares[name] for name in sections])
        names = [name for name, count in zip(sections, counts, strict=True) for _ in range(count)]
        dealt.update(zip(patients, names, strict=True))
    return dealt


def label_fraction(records: Sequence[Record], percentage: float, seed: int) -> list[Record]:
    """Keep the images of a random share of the patients, for label-efficiency experiments.

    The patients are drawn class by class (:func:`patient_strata`), at least one of each class, and nested:
    with one seed the 10 % lie inside the 50 %. Give it training records only; validation and test keep all
    labels.

    Args:
        records: the training records.
        percentage: share of the patients in percent, above 0 and up to 100 (all).
        seed: another seed draws other patients.

    Raises:
        ValueError: if ``percentage`` is not in (0, 100].
    """
    if not 0 < percentage <= 100:
        raise ValueError(f"percentage of the labels must be above 0 and at most 100, got {percentage}")
    kept: set[str] = set()
    for patients in _shuffled_strata(patient_strata(records), seed):
        # Rounded half up by hand: round() would take 2.5 to 2 and 3.5 to 4.
        kept.update(patients[: max(1, math.floor(len(patients) * percentage / 100 + 0.5))])
    return [record for record in records if record["patient_id"] in kept]


def _shuffled_strata(strata: Mapping[str, int], seed: int) -> list[list[str]]:
    """Patients of each class in an order that depends on the seed and the patient only."""
    groups: dict[int, list[str]] = defaultdict(list)
    for patient, stratum in strata.items():
        groups[stratum].append(patient)
    return [sorted(groups[stratum], key=lambda patient: _draw(patient, seed)) for stratum in sorted(groups)]


def _draw(patient: str, seed: int) -> bytes:
    """A number drawn for the patient alone: the order of two patients is the same whoever else is there."""
    return hashlib.sha256(f"{seed}:{patient}".encode()).digest()


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
