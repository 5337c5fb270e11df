"""Cross-validation by patient."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

from sklearn.model_selection import StratifiedGroupKFold

from .records import Datalist, all_records, check_datalist, check_leaks
from .schema import Record
from .splits import image_strata, patient_key

__all__ = ["cross_validation"]


def cross_validation(datalist: Datalist, folds: int = 5, *, seed: int = 0, keep_test: bool = True) -> list[Datalist]:
    """Make one datalist a fold: each patient is in the validation of exactly one of them, else in training.

    scikit-learn's ``StratifiedGroupKFold`` deals the patients so that the folds hold about the same number of
    images of each class (:func:`~mammo.pipeline.datasets.splits.image_strata`). The order of the records does
    not matter. A class of fewer patients than ``folds`` is not in every fold.

    Args:
        datalist: with or without a validation section; its training and validation patients are pooled. It is
            left alone.
        folds: how many, from 2 to the number of patients.
        seed: another seed deals otherwise.
        keep_test: keep the test section in each fold; else its patients are dealt too, there is no test
            section, and a leak that the datalist declares is gone.

    Returns:
        Datalists named ``NAME-fold1of5`` and so on.

    Raises:
        ValueError: for a datalist that leaks, too few or too many folds, or no class with an image for each
            fold.
    """
    check_datalist(datalist)
    check_leaks(datalist)
    kept = ("test",) if keep_test else ()
    # In a fixed order, because scikit-learn deals by the order that it is given.
    pooled = sorted(
        (record for section, record in all_records(datalist) if section not in kept),
        key=lambda record: (*patient_key(record), record["image_id"]),
    )
    numbers = _deal(pooled, folds, seed)
    return [_fold(datalist, pooled, numbers, index, folds, seed, keep_test) for index in range(folds)]


def _deal(records: Sequence[Record], folds: int, seed: int) -> list[int]:
    """The fold, from 0, in which each record is validated."""
    patients = {key: number for number, key in enumerate(dict.fromkeys(map(patient_key, records)))}
    if not 2 <= folds <= len(patients):
        raise ValueError(f"folds must be from 2 to the number of patients, {len(patients)}, got {folds}")
    strata = image_strata(records)
    if max(Counter(strata).values()) < folds:
        raise ValueError(f"no class has as many images as the {folds} folds; ask for fewer folds")
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    classes = [f"{dataset} {number}" for dataset, number in strata]
    dealt = [0] * len(records)
    with warnings.catch_warnings():
        # A class rarer than the folds is dealt as well as can be; the docstring says so.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        parts = splitter.split(records, classes, [patients[patient_key(record)] for record in records])
        for fold, (_, validated) in enumerate(parts):
            for index in validated:
                dealt[index] = fold
    return dealt


def _fold(
    datalist: Datalist,
    records: Sequence[Record],
    numbers: Sequence[int],
    index: int,
    folds: int,
    seed: int,
    keep_test: bool,
) -> Datalist:
    sections: dict[str, list[Record]] = {"training": [], "validation": []}
    for record, number in zip(records, numbers, strict=True):
        section = "validation" if number == index else "training"
        sections[section].append(cast(Record, {**record, "split": section}))
    dropped = {"training", "validation"} | (set() if keep_test else {"test", "known_leak", "known_leak_patients"})
    about = f"fold {index + 1} of {folds} by patient, seed {seed}"
    fold: dict[str, object] = {
        **{key: value for key, value in cast(Mapping[str, object], datalist).items() if key not in dropped},
        "name": f"{datalist.get('name', 'datalist')}-fold{index + 1}of{folds}",
        "description": "; ".join(filter(None, (datalist.get("description", ""), about))),
        **sections,
    }
    return cast(Datalist, fold)
