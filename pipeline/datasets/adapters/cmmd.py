"""CMMD (Cui et al. 2021, doi 10.7937/tcia.eqde-4b16): 5202 digital mammograms with biopsy per breast."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..import_report import ImportReport
from ..patient_split import patient_split_datalist
from ..records import Datalist
from ..schema import Finding, Record
from .cbis_files import DICOM_SUFFIXES, find_files
from .dicom_headers import read_headers
from .tabular_files import column_names, find_table, locate_table, numbered_rows, read_table, whole_number

__all__ = ["cmmd"]

LICENCE = "CC BY 4.0"
TABLES = ("CMMD_clinicaldata_revision.csv", "CMMD_clinicaldata_revision.xlsx")
COLUMNS = ("ID1", "LeftRight", "Age", "number", "abnormality", "classification", "subtype")
DOWNLOAD_COLUMNS = ("Subject ID", "Number of Images", "File Location")
UNLABELLED = ("absent", "normal")
TYPES = {"mass": ("mass",), "calcification": ("calcification",), "both": ("mass", "calcification")}

_PATIENT = re.compile(r"D[12]-\d{4}")


class _Breast(NamedTuple):
    """One row of the clinical table."""

    number: int
    pathology: str
    values: dict[str, str]


class _Image(NamedTuple):
    path: str
    patient: str
    side: str
    facts: dict[str, Any]


_Breasts = Mapping[tuple[str, str], _Breast]


def cmmd(
    root: str | Path, *, unlabelled: str = "absent", seed: int = 0, workers: int = 8
) -> tuple[Datalist, ImportReport]:
    """List CMMD: the clinical table's rows, one per patient and breast, put to the images of that breast.

    The order of the files does not tell the side: the headers do (Image Laterality, View Code Sequence). A patient
    whose table names one breast may have images of the other: nothing was proven there. Such images come without
    pathology, for pretraining; ``"normal"`` follows the common practice to call them normal and marks that as
    assumed (``label_provenance``). Patients are dealt 60/20/20, stratified by pathology.

    Args:
        root: folder with the images as NBIA stores them and, in it or up to two folders below,
            ``CMMD_clinicaldata_revision.xlsx`` or the same as ``.csv`` (taken first). With NBIA's
            ``metadata.csv`` beside them, patients of whom images are missing are reported.
        unlabelled: ``"absent"`` or ``"normal"``.
        seed: of the split.
        workers: headers read at a time.

    Returns:
        The datalist, and a report of rows without an image and files without use.

    Raises:
        ValueError: for a missing table or column, or if no image belongs to a row.
    """
    root = Path(os.path.abspath(root))
    if unlabelled not in UNLABELLED:
        raise ValueError(f"unlabelled must be {' or '.join(UNLABELLED)}, got {unlabelled!r}")
    report = ImportReport("CMMD")
    table = locate_table(root, *TABLES)
    breasts = _read_breasts(table, report)
    paths = sorted(path for path in find_files(root)[0] if path.lower().endswith(DICOM_SUFFIXES))
    images = _read_images(paths, {patient for patient, _ in breasts}, report, workers)
    found = {(image.patient, image.side) for image in images}
    for (patient, side), breast in breasts.items():
        if (patient, side) not in found:
            reason = "no image of this breast is on disk"
            report.add("image", reason, table=table.name, row=breast.number, item=f"{patient} {side}")
    _check_download(root, Counter(image.patient for image in images), report)
    if not found & set(breasts):
        raise ValueError(
            f"none of the {len(breasts)} rows of {table} has an image among the {len(paths)} DICOM files under {root}; "
            "expected files such as CMMD/D1-0001/.../1-1.dcm whose Patient ID is in the table"
        )
    records = _records(images, breasts, unlabelled)
    report.counts |= {
        "images": len(records),
        "images of breasts without a row": sum((image.patient, image.side) not in breasts for image in images),
    }
    return patient_split_datalist(records, "CMMD", LICENCE, root, seed), report


def _read_breasts(table: Path, report: ImportReport) -> dict[tuple[str, str], _Breast]:
    frame = read_table(table, COLUMNS)
    breasts: dict[tuple[str, str], _Breast] = {}
    for number, row in numbered_rows(frame):
        key = row["ID1"], row["LeftRight"].upper()[:1]
        pathology = row["classification"].upper()
        problem = ""
        if not key[0] or key[1] not in ("L", "R"):
            problem = f"patient or side is missing: {row['ID1']!r} {row['LeftRight']!r}"
        elif pathology not in ("BENIGN", "MALIGNANT"):
            problem = f"unknown classification: {row['classification']!r}"
        elif key in breasts:
            problem = f"the breast is listed twice: first in row {breasts[key].number}"
        if problem:
            report.add("image", problem, table=table.name, row=number, item=" ".join(key))
        else:
            breasts[key] = _Breast(number, pathology, row)
    report.counts |= {"rows": len(frame), "patients": len({patient for patient, _ in breasts})}
    return breasts


def _read_images(paths: Sequence[str], patients: set[str], report: ImportReport, workers: int) -> list[_Image]:
    images: list[_Image] = []
    seen: dict[str, str] = {}
    for path, facts in zip(paths, read_headers(paths, workers), strict=True):
        if isinstance(facts, str):
            report.add("file", f"unusable header: {facts}", item=path)
            continue
        named = _PATIENT.findall(path)
        patient = facts["patient_id"] if facts["patient_id"] in patients or not named else named[-1]
        first = seen.setdefault(facts["image_id"], path)
        if patient not in patients:
            report.add("excluded", f"the patient is not in the clinical table: {patient}", item=path)
        elif first != path:
            report.add("file", f"a copy of another file: {first}", item=path)
        elif facts["laterality"] is None:
            report.add("file", "the header does not tell the side", item=path)
        else:
            images.append(_Image(path, patient, facts["laterality"], facts))
    return images


def _records(images: Sequence[_Image], breasts: _Breasts, unlabelled: str) -> list[Record]:
    numbers: Counter[str] = Counter()
    records = []
    for image in images:
        name = f"{image.patient}_{image.side}_{image.facts['view'] or 'X'}"
        numbers[name] += 1
        records.append(_record(image, name if numbers[name] == 1 else f"{name}_{numbers[name]}"))
        breast = breasts.get((image.patient, image.side))
        if breast:
            _label(records[-1], breast)
        elif unlabelled == "normal":
            records[-1] |= Record(pathology="NORMAL", label_provenance="assumed")
    return records


def _record(image: _Image, image_id: str) -> Record:
    record = Record(
        image=image.path,
        patient_id=image.patient,
        image_id=image_id,
        dataset="cmmd",
        laterality=image.side,
        licence=LICENCE,
        extra={"cohort": image.patient[:2]},
    )
    known = {
        "study_id": image.facts["study_id"],
        "view": image.facts["view"],
        "manufacturer": image.facts["manufacturer"],
        "device": image.facts["manufacturer_model"],
        "pixel_spacing_mm": image.facts["pixel_spacing_mm"],
    }
    record.update({name: value for name, value in known.items() if value is not None})  # type: ignore[typeddict-item]
    return record


def _label(record: Record, breast: _Breast) -> None:
    """Put what the clinical table says of a breast to a record of it."""
    values = breast.values
    record |= Record(pathology=breast.pathology, label_provenance="biopsy")
    record["raw"] = {name: text for name, text in values.items() if text and name not in ("ID1", "LeftRight")}
    abnormality = values["abnormality"].lower()
    if abnormality in TYPES:
        record["abnormality"] = abnormality
        findings = [Finding(id=str(n), type=kind) for n, kind in enumerate(TYPES[abnormality], start=1)]
        if len(findings) == 1:  # of two, the table does not say which is the malignant one
            findings[0]["pathology"] = breast.pathology
        record["findings"] = findings
    if values["subtype"]:
        record["subtype"] = values["subtype"]
    if (age := whole_number(values["Age"], 0, 130)) is not None:
        record["age"] = age


def _check_download(root: Path, found: Mapping[str, int], report: ImportReport) -> None:
    """Compare the images of each patient with NBIA's list of the download, where that is there."""
    table = find_table(root, "metadata.csv")
    if table is None or not set(DOWNLOAD_COLUMNS) <= set(column_names(table)):
        return
    frame = read_table(table, DOWNLOAD_COLUMNS)
    frame["expected"] = [whole_number(text, 0, 10**6) or 0 for text in frame["Number of Images"]]
    totals = frame.groupby("Subject ID")["expected"].sum()
    for number, row in numbered_rows(frame):
        patient = row["Subject ID"]
        if found.get(patient, 0) < totals[patient]:
            reason = f"the download lacks images of the patient: {found.get(patient, 0)} of {totals[patient]} are there"
            # NBIA's own client writes the separators of Windows.
            place = row["File Location"].replace("\\", "/").removeprefix("./")
            report.add("image", reason, table=table.name, row=number, item=place or patient)
