"""CDD-CESM (Khaled et al. 2022, doi 10.7937/29kw-ae92): contrast-enhanced mammograms with a pathology per
image.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..import_report import ImportReport
from ..patient_split import patient_split_datalist
from ..records import Datalist
from ..schema import PATHOLOGIES, Finding, Record
from .cbis_files import find_files
from .cdd_cesm_regions import read_regions
from .cdd_cesm_sheets import read_findings
from .tabular_files import numbered_rows, read_table, whole_number

__all__ = ["cdd_cesm"]

LICENCE = "CDD-CESM: attribution, treat as non-commercial"
IMAGES = ("all", "low_energy", "subtracted")
COLUMNS = (
    "image",
    "image_name",
    "patient_id",
    "laterality",
    "view",
    "type",
    "age",
    "density_acr",
    "birads",
    "findings",
    "tags",
    "machine",
    "pathology",
)
WORKBOOK = "Radiology-manual-annotations.xlsx"
WORKBOOK_COLUMNS = {
    "Image_name": "image_name",
    "Patient_ID": "patient_id",
    "Side": "laterality",
    "View": "view",
    "Type": "type",
    "Age": "age",
    "Breast density (ACR)": "density_acr",
    "BIRADS": "birads",
    "Findings": "findings",
    "Tags": "tags",
    "Machine": "machine",
    "Pathology Classification/ Follow up": "pathology",
}
"""Columns of the workbook's first sheet, and what the metadata table calls them."""

_WORKBOOK_NAME = re.compile(r"radiology[ _-]manual[ _-]annotations\.(?:xlsx|csv)", re.IGNORECASE)

_Rows = list[tuple[int, dict[str, str]]]


def cdd_cesm(root: str | Path, *, images: str = "all", seed: int = 0) -> tuple[Datalist, ImportReport]:
    """List CDD-CESM as published by TCIA, or from a ``metadata.csv`` with one row an image.

    The download holds ``Radiology-manual-annotations.xlsx`` and the folders "Low energy images of CDD-CESM" and
    "Subtracted images of CDD-CESM" with files such as ``P12_L_CM_MLO.jpg`` (DM: low energy, like a usual mammogram;
    CM: subtracted, showing contrast). Images are found by name in any folder. Sheets of the workbook give findings,
    ``Radiology_hand_drawn_segmentations_v2.csv``, where it is there, their outlines. ``metadata.csv`` is taken
    first; it has no findings but names its images.

    A malignant image was biopsied; a benign or normal one may also rest on follow-up (``label_provenance``
    outcome). A BI-RADS text with several values (``4$3``) gives the highest. Free text stays raw. The breast's
    density is told with the low-energy image and holds for both. Patients are dealt 60/20/20, stratified by
    pathology.

    Args:
        root: folder of ``metadata.csv`` or of the workbook.
        images: ``"all"``, ``"low_energy"`` or ``"subtracted"``.
        seed: of the split.

    Raises:
        ValueError: if the table, a column of it or all images are missing.
    """
    root = Path(os.path.abspath(root))
    if images not in IMAGES:
        raise ValueError(f"images must be {', '.join(IMAGES)}, got {images!r}")
    report = ImportReport("CDD-CESM")
    table = root / "metadata.csv"
    findings: dict[str, list[Finding]] = {}
    if table.is_file():
        rows = list(numbered_rows(read_table(table, COLUMNS)))
    else:
        table = _locate_workbook(root)
        rows, findings = _read_workbook(table, root, report)
    records: list[Record] = []
    seen: dict[str, int] = {}
    for number, row in rows:
        kind, name = _image_type(row), row["image_name"]
        asked = images in ("all", kind)
        problem = _problem(row, root) if asked else f"not among the images asked for: {kind}"
        if name in seen:
            problem = f"the image is listed twice: first in row {seen[name]}"
        seen.setdefault(name, number)
        if problem:
            report.add("image" if asked else "excluded", problem, table=table.name, row=number, item=name)
        else:
            records.append(_record(row, root, kind, findings.get(name, [])))
    report.counts |= {"rows": len(rows), "images": len(records)}
    if not records:
        raise ValueError(f"{table}: none of its {len(rows)} rows can be used; the first: {report.problems[:1]}")
    return patient_split_datalist(records, "CDD-CESM", LICENCE, root, seed), report


def _locate_workbook(root: Path) -> Path:
    found = [path for level in ("*", "*/*") for path in sorted(root.glob(level)) if _WORKBOOK_NAME.fullmatch(path.name)]
    if not found:
        raise ValueError(
            f"{root / 'metadata.csv'} not found, nor {WORKBOOK} in {root} or a folder of it; expected the download "
            f"of TCIA, or a table with the columns {', '.join(COLUMNS)}"
        )
    return found[0]


def _read_workbook(table: Path, root: Path, report: ImportReport) -> tuple[_Rows, dict[str, list[Finding]]]:
    """Rows of the first sheet under the names of the metadata table, and the findings of the other sheets."""
    frame = read_table(table, tuple(WORKBOOK_COLUMNS)).rename(columns=WORKBOOK_COLUMNS)
    rows = list(numbered_rows(frame))
    # Some names end in a blank, in the workbook as on disk.
    files = {Path(path).stem.strip(): path for path in sorted(find_files(root)[0])}
    densities: dict[tuple[str, ...], str] = {}
    for _, row in rows:
        row["patient_id"] = "P" + row["patient_id"].removeprefix("P")
        row["image"] = files.get(row["image_name"], row["image_name"] + ".jpg")
        if row["density_acr"] != "_":
            densities[row["patient_id"], row["laterality"], row["view"]] = row["density_acr"]
    for _, row in rows:
        row["density_acr"] = densities.get((row["patient_id"], row["laterality"], row["view"]), row["density_acr"])
    findings = defaultdict(list, read_findings(table, report))
    for name, regions in read_regions(root, report).items():
        findings[name] += regions
    return rows, findings


def _image_type(row: Mapping[str, str]) -> str:
    return "low_energy" if row["type"].upper().startswith("DM") or "_DM_" in row["image_name"] else "subtracted"


def _problem(row: Mapping[str, str], root: Path) -> str:
    if not (root / row["image"]).is_file():
        return "the image is not on disk"
    if row["laterality"] not in ("L", "R"):
        return f"unknown laterality: {row['laterality']!r}"
    if row["pathology"].upper() not in PATHOLOGIES:
        return f"unknown pathology: {row['pathology']!r}"
    return ""


def _record(row: Mapping[str, str], root: Path, kind: str, findings: Sequence[Finding]) -> Record:
    pathology = row["pathology"].upper()
    record = Record(
        image=str(root / row["image"]),
        patient_id=row["patient_id"],
        image_id=row["image_name"],
        dataset="cdd_cesm",
        laterality=row["laterality"],
        view=row["view"],
        pathology=pathology,
        label_provenance="biopsy" if pathology == "MALIGNANT" else "outcome",
        licence=LICENCE,
        raw={name: row[name] for name in ("type", "birads", "density_acr", "findings", "tags", "machine") if row[name]},
        extra={"image_type": kind},
    )
    if row["density_acr"] in ("A", "B", "C", "D"):
        record["density"] = row["density_acr"]
    if categories := [int(digit) for digit in re.findall(r"[0-6]", row["birads"])]:
        record["birads"] = max(categories)
    if (age := whole_number(row["age"], 0, 130)) is not None:
        record["age"] = age
    if row["machine"]:
        record["device"] = f"machine {row['machine']}"
    if findings:
        record["findings"] = list(findings)
        if boxes := [finding["box"] for finding in findings if "box" in finding]:
            record["boxes"] = boxes
        types = {finding["type"] for finding in findings if "type" in finding} - {"other"}
        if len(types) == 1:
            record["abnormality"] = types.pop()
    return record
