"""INbreast (Moreira et al. 2012, doi 10.1016/j.acra.2011.09.014): 410 digital mammograms with outlined findings
and a BI-RADS category, without pathology.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pydicom

from ..import_report import ImportReport
from ..patient_split import SHARES
from ..records import Datalist
from ..schema import Record
from ..splits import split_patients
from .folder_files import list_files
from .inbreast_rois import read_rois
from .official_split import official_split_datalist
from .tabular_files import column_names, find_table, locate_table, numbered_rows, read_table

__all__ = ["inbreast"]

LICENCE = "INbreast: on request from its authors, research use only"
TABLES = ("INbreast.csv", "INbreast.xlsx")
COLUMNS = ("Laterality", "View", "Acquisition date", "File Name", "ACR", "Bi-Rads")
DENSITY = {"1": "A", "2": "B", "3": "C", "4": "D"}

_IMAGE = re.compile(r"(\d+)_([0-9a-f]+)_MG_([LR])_([A-Z]+)_ANON", re.IGNORECASE)


class _Image(NamedTuple):
    """One DICOM file and what its name says."""

    path: Path
    patient: str
    side: str
    view: str


def inbreast(root: str | Path, *, seed: int = 0) -> tuple[Datalist, ImportReport]:
    """List INbreast from ``INbreast.csv`` (or ``.xlsx``), the DICOM files and the outlines of ``AllXML``.

    The table's patients are blanked out: the patient is the hash in the file name. Acquisition dates (half-years) tell
    a patient's studies apart. BI-RADS 4a to 4c are 4, with the letter under ``raw``. There is no pathology in the
    tables, so records have none: a BI-RADS category is an opinion, and taking 4 to 6 for malignant is left to the
    user. Outlines of the pectoral muscle are not read. Patients are dealt 60/20/20, stratified by their highest
    BI-RADS category.

    Args:
        root: the dataset's folder (``INbreast Release 1.0``) or one above it.
        seed: of the split.

    Raises:
        ValueError: if the table, a column of it or all images are missing.
    """
    root = Path(os.path.abspath(root))
    table = _find_table(root)
    # The workbook's column 'Mass ' ends in a blank.
    frame = read_table(table, COLUMNS, [name.strip() for name in column_names(table)])
    report = ImportReport("INbreast")
    images, outlines = _index(root, report)
    records: dict[str, Record] = {}
    for number, row in numbered_rows(frame):
        name = row["File Name"].removesuffix(".0")
        if name in images and name not in records:
            notes, records[name] = _record(name, row, images[name])
            for note in notes:
                report.add("label", note, table=table.name, row=number, item=name)
        else:
            report.add(*_unusable(name, name in records), table=table.name, row=number, item=name)
    if not records:
        raise ValueError(
            f"{root}: none of the images that {table} lists is here or below; expected DICOM files such as "
            "AllDICOMs/<number>_<patient>_MG_<side>_<view>_ANON.dcm"
        )
    _report_unlisted(records, images, outlines, report)
    with_outlines = [name for name in records if name in outlines]
    for name in with_outlines:
        _add_findings(records[name], outlines[name], report)
    report.counts |= {"rows": len(frame), "images": len(records), "images with outlines": len(with_outlines)}
    return _datalist(list(records.values()), root, seed), report


def _find_table(root: Path) -> Path:
    old = find_table(root, "INbreast.xls")
    if old is not None and find_table(root, *TABLES) is None:
        raise ValueError(
            f"{root}: {' or '.join(TABLES)} not found; {old} is of the old Excel format, which needs a package that "
            "mammo does not have: save it as INbreast.xlsx"
        )
    return locate_table(root, *TABLES)


def _index(root: Path, report: ImportReport) -> tuple[dict[str, _Image], dict[str, Path]]:
    """Images and outline files by the image's number."""
    images: dict[str, _Image] = {}
    outlines: dict[str, Path] = {}
    muscles = 0
    for path in list_files(root):
        match = _IMAGE.fullmatch(path.stem) if path.suffix.lower() == ".dcm" else None
        if any(folder.lower().startswith("pectoral") for folder in path.relative_to(root).parts[:-1]):
            muscles += 1
        elif match and match[1] in images:
            report.add("file", f"a copy of an image: {images[match[1]].path} is taken", item=str(path))
        elif match:
            images[match[1]] = _Image(path, match[2].lower(), match[3].upper(), match[4].upper())
        elif path.suffix.lower() == ".dcm":
            report.add("file", "the name is not <number>_<patient>_MG_<side>_<view>_ANON", item=str(path))
        elif path.suffix.lower() == ".xml":
            outlines.setdefault(path.stem, path)
    if muscles:
        report.add("file", f"outlines of the pectoral muscle are not read: {muscles} files", item="PectoralMuscle")
    return images, outlines


def _unusable(name: str, listed: bool) -> tuple[str, str]:
    """Kind and reason of a row without a record of its own."""
    if not name:
        return "excluded", "the row names no image (the workbook ends with such rows)"
    return "image", "the image is listed twice" if listed else "the image is not on disk"


def _report_unlisted(
    records: Mapping[str, Record], images: Mapping[str, _Image], outlines: Mapping[str, Path], report: ImportReport
) -> None:
    for name in sorted(images.keys() - records.keys()):
        report.add("file", "no row of the table lists the image", item=str(images[name].path))
    for name in sorted(outlines.keys() - records.keys()):
        report.add("file", "outlines without a listed image", item=str(outlines[name]))


def _record(name: str, row: Mapping[str, str], image: _Image) -> tuple[list[str], Record]:
    """What is doubtful about a row, and its record."""
    notes = []
    date = row["Acquisition date"]
    record = Record(
        image=str(image.path),
        patient_id=image.patient,
        image_id=name,
        dataset="inbreast",
        licence=LICENCE,
        raw={column: value for column, value in row.items() if value and value != "removed"},
    )
    if date:
        record["study_id"] = f"{image.patient}_{date}"
    if row["Laterality"].upper() in ("", image.side):
        record["laterality"] = image.side
    else:
        notes.append(f"table and file name disagree on the side: {row['Laterality']} and {image.side}")
    # File names say ML where the table says MLO; the table is right.
    record["view"] = row["View"].upper() or {"ML": "MLO"}.get(image.view, image.view)
    if re.fullmatch(r"[0-6][abc]?", row["Bi-Rads"].lower()):
        record["birads"] = int(row["Bi-Rads"][0])
    elif row["Bi-Rads"]:
        notes.append(f"unknown BI-RADS category: {row['Bi-Rads']!r}")
    if row["ACR"] in DENSITY:
        record["density"] = DENSITY[row["ACR"]]
    elif row["ACR"]:
        notes.append(f"unknown ACR density: {row['ACR']!r}")
    return notes, record


def _add_findings(record: Record, outlines: Path, report: ImportReport) -> None:
    shape = _dicom_shape(record["image"])
    if shape is None:
        report.add("roi", "unreadable header: outlines are not clipped to the image", item=record["image_id"])
    try:
        rois = read_rois(outlines, shape)
    except ValueError as error:
        report.add("roi", f"unreadable outlines: {error}", item=record["image_id"])
        return
    for problem in rois.problems:
        report.add("roi", problem, table=outlines.name, item=record["image_id"])
    if rois.findings:
        record["findings"] = rois.findings
    if boxes := [finding["box"] for finding in rois.findings if "box" in finding]:
        record["boxes"] = boxes
    kinds = {finding.get("type") for finding in rois.findings}
    if len(kinds) == 1 and (kind := kinds.pop()):  # of several, nothing says which is the worst
        record["abnormality"] = kind


def _dicom_shape(path: str) -> tuple[int, int] | None:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
        shape = int(header.Rows), int(header.Columns)
    except Exception:  # hostile input: without a size outlines are not clipped, and the report says so
        return None
    return shape if min(shape) > 0 else None


def _datalist(records: Sequence[Record], root: Path, seed: int) -> Datalist:
    strata: dict[str, int] = {}
    for record in records:
        patient = record["patient_id"]
        strata[patient] = max(record.get("birads", -1), strata.get(patient, -1))
    sections = split_patients(strata, SHARES, seed)
    dealt = {section: [record for record in records if sections[record["patient_id"]] == section] for section in SHARES}
    datalist = official_split_datalist(
        dealt, strata, name="INbreast", licence=LICENCE, root=root, validation_fraction=0, seed=seed
    )
    datalist["description"] = f"patients dealt 60/20/20, stratified by BI-RADS category, seed {seed}"
    return datalist
