"""CBIS-DDSM on disk: the folders of its usual download, and rows with the quirks of its four tables.

Folders are NBIA's "descriptive" ones, ``CBIS-DDSM/<PatientID>/<date>-DDSM-NA-<study>/1.000000-<series>/1-1.dcm``;
the tables' paths name UIDs and files that such a download does not have, as the original's do.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .dicom import BITS_STORED, WHITE, Address, uid, write_capture, write_view
from .truth import truth_row
from .views import View

Row = list[str | int]

ROOT = "CBIS-DDSM"
FULL, CROP, MASK = "full mammogram images", "cropped images", "ROI mask images"
_DATE, _FOLDER_DATE = "20160720", "07-20-2016"
_SEPARATE_SERIES = 10  # one lesion in so many keeps crop and mask in two series

_START = ["left or right breast", "image view", "abnormality id", "abnormality type"]
_END = ["assessment", "pathology", "subtlety", "image file path", "cropped image file path", "ROI mask file path"]
HEADERS = {
    "mass": ["patient_id", "breast_density", *_START, "mass shape", "mass margins", *_END],
    "calcification": ["patient_id", "breast density", *_START, "calc type", "calc distribution", *_END],
}
_PREFIX = {"mass": "Mass", "calcification": "Calc"}


def patient_number(index: int) -> str:
    """CBIS-DDSM's name of patient ``index``."""
    return f"P_{index + 1:05d}"


def _address(seed: int, folder: str, description: str, role: str, number: int = 1) -> Address:
    key = (seed, folder)
    series = uid(*key, "series", description)
    return Address(folder, uid(*key, "study"), series, uid(*key, role), description, _DATE, number)


def _file(root: Path, address: Address) -> Path:
    study = f"{_FOLDER_DATE}-DDSM-NA-{address.study_uid[-5:]}"
    series = f"1.000000-{address.description}-{address.series_uid[-5:]}"
    return root / ROOT / address.patient_id / study / series / f"1-{address.number}.dcm"


def _table_path(address: Address, number: int) -> str:
    return f"{address.patient_id}/{address.study_uid}/{address.series_uid}/{number:06d}.dcm"


def _write_lesion(root: Path, view: View, seed: int, folder: str) -> tuple[str, str]:
    """Write crop and mask of a view's lesion; their paths as the table has them, crop first."""
    lesion = view.lesion
    assert lesion is not None
    mass = view.case.abnormality == "mass"
    apart = view.case.index % _SEPARATE_SERIES == _SEPARATE_SERIES - 1
    # Masses number the crop 0 and the mask 1, calcifications the other way round; apart, both are 0.
    crop_number, mask_number = (0, 0) if apart else (0, 1) if mass else (1, 0)
    name = f"{folder}_1"
    crop = _address(seed, name, CROP if apart else MASK, "crop", crop_number + 1)
    mask = _address(seed, name, MASK, "mask", mask_number + 1)
    row0, column0, row1, column1 = lesion.box
    margin = max(row1 - row0, column1 - column0) // 4
    window = np.s_[max(0, row0 - margin) : row1 + margin, max(0, column0 - margin) : column1 + margin]
    write_capture(np.rint(view.image[window] * WHITE).astype(np.uint16), BITS_STORED, crop, _file(root, crop))
    write_capture(lesion.mask.astype(np.uint8) * np.uint8(255), 8, mask, _file(root, mask))
    return _table_path(crop, crop_number), _table_path(mask, mask_number)


def _table_row(view: View, paths: tuple[str, str, str]) -> Row:
    assert view.lesion is not None
    case, words = view.case, view.lesion.words
    image, crop, mask = paths
    if case.abnormality == "mass":
        mask += "\n"  # the original's tables have a newline inside these quotes
    else:
        crop += "\n"
    start: Row = [patient_number(case.index), case.density, view.laterality, view.view, 1, case.abnormality]
    return [*start, words.first, words.second, words.assessment, words.pathology, words.subtlety, image, crop, mask]


def write_patient_view(root: Path, view: View, seed: int, test: bool) -> tuple[dict[str, Any], Row | None]:
    """Write one view's files.

    Returns:
        The row of the truth and the row of CBIS-DDSM's table, None for a breast without a lesion.
    """
    case = view.case
    split = "Test" if test else "Training"
    folder = f"{_PREFIX[case.abnormality]}-{split}_{patient_number(case.index)}_{view.laterality}_{view.view}"
    address = _address(seed, folder, FULL, "full")
    path = _file(root, address)
    write_view(view, address, path)
    truth = truth_row(
        view,
        patient_id=patient_number(case.index),
        image_id=address.image_uid,
        path=path.relative_to(root).as_posix(),
        split=split.lower(),
    )
    if view.lesion is None:
        return truth, None
    crop, mask = _write_lesion(root, view, seed, folder)
    return truth, _table_row(view, (_table_path(address, 0), crop, mask))


def table_name(abnormality: str, test: bool) -> str:
    """File name of one of CBIS-DDSM's four tables."""
    return f"{_PREFIX[abnormality].lower()}_case_description_{'test' if test else 'train'}_set.csv"


def write_table(path: Path, header: list[str], rows: Iterable[Row]) -> None:
    """Write one of the four tables, with the original's line ends."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\r\n").writerows([header, *rows])
