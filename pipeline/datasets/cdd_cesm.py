"""CDD-CESM (Khaled et al. 2021, doi 10.7937/29kw-ae92): contrast-enhanced mammograms with a pathology per
image.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping
from pathlib import Path

from .import_report import ImportReport
from .patient_split import patient_split_datalist
from .records import Datalist
from .schema import PATHOLOGIES, Record

__all__ = ["cdd_cesm"]

LICENCE = "CDD-CESM: attribution, treat as non-commercial"
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


def cdd_cesm(root: str | Path, *, seed: int = 0) -> tuple[Datalist, ImportReport]:
    """List CDD-CESM from a ``metadata.csv`` with one row an image and the images that it names.

    The free-text findings and tags stay raw. A BI-RADS text with several values (``4$3``) gives the highest.
    Patients are dealt 60/20/20, stratified by pathology.

    Args:
        root: folder of ``metadata.csv``.
        seed: of the split.

    Raises:
        ValueError: if the table, a column of it or all images are missing.
    """
    root = Path(os.path.abspath(root))
    table = root / "metadata.csv"
    if not table.is_file():
        raise ValueError(f"{table} not found; expected a table with the columns {', '.join(COLUMNS)}")
    with open(table, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{table}: the column {missing[0]!r} is missing; expected {', '.join(COLUMNS)}")
        rows = list(reader)
    report = ImportReport("CDD-CESM")
    records = []
    for number, row in enumerate(rows, start=1):
        problem = _problem(row, root)
        if problem:
            report.add("image", problem, table=table.name, row=number, item=row["image_name"])
        else:
            records.append(_record(row, root))
    report.counts |= {"rows": len(rows), "images": len(records)}
    if not records:
        raise ValueError(f"{table}: none of its {len(rows)} rows can be used; the first: {report.problems[:1]}")
    return patient_split_datalist(records, "CDD-CESM", LICENCE, root, seed), report


def _problem(row: Mapping[str, str], root: Path) -> str:
    if not (root / row["image"]).is_file():
        return "the image is not on disk"
    if row["laterality"] not in ("L", "R"):
        return f"unknown laterality: {row['laterality']!r}"
    if row["pathology"].upper() not in PATHOLOGIES:
        return f"unknown pathology: {row['pathology']!r}"
    return ""


def _record(row: Mapping[str, str], root: Path) -> Record:
    record = Record(
        image=str(root / row["image"]),
        patient_id=row["patient_id"],
        image_id=row["image_name"],
        dataset="cdd_cesm",
        laterality=row["laterality"],
        view=row["view"],
        pathology=row["pathology"].upper(),
        licence=LICENCE,
        raw={name: row[name] for name in ("type", "birads", "density_acr", "findings", "tags", "machine") if row[name]},
    )
    if row["density_acr"] in ("A", "B", "C", "D"):
        record["density"] = row["density_acr"]
    if categories := [int(digit) for digit in re.findall(r"[0-6]", row["birads"])]:
        record["birads"] = max(categories)
    if row["age"].isdecimal():
        record["age"] = int(row["age"])
    return record
