"""What the tables published with Mammo-CLIP (arXiv:2405.12255) share: lists in cells, places of images, folds."""

from __future__ import annotations

import ast
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..import_report import ImportReport
from ..patient_split import patient_split_datalist
from ..records import Datalist
from ..schema import Record
from .official_split import official_split_datalist
from .tabular_files import whole_number

__all__ = ["LEAKING", "fold_datalist", "image_stem", "literal_list", "locate_image", "read_side"]

LONGEST_CELL = 100_000
"""Characters of a cell that is read as a Python literal: the parser's memory grows with what it is given."""

LEAKING = ("refuse", "exclude")
SIDES = {"L": "L", "LEFT": "L", "R": "R", "RIGHT": "R"}


def literal_list(text: str) -> list[Any]:
    """The list that a cell writes as a Python literal; an empty cell is the empty list.

    Raises:
        ValueError: for anything but a list of constants and lists, and for a cell above :data:`LONGEST_CELL`.
    """
    if not text:
        return []
    if len(text) > LONGEST_CELL:
        raise ValueError(f"a cell of {len(text)} characters; at most {LONGEST_CELL} are read as a list")
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"not a list of Python: {text[:60]!r}") from error
    if not isinstance(value, list):
        raise ValueError(f"not a list of Python: {text[:60]!r}")
    return value


def read_side(text: str) -> str:
    """``"L"`` or ``"R"``; empty for anything else."""
    return SIDES.get(text.upper(), "")


def image_stem(image_id: str) -> str:
    """The name of an image without the ``.png`` that these tables put behind it."""
    return image_id.removesuffix(".png")


def locate_image(folders: Iterable[Path], patient: str, image_id: str) -> str:
    """Path of ``<patient>/<image_id>`` or ``Patient_<patient>/<image_id>`` in the first folder that has it, with or
    without ``.png``; empty where there is none.
    """
    names = dict.fromkeys((image_id, f"{image_stem(image_id)}.png"))
    places = (os.path.join(folder, owner) for folder in folders for owner in (patient, f"Patient_{patient}"))
    paths = (os.path.join(place, name) for place in places for name in names)
    return next((path for path in paths if image_id and os.path.isfile(path)), "")


def fold_datalist(
    records: Sequence[Record],
    folds: Mapping[str, str],
    *,
    name: str,
    licence: str,
    root: Path,
    fold: int | None,
    test_fold: int | None,
    leaking: str,
    seed: int,
    report: ImportReport,
) -> Datalist:
    """A datalist by the table's own folds, or by patient where ``fold`` is None.

    Args:
        records: of one dataset.
        folds: cell of each record's ``image_id``.
        name: of the dataset.
        licence: of the images.
        root: of the paths.
        fold: the one to validate on; None ignores the folds and deals the patients 60/20/20.
        test_fold: the one to test on; None leaves the test section empty.
        leaking: what becomes of patients in several folds, see :data:`LEAKING`.
        seed: of the dealing.
        report: gets what is left out.

    Raises:
        ValueError: for patients in several folds that are to be refused, a fold that is not there, or nothing left
            to train on.
    """
    if leaking not in LEAKING:
        raise ValueError(f"leaking must be {' or '.join(LEAKING)}, got {leaking!r}")
    if fold is None:
        return patient_split_datalist(records, name, licence, root, seed)
    if fold == test_fold:
        raise ValueError(f"fold and test_fold are both {fold}; validate and test on two folds")
    numbers = {record["image_id"]: whole_number(folds[record["image_id"]], 0, 1000) for record in records}
    usable = [record for record in records if numbers[record["image_id"]] is not None]
    for record in records:
        if numbers[record["image_id"]] is None:
            reason = f"the fold is no whole number: {folds[record['image_id']]!r}"
            report.add("excluded", reason, item=record["image_id"])
    usable = _without_leaks(usable, numbers, leaking, report)
    present = sorted({number for record in usable if (number := numbers[record["image_id"]]) is not None})
    for wanted in (fold, *([] if test_fold is None else [test_fold])):
        if wanted not in present:
            raise ValueError(f"{name}: no image is in fold {wanted}; the folds are {', '.join(map(str, present))}")
    sections: dict[str, list[Record]] = {"training": [], "validation": [], "test": []}
    held_out = {fold: "validation", test_fold: "test"}
    for record in usable:
        sections[held_out.get(numbers[record["image_id"]], "training")].append(record)
    if not sections["training"]:
        raise ValueError(f"{name}: fold {fold} holds all images, so none is left to train on; give fold=None")
    datalist = official_split_datalist(
        sections, {}, name=name, licence=licence, root=root, validation_fraction=0, seed=seed
    )
    tested = "" if test_fold is None else f", test is fold {test_fold}"
    datalist["description"] = f"validation is fold {fold} of the table{tested}, training the others"
    return datalist


def _without_leaks(
    records: list[Record], numbers: Mapping[str, int | None], leaking: str, report: ImportReport
) -> list[Record]:
    """The records without those of patients in several folds, which are refused or reported."""
    found: dict[str, set[int | None]] = defaultdict(set)
    for record in records:
        found[record["patient_id"]].add(numbers[record["image_id"]])
    leaks = {patient: sorted(map(str, own)) for patient, own in found.items() if len(own) > 1}
    if leaks and leaking == "refuse":
        shown = ", ".join(f"{patient} in {' and '.join(own)}" for patient, own in list(leaks.items())[:5])
        raise ValueError(
            f"{len(leaks)} patients are in several folds ({shown}{', ...' if len(leaks) > 5 else ''}): a report would "
            "be trained on and validated; make folds by patient, or give leaking=exclude, or fold=None to deal anew"
        )
    for patient, own in leaks.items():
        report.add("excluded", f"the patient is in several folds: {' and '.join(own)}", item=patient)
    return [record for record in records if record["patient_id"] not in leaks]
