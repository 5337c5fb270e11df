"""CSAW-M (Sorkhei et al. 2021, arXiv:2112.01330): how much the tissue of a mammogram could mask a cancer, graded by
experts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..import_report import ImportReport
from ..records import Datalist
from ..schema import Record
from .folder_files import list_files
from .official_split import check_validation_fraction, official_split_datalist
from .tabular_files import column_names, locate_table, numbered_rows, read_table, whole_number

__all__ = ["csaw_m"]

LICENCE = "CSAW-M: CC BY-NC-ND 4.0"
PARTS = ("train", "test")
COLUMNS = ("Filename", "Label", "If_cancer", "Dicom_image_laterality")
SIDES = {"left": "L", "l": "L", "right": "R", "r": "R"}
MISSING = ("", "-")


def csaw_m(root: str | Path, *, validation_fraction: float = 0.2, seed: int = 0) -> tuple[Datalist, ImportReport]:
    """List CSAW-M from ``CSAW-M_train.csv`` and ``CSAW-M_test.csv`` and the images of ``train`` and ``test``.

    Images are MLO views, made smaller by the authors (632x512, 8 bit), one of each woman, so the file name is the
    patient. ``masking`` is the label from 1 to 8; the single experts' labels, Libra's density and the kinds of cancer
    stay under ``raw``. A woman found to have cancer (``If_cancer`` 1) is MALIGNANT, known from follow-up
    (``"outcome"``), which need not show in this image. The others have no pathology: that no cancer was found does
    not make an image normal, it may show something benign.

    The public test part stays whole. Validation patients are cut from training, stratified by masking level; the
    authors' cross-validation files are not read.

    Args:
        root: the dataset's folder.
        validation_fraction: share of the training patients, from 0 up to but not including 1.
        seed: of the validation cut.

    Raises:
        ValueError: if a table, a column of it or all images are missing.
    """
    check_validation_fraction(validation_fraction)
    root = Path(os.path.abspath(root))
    files = list_files(root)
    report = ImportReport("CSAW-M")
    records: dict[str, list[Record]] = {part: _part(part, root, files, report) for part in PARTS}
    listed = {record["patient_id"] for record in records["test"]}
    for record in records["train"]:
        if record["patient_id"] in listed:
            report.add("excluded", "the image is also in the test table", item=record["image_id"])
    training = [record for record in records["train"] if record["patient_id"] not in listed]
    if not training and not records["test"]:
        raise ValueError(
            f"{root}: none of the images that its tables list is here or below; expected "
            "images/preprocessed/train/<Filename> and images/preprocessed/test/<Filename>"
        )
    strata = {record["patient_id"]: record.get("masking", -1) for record in training}
    datalist = official_split_datalist(
        {"training": training, "test": records["test"]},
        strata,
        name="CSAW-M",
        licence=LICENCE,
        root=root,
        validation_fraction=validation_fraction,
        seed=seed,
    )
    return datalist, report


def _part(part: str, root: Path, files: Sequence[Path], report: ImportReport) -> list[Record]:
    """Records of one part, in the order of its table."""
    name = f"CSAW-M_{part}.csv"
    table = locate_table(root, name)
    frame = read_table(table, COLUMNS, column_names(table))
    images = {path.stem: path for path in reversed(files) if path.parent.name == part and path.suffix == ".png"}
    records: dict[str, Record] = {}
    for number, row in numbered_rows(frame):
        image_id = row["Filename"].removesuffix(".png")
        if image_id not in images or image_id in records:
            reason = "the image is listed twice" if image_id in records else "the image is not on disk"
            report.add("image", reason, table=name, row=number, item=image_id)
            continue
        doubts, records[image_id] = _record(image_id, row, images[image_id])
        for doubt in doubts:
            report.add("label", doubt, table=name, row=number, item=image_id)
    for image_id in sorted(images.keys() - records.keys()):
        report.add("file", "no row of the table lists the image", item=str(images[image_id]))
    report.counts |= {f"rows of {name}": len(frame), f"{part} images": len(records)}
    return list(records.values())


def _record(image_id: str, row: Mapping[str, str], path: Path) -> tuple[list[str], Record]:
    """What of a row cannot be understood, and its record, which goes without that."""
    doubts = []
    record = Record(
        image=str(path),
        patient_id=image_id,
        image_id=image_id,
        dataset="csaw_m",
        view="MLO",
        licence=LICENCE,
        raw={name: value for name, value in row.items() if value not in MISSING and name != "Filename"},
    )
    if masking := whole_number(row["Label"], 1, 8):
        record["masking"] = masking
    elif row["Label"] not in MISSING:
        doubts.append(f"unknown masking level, expected 1 to 8: {row['Label']!r}")
    if whole_number(row["If_cancer"], 1, 1):
        record["pathology"], record["label_provenance"] = "MALIGNANT", "outcome"
    elif row["If_cancer"] not in MISSING and whole_number(row["If_cancer"], 0, 0) is None:
        doubts.append(f"unknown If_cancer, expected 0 or 1: {row['If_cancer']!r}")
    side = row["Dicom_image_laterality"]
    if side.lower() in SIDES:
        record["laterality"] = SIDES[side.lower()]
    elif side not in MISSING:
        doubts.append(f"unknown side, expected Left or Right: {side!r}")
    return doubts, record
