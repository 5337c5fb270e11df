"""VinDr-Mammo (Nguyen et al. 2023, doi 10.1038/s41597-023-02100-7): 5000 exams with BI-RADS, density and boxes."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..import_report import ImportReport
from ..records import Datalist
from ..schema import Finding, Record
from .official_split import check_validation_fraction, official_split_datalist
from .tabular_files import locate_table, numbered_rows, read_table, whole_number

__all__ = ["add_findings", "vindr_mammo"]

LICENCE = "PhysioNet restricted access: research under its data use agreement"
BREASTS = "breast-level_annotations.csv"
FINDINGS = "finding_annotations.csv"
BREAST_COLUMNS = (
    "study_id",
    "image_id",
    "laterality",
    "view_position",
    "height",
    "width",
    "breast_birads",
    "breast_density",
    "split",
)
BOX = ("ymin", "xmin", "ymax", "xmax")
FINDING_COLUMNS = ("image_id", "finding_categories", "finding_birads", *BOX)
HEADER_COLUMNS = ("SOP Instance UID", "Manufacturer", "Manufacturer's Model Name", "Patient's Age")
"""Columns of the optional ``metadata.csv``, which repeats the DICOM headers."""

SECTIONS = {"training": "training", "test": "test"}
CATEGORIES = {
    "Mass": "mass",
    "Suspicious Calcification": "calcification",
    "Asymmetry": "asymmetry",
    "Focal Asymmetry": "focal_asymmetry",
    "Global Asymmetry": "global_asymmetry",
    "Architectural Distortion": "architectural_distortion",
    "Skin Thickening": "skin_thickening",
    "Skin Retraction": "skin_retraction",
    "Nipple Retraction": "nipple_retraction",
    "Suspicious Lymph Node": "lymph_node",
}
NO_FINDING = "No Finding"

_BIRADS = re.compile(r"BI-?RADS ([0-6])", re.IGNORECASE)
_DENSITY = re.compile(r"DENSITY ([A-D])", re.IGNORECASE)

_Row = Mapping[str, str]


def vindr_mammo(root: str | Path, *, validation_fraction: float = 0.2, seed: int = 0) -> tuple[Datalist, ImportReport]:
    """List VinDr-Mammo: one record per image, its boxes in ``findings``, an empty list where nothing was found.

    The table of findings has a row a finding, so that an image may have several: they are one record's. The ten types
    are ``looked_for`` where every row of an image can be read; of an image without a row nothing is said.

    There is no pathology: BI-RADS is a reader's opinion and is never turned into one here. A study stands for a
    patient. A box of several categories gives a finding for each. Boxes are cut to the image (``height`` by
    ``width``). The official split is kept; validation is cut from training by study, stratified by the highest
    BI-RADS category of the study.

    Args:
        root: the downloaded folder: both tables, and ``images/<study_id>/<image_id>.dicom``.
        validation_fraction: share of the training studies, from 0 up to but not including 1.
        seed: of the validation cut.

    Raises:
        ValueError: for a missing table or column, or if no image is on disk.
    """
    root = Path(os.path.abspath(root))
    check_validation_fraction(validation_fraction)
    report = ImportReport("VinDr-Mammo")
    table = locate_table(root, BREASTS)
    rows, left_out = _read_breasts(table, report)
    if not rows:
        raise ValueError(
            f"{table}: none of its {len(left_out)} rows has an image; expected "
            "images/<study_id>/<image_id>.dicom beside it"
        )
    findings, unread = _read_findings(locate_table(root, FINDINGS), rows, left_out, report)
    headers = _read_headers(table.parent / "metadata.csv")
    sections: dict[str, list[Record]] = {"training": [], "test": []}
    for image_id, row in rows.items():
        record = _record(row, headers.get(image_id, {}), report)
        if image_id in findings:
            # A row that cannot be read may have told of any type.
            add_findings(record, findings[image_id], () if image_id in unread else CATEGORIES.values())
        sections[SECTIONS[row["split"]]].append(record)
    datalist = official_split_datalist(
        sections,
        _strata(sections["training"]),
        name="VinDr-Mammo",
        licence=LICENCE,
        root=root,
        validation_fraction=validation_fraction,
        seed=seed,
    )
    return datalist, report


def _read_breasts(table: Path, report: ImportReport) -> tuple[dict[str, _Row], set[str]]:
    """Usable rows by image, each with its ``image`` path and row ``number``; and the images left out."""
    rows: dict[str, _Row] = {}
    left_out: set[str] = set()
    frame = read_table(table, BREAST_COLUMNS)
    for number, row in numbered_rows(frame):
        image = _find_image(table.parent, row)
        problem = "" if image else "the image is not on disk"
        if row["laterality"] not in ("L", "R") or row["split"] not in SECTIONS:
            problem = f"unknown laterality or split: {row['laterality']!r} {row['split']!r}"
        elif row["image_id"] in rows:
            problem = "the image is listed twice"
        if problem:
            report.add("image", problem, table=BREASTS, row=number, item=row["image_id"])
            left_out.add(row["image_id"])
        else:
            rows[row["image_id"]] = {**row, "image": image, "number": str(number)}
    report.counts |= {"rows": len(frame), "images": len(rows)}
    return rows, left_out


def _find_image(folder: Path, row: _Row) -> str:
    places = (os.path.join(folder, "images", row["study_id"]), os.path.join(folder, row["study_id"]))
    paths = (os.path.join(place, row["image_id"] + suffix) for place in places for suffix in (".dicom", ".dcm"))
    return next((path for path in paths if os.path.isfile(path)), "")


def _strata(records: Iterable[Record]) -> dict[str, int]:
    worst: dict[str, int] = {}
    for record in records:
        worst[record["patient_id"]] = max(record.get("birads", -1), worst.get(record["patient_id"], -1))
    return worst


def _read_findings(
    table: Path, rows: Mapping[str, _Row], left_out: set[str], report: ImportReport
) -> tuple[dict[str, list[Finding]], set[str]]:
    """Findings of the images that have a readable row, and the images with a row that is not."""
    findings: dict[str, list[Finding]] = {}
    unread: set[str] = set()
    frame = read_table(table, FINDING_COLUMNS)
    for number, row in numbered_rows(frame):
        image = rows.get(row["image_id"])
        categories = _categories(row["finding_categories"])
        problem, box = "", None
        if image is None:
            # Images that were left out have been reported with their own row.
            problem = "" if row["image_id"] in left_out else "the image is in no row of the breast-level table"
        elif categories is None:
            problem = f"not a list of categories: {row['finding_categories']!r}"
        elif categories != [NO_FINDING]:
            box, problem = _box(row, image)
        if problem:
            report.add("roi", problem, table=FINDINGS, row=number, item=row["image_id"])
        if image is None:
            continue
        if categories is None:
            unread.add(row["image_id"])
            continue
        own = findings.setdefault(row["image_id"], [])
        for category in (c for c in categories if c != NO_FINDING):
            if category not in CATEGORIES:
                reason = f"unknown category, taken as other: {category!r}"
                report.add("roi", reason, table=FINDINGS, row=number, item=row["image_id"])
            own.append(_finding(str(len(own) + 1), category, box, row))
    report.counts["findings"] = sum(map(len, findings.values()))
    return findings, unread


def _categories(text: str) -> list[str] | None:
    """The items of a Python list that is written out; None for anything else."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    return value if value and isinstance(value, list) and all(isinstance(item, str) for item in value) else None


def _box(row: _Row, image: _Row) -> tuple[list[float] | None, str]:
    """Box inside the image, or the reason why there is none; a finding without any corner has no box."""
    if not any(row[name] for name in BOX):
        return None, ""
    try:
        row0, col0, row1, col1 = (float(row[name]) for name in BOX)
        height, width = float(image["height"]), float(image["width"])
    except ValueError:
        return None, f"a corner of the box or the size of the image is no number: {[row[name] for name in BOX]}"
    box = [max(row0, 0.0), max(col0, 0.0), min(row1, height), min(col1, width)]
    if not (box[0] < box[2] and box[1] < box[3]):
        return None, f"the box is empty or outside the image: {[row[name] for name in BOX]}"
    return box, ""


def _finding(identity: str, category: str, box: Sequence[float] | None, row: _Row) -> Finding:
    finding = Finding(
        id=identity,
        type=CATEGORIES.get(category, "other"),
        raw={name: row[name] for name in ("finding_categories", "finding_birads") if row[name]},
    )
    if box:
        finding["box"] = list(box)
    if birads := _BIRADS.fullmatch(row["finding_birads"]):
        finding["assessment"] = int(birads[1])
    return finding


def _read_headers(table: Path) -> dict[str, _Row]:
    if not table.is_file():
        return {}
    frame = read_table(table, HEADER_COLUMNS[:1], HEADER_COLUMNS[1:])
    return {row["SOP Instance UID"]: row for _, row in numbered_rows(frame)}


def _record(row: _Row, header: _Row, report: ImportReport) -> Record:
    record = Record(
        image=row["image"],
        patient_id=row["study_id"],
        image_id=row["image_id"],
        dataset="vindr_mammo",
        study_id=row["study_id"],
        laterality=row["laterality"],
        licence=LICENCE,
        raw={name: row[name] for name in ("breast_birads", "breast_density") if row[name]},
    )
    if row["view_position"]:
        record["view"] = row["view_position"].upper()
    birads, density = _BIRADS.fullmatch(row["breast_birads"]), _DENSITY.fullmatch(row["breast_density"])
    if birads:
        record["birads"] = int(birads[1])
    if density:
        record["density"] = density[1].upper()
    for name, match in (("breast_birads", birads), ("breast_density", density)):
        if row[name] and not match:
            report.add(
                "roi", f"unknown {name}: {row[name]!r}", table=BREASTS, row=int(row["number"]), item=row["image_id"]
            )
    _add_header(record, header)
    return record


def add_findings(record: Record, findings: Sequence[Finding], looked_for: Iterable[str]) -> None:
    """Set ``findings``, an empty list where there are none, the types ``looked_for``, and what follows from both."""
    record["findings"] = list(findings)
    if types := sorted(set(looked_for)):
        record["looked_for"] = types
    if boxes := [tuple(finding["box"]) for finding in findings if "box" in finding]:
        record["boxes"] = [list(box) for box in dict.fromkeys(boxes)]
    if len(kinds := {finding["type"] for finding in findings}) == 1:
        record["abnormality"] = kinds.pop()


def _add_header(record: Record, header: _Row) -> None:
    if manufacturer := header.get("Manufacturer"):
        record["manufacturer"] = manufacturer
    if model := header.get("Manufacturer's Model Name"):
        record["device"] = model
    # 0 stands for an age that was removed: no mammogram is of a newborn.
    if age := whole_number(header.get("Patient's Age", ""), 1, 130):
        record["age"] = age
