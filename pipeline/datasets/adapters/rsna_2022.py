"""RSNA Screening Mammography Breast Cancer Detection (Kaggle 2022): 54706 images of 11913 patients, cancer per
breast.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ..import_report import ImportReport
from ..patient_split import patient_split_datalist
from ..records import Datalist
from ..schema import Record
from .tabular_files import locate_table, numbered_rows, read_table, whole_number

__all__ = ["rsna_2022", "rsna_records"]

LICENCE = "RSNA 2022 competition rules: non-commercial and academic use"
KNOWN_BAD = ("keep", "exclude")
COLUMNS = ("site_id", "patient_id", "image_id", "laterality", "view", "age", "implant", "machine_id")
LABELS = ("cancer", "biopsy", "invasive", "BIRADS", "density", "difficult_negative_case")
FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}

BAD_PATIENTS = {"27770": "pixel values beyond BitsStored"}
BAD_IMAGES = {
    "1942326353": "every pixel is zero",
    "83977": "8-bit pixels under a window of another depth",
    "495314563": "high background",
    "1760744211": "two bright stripes",
    **dict.fromkeys(("1181948538", "1428845821", "2121614268"), "cropped too far"),
    **dict.fromkeys(
        ("47305213", "42887848", "33429299", "32630261", "2124758121", "29003881", "26934018"), "an artificial border"
    ),
}
"""Images that participants found wrong (github.com/schmidt-jake/kaggle, notes.md)."""

_Row = Mapping[str, str]


def rsna_2022(
    root: str | Path, *, known_bad: str = "keep", include_test: bool = False, seed: int = 0
) -> tuple[Datalist, ImportReport]:
    """List the RSNA 2022 screening mammograms of ``train.csv``.

    Pathology is per breast and goes to all its views: cancer is ``MALIGNANT`` and a biopsy without cancer ``BENIGN``
    (``label_provenance`` biopsy, whatever the specimen showed); a breast with neither is ``NORMAL`` by its outcome.
    Views other than CC and MLO (AT, ML, LM, LMO) and repeated views are kept. BI-RADS (0, 1, 2) and density are
    filled for the first site mainly. There is no official validation: patients are dealt 60/20/20, stratified by
    pathology.

    Args:
        root: the downloaded folder: ``train.csv`` and ``train_images/<patient_id>/<image_id>.dcm``; PNG copies
            (``<image_id>.png`` in the patient's folder, or ``<patient_id>_<image_id>.png``) are taken too.
        known_bad: ``"keep"`` or ``"exclude"`` the images of ``BAD_IMAGES`` and ``BAD_PATIENTS``; both
            report them.
        include_test: also list ``test.csv``, which has no labels, in the training part, for pretraining.
        seed: of the split.

    Raises:
        ValueError: for a missing table or column, or if no image is on disk.
    """
    root = Path(os.path.abspath(root))
    if known_bad not in KNOWN_BAD:
        raise ValueError(f"known_bad must be {' or '.join(KNOWN_BAD)}, got {known_bad!r}")
    report = ImportReport("RSNA 2022")
    table = locate_table(root, "train.csv")
    frame = read_table(table, (*COLUMNS, *LABELS))
    labelled = rsna_records(frame, table, "train_images", known_bad, report)
    if not labelled:
        raise ValueError(
            f"{table}: none of its {len(frame)} rows has an image; expected "
            "train_images/<patient_id>/<image_id>.dcm or .png beside it"
        )
    datalist = patient_split_datalist(labelled, "RSNA 2022", LICENCE, root, seed)
    if include_test:
        table = locate_table(root, "test.csv")
        unlabelled = rsna_records(read_table(table, COLUMNS), table, "test_images", known_bad, report)
        sections = {record["patient_id"]: record["split"] for record in labelled}
        for record in unlabelled:
            record["split"] = sections.get(record["patient_id"], "training")
            datalist[record["split"]].append(record)  # type: ignore[literal-required]
    return datalist, report


def rsna_records(frame: pd.DataFrame, table: Path, folder: str, known_bad: str, report: ImportReport) -> list[Record]:
    """The records of a table's rows whose image is on disk, without a split.

    Args:
        frame: with ``COLUMNS``, and ``LABELS`` where they are known.
        table: the file that it was read from, beside ``folder``.
        folder: where images are looked for.
        known_bad: ``"keep"`` or ``"exclude"``.
        report: gets the rows that cannot be used, and the counts.
    """
    rows = list(numbered_rows(frame))
    cancer = _worst_of_breast(rows, "cancer", table, report)
    biopsy = _worst_of_breast(rows, "biopsy", table, report)
    records: list[Record] = []
    seen: set[str] = set()
    for number, row in rows:
        problem = f"unknown laterality: {row['laterality']!r}" if row["laterality"] not in ("L", "R") else ""
        if row["image_id"] in seen:
            problem = "the image is listed twice"
        path = "" if problem else _find_image(table.parent, folder, row)
        if not path:
            reason = problem or "the image is not on disk"
            report.add("image", reason, table=table.name, row=number, item=row["image_id"])
            continue
        seen.add(row["image_id"])
        bad = BAD_IMAGES.get(row["image_id"]) or BAD_PATIENTS.get(row["patient_id"])
        if bad:
            kind = "excluded" if known_bad == "exclude" else "file"
            report.add(kind, f"a known bad image: {bad}", table=table.name, row=number, item=row["image_id"])
        if not (bad and known_bad == "exclude"):
            breast = row["patient_id"], row["laterality"]
            records.append(_record(row, path, cancer.get(breast), biopsy.get(breast)))
    report.counts |= {f"rows of {table.name}": len(rows), f"images of {table.name}": len(records)}
    return records


def _worst_of_breast(
    rows: Sequence[tuple[int, _Row]], column: str, table: Path, report: ImportReport
) -> dict[tuple[str, str], bool]:
    """Whether any row of a breast is 1; rows that say otherwise than the others of their breast are reported."""
    flags: dict[tuple[str, str], bool] = {}
    for _, row in rows:
        if (flag := FLAGS.get(row.get(column, "").lower())) is not None:
            breast = row["patient_id"], row["laterality"]
            flags[breast] = flag or flags.get(breast, False)
    for number, row in rows:
        told = row.get(column)
        if told is not None and FLAGS.get(told.lower()) != flags.get((row["patient_id"], row["laterality"]), True):
            reason = f"{column} is {told!r}, against other views of the breast or not 0 or 1"
            report.add("roi", reason, table=table.name, row=number, item=row["image_id"])
    return flags


def _find_image(base: Path, folder: str, row: _Row) -> str:
    patient, image = row["patient_id"], row["image_id"]
    names = (f"{patient}/{image}.dcm", f"{patient}/{image}.png", f"{patient}_{image}.png", f"{patient}_{image}.dcm")
    paths = (os.path.join(base, place, name) for place in (folder, "") for name in names)
    return next((path for path in paths if os.path.isfile(path)), "")


def _record(row: _Row, path: str, cancer: bool | None, biopsy: bool | None) -> Record:
    record = Record(
        image=path,
        patient_id=row["patient_id"],
        image_id=row["image_id"],
        dataset="rsna_2022",
        laterality=row["laterality"],
        licence=LICENCE,
        raw={name: row[name] for name in LABELS if row.get(name)},
        extra={"site": row["site_id"]} if row["site_id"] else {},
    )
    if row["view"]:
        record["view"] = row["view"].upper()
    if row["machine_id"]:
        record["device"] = row["machine_id"]
    if cancer:
        record |= Record(pathology="MALIGNANT", label_provenance="biopsy")
    elif cancer is False and biopsy is not None:
        record["pathology"] = "BENIGN" if biopsy else "NORMAL"
        record["label_provenance"] = "biopsy" if biopsy else "outcome"
    if (implant := FLAGS.get(row["implant"].lower())) is not None:
        record["implant"] = implant
    if (age := whole_number(row["age"], 0, 130)) is not None:
        record["age"] = age
    if (birads := whole_number(row.get("BIRADS", ""), 0, 6)) is not None:
        record["birads"] = birads
    if (density := row.get("density", "").upper()) in ("A", "B", "C", "D"):
        record["density"] = density
    for name in ("invasive", "difficult_negative_case"):
        if (flag := FLAGS.get(row.get(name, "").lower())) is not None:
            record["extra"][name] = flag
    return record
