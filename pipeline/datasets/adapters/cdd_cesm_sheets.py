"""Findings in the sheets of the CDD-CESM workbook: each sheet lists the images that show one kind of finding."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from ..import_report import ImportReport
from ..schema import Finding
from .tabular_files import numbered_rows, read_table, whole_number

__all__ = ["read_findings"]

SHEETS = {
    "mass_description": "mass",
    "distortion": "architectural_distortion",
    "asymmetry": "asymmetry",
    "calcifications": "calcification",
    "mass enhancement_description": "mass",
    "nonmass enhancement_description": "other",
    "postoperative": "other",
    "postneoajuvant chemotherapy": "other",
}
"""Kind of finding of each sheet; enhancement without a mass and changes after treatment have no word of ours."""

DETAILS = ("Single/Multiple", "Mass density/enhancement pattern", "Mass shape", "Mass margin", "Findings")
SHAPES = {"ROUND": "ROUND", "ROUNDED": "ROUND", "OVAL": "OVAL", "IRREGULAR": "IRREGULAR"}
MARGINS = {
    "CIRCUMSCRIBED": "CIRCUMSCRIBED",
    "OBSCURED": "OBSCURED",
    "MICROLOBULATED": "MICROLOBULATED",
    "INDISTINCT": "ILL_DEFINED",
    "SPECULATED": "SPICULATED",  # the workbook's spelling
    "SPICULATED": "SPICULATED",
    "IRREGULAR": "IRREGULAR",
}


def read_findings(workbook: Path, report: ImportReport) -> dict[str, list[Finding]]:
    """Findings by image name. A CSV copy holds the first sheet only, and gives none.

    Raises:
        ValueError: for a workbook without one of the sheets, or a sheet without ``Image_name``.
    """
    findings: dict[str, list[Finding]] = defaultdict(list)
    if workbook.suffix.lower() == ".csv":
        report.add("roi", "only the workbook (.xlsx) has the sheets with findings", table=workbook.name)
        return findings
    for sheet, kind in SHEETS.items():
        seen: set[str] = set()
        for number, row in numbered_rows(read_table(workbook, ("Image_name",), ("BIRADS", *DETAILS), sheet=sheet)):
            name = row["Image_name"]
            if name in seen:
                report.add("roi", "the image is listed twice in one sheet", table=sheet, row=number, item=name)
                continue
            seen.add(name)
            findings[name].append(_finding(str(len(findings[name]) + 1), sheet, kind, row))
    return findings


def _finding(identity: str, sheet: str, kind: str, row: dict[str, str]) -> Finding:
    raw = {name: row[name] for name in (*DETAILS, "BIRADS") if row.get(name, "_") not in ("", "_")}
    finding = Finding(id=identity, type=kind, raw={"sheet": sheet, **raw})
    # Several findings of an image share a cell such as 4$3, which does not say whose is which.
    if (assessment := whole_number(row.get("BIRADS", ""), 0, 6)) is not None:
        finding["assessment"] = assessment
    if shapes := _words(row.get("Mass shape", ""), SHAPES):
        finding["shapes"] = shapes
    if margins := _words(row.get("Mass margin", ""), MARGINS):
        finding["margins"] = margins
    return finding


def _words(text: str, words: dict[str, str]) -> list[str]:
    return sorted({words[word] for word in re.findall("[A-Z]+", text.upper()) if word in words})
