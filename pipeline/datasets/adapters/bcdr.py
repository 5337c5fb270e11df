"""BCDR (Lopez et al. 2012), the Breast Cancer Digital Repository: film and digital mammograms with outlined lesions
and biopsy results.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from ..import_report import ImportReport
from ..patient_split import patient_split_datalist
from ..records import Datalist
from ..schema import PATHOLOGIES, Finding, Record
from .folder_files import list_files
from .outlines import clip_outline, picture_shape
from .tabular_files import column_names, numbered_rows, read_table, whole_number

__all__ = ["bcdr"]

LICENCE = "BCDR: free after registration, research use only"
IMAGE_COLUMNS = ("patient_id", "study_id", "image_filename", "image_type_name", "image_type_id", "age", "density")
OUTLINE_COLUMNS = (
    "patient_id",
    "study_id",
    "lesion_id",
    "segmentation_id",
    "image_view",
    "image_filename",
    "lw_x_points",
    "lw_y_points",
    "age",
    "density",
    "classification",
)
DENSITY = {"1": "A", "2": "B", "3": "C", "4": "D"}
CLASSIFICATIONS = {"benign": "BENIGN", "malign": "MALIGNANT", "malignant": "MALIGNANT"}
VIEWS = {"RCC": ("R", "CC"), "LCC": ("L", "CC"), "RO": ("R", "MLO"), "LO": ("L", "MLO")}
VIEW_CODES = tuple(VIEWS)
"""``image_view`` counts them from 1, ``image_type_id`` from 0."""
TYPES = {
    "mammography_nodule": "mass",
    "mammography_calcification": "calcification",
    "mammography_microcalcification": "calcification",
    "mammography_architectural_distortion": "architectural_distortion",
    "mammography_axillary_adenopathy": "lymph_node",
    "mammography_stroma_distortion": "other",
}
"""Kind of a lesion by the columns that are 1; the first one where several are."""

_TABLE = re.compile(r"bcdr_([fd]n?\d+)_(img|outlines|features)\.csv", re.IGNORECASE)


@dataclass
class _Image:
    """What the tables say of one image.

    ``table`` and ``number`` are where it is listed first; ``row`` is that of the image table, ``outlines`` are the
    numbers and values of those of the other table.
    """

    path: Path
    table: str
    number: int
    row: Mapping[str, str] = field(default_factory=dict)
    outlines: list[tuple[int, Mapping[str, str]]] = field(default_factory=list)

    @property
    def values(self) -> Mapping[str, str]:
        """Patient, study, age and density: from the image table, else from the outlines."""
        return self.row or self.outlines[0][1]


def bcdr(root: str | Path, *, seed: int = 0) -> tuple[Datalist, ImportReport]:
    """List all sub-datasets of BCDR at or below a folder: F01 to F03 (film), D01 and D02 (digital), FN01 and DN01
    (normal).

    Each is a folder with ``bcdr_f01_img.csv``, ``bcdr_f01_outlines.csv`` or both (F03 has no image table, the normal
    ones no outlines). Each outline is a finding; its pathology comes from biopsy. An image is of the worst pathology of
    its lesions, if that is certain. Images of the normal sub-datasets are NORMAL on the word of the readers; images
    without outline elsewhere are of unknown pathology. The files of computed features are not read.

    Patient numbers are taken to be the same in all sub-datasets (F03 repeats films of F01), so a patient is in one part
    of the split. Patients are dealt 60/20/20, stratified by pathology.

    Args:
        root: the folder of one sub-dataset, or a folder above several.
        seed: of the split.

    Raises:
        ValueError: if there is no table, a column is missing, or all images are.
    """
    root = Path(os.path.abspath(root))
    report = ImportReport("BCDR")
    tables = _find_tables(root, report)
    records = []
    for subset in sorted({subset for subset, _ in tables}):
        images = _read_subset(subset, tables, report)
        for image in images.values():
            if image.path.is_file():
                records.append(_record(subset, image, report))
            else:
                reason, item = "the image is not on disk", str(image.path)
                report.add("image", reason, table=image.table, row=image.number, item=item)
        report.counts[f"images listed in {subset}"] = len(images)
    if not records:
        raise ValueError(
            f"{root}: none of the images that its tables list is on disk; expected them beside the tables, such as "
            "BCDR-D01_dataset/patient_<n>/study_<n>/img_<n>_<n>_1_RCC.tif"
        )
    names = {record["image_id"].partition("_")[2] for record in records}
    report.counts |= {"images": len(records), "images in more than one sub-dataset": len(records) - len(names)}
    return patient_split_datalist(records, "BCDR", LICENCE, root, seed), report


def _find_tables(root: Path, report: ImportReport) -> dict[tuple[str, str], Path]:
    """Tables by sub-dataset (``F01``) and kind (``img``, ``outlines``), the shallowest copy of each."""
    tables: dict[tuple[str, str], Path] = {}
    for path in list_files(root):
        if not (match := _TABLE.fullmatch(path.name)):
            continue
        key = match[1].upper(), match[2].lower()
        if key[1] == "features":
            report.add("file", "computed features are not read", item=str(path))
        elif key in tables:
            report.add("file", f"a copy of a table: {tables[key]} is taken", item=str(path))
        else:
            tables[key] = path
    if not tables:
        raise ValueError(
            f"{root}: bcdr_<name>_img.csv and bcdr_<name>_outlines.csv not found here or below; <name> is that of a "
            "sub-dataset: f01, f02, f03, d01, d02, fn01 or dn01"
        )
    return tables


def _read_subset(subset: str, tables: Mapping[tuple[str, str], Path], report: ImportReport) -> dict[str, _Image]:
    """Images of both tables by their file name in the table."""
    images: dict[str, _Image] = {}
    if table := tables.get((subset, "img")):
        for number, row in _read_rows(table, IMAGE_COLUMNS, report):
            name = _file_name(row)
            if name in images:
                report.add("image", "the image is listed twice", table=table.name, row=number, item=name)
            images.setdefault(name, _Image(table.parent / name, table.name, number, row))
    if table := tables.get((subset, "outlines")):
        for number, row in _read_rows(table, OUTLINE_COLUMNS, report):
            name = _file_name(row)
            image = images.setdefault(name, _Image(table.parent / name, table.name, number))
            image.outlines.append((number, row))
    elif not _is_normal(subset):
        report.add("file", f"bcdr_{subset.lower()}_outlines.csv not found: its images come without lesions")
    return images


def _read_rows(table: Path, columns: Sequence[str], report: ImportReport) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Rows of a table by their number."""
    frame = read_table(table, columns, column_names(table))
    report.counts[f"rows of {table.name}"] = len(frame)
    return numbered_rows(frame)


def _is_normal(subset: str) -> bool:
    return "N" in subset


def _file_name(row: Mapping[str, str]) -> str:
    return str(PurePosixPath(row["image_filename"].replace("\\", "/")))


def _record(subset: str, image: _Image, report: ImportReport) -> Record:
    values = image.values
    record = Record(
        image=str(image.path),
        patient_id=f"BCDR{values['patient_id']}",
        study_id=f"BCDR{values['patient_id']}_{values['study_id']}",
        image_id=f"{subset}_{image.path.stem}",
        dataset="bcdr",
        licence=LICENCE,
        raw={"subset": subset} | {name: value for name, value in image.row.items() if value},
    )
    view, doubt = _view(image)
    if doubt:
        report.add("label", doubt, table=image.table, row=image.number, item=record["image_id"])
    if view:
        record["laterality"], record["view"] = view
    if (age := whole_number(values["age"], 0, 130)) is not None:
        record["age"] = age
    if density := DENSITY.get(values["density"]):
        record["density"] = density
    elif values["density"]:
        doubt = f"unknown density: {values['density']!r}"
        report.add("label", doubt, table=image.table, row=image.number, item=record["image_id"])
    if _is_normal(subset):
        record["pathology"], record["label_provenance"] = "NORMAL", "reader"
    if image.outlines:
        _add_findings(record, image, subset, report)
    return record


def _view(image: _Image) -> tuple[tuple[str, str] | None, str]:
    """Side and view by name, else by number; None where unknown, with what is doubtful."""
    names = [image.row.get("image_type_name", "").upper(), image.path.stem.rpartition("_")[2].upper()]
    told = {VIEWS[name] for name in names if name in VIEWS}
    if len(told) > 1:
        return None, f"table and file name disagree on the view: {names[0]} and {names[1]}"
    if told:
        return told.pop(), ""
    numbers = [(outline["image_view"], 1) for _, outline in image.outlines] + [(image.row.get("image_type_id", ""), 0)]
    for text, first in numbers:
        if text.isdecimal() and 0 <= int(text) - first < len(VIEW_CODES):
            return VIEWS[VIEW_CODES[int(text) - first]], ""
    return None, f"unknown view: {names[0] or names[1]!r}"


def _add_findings(record: Record, image: _Image, subset: str, report: ImportReport) -> None:
    shape = picture_shape(image.path)
    if shape is None:
        report.add("roi", "unreadable header: outlines are not clipped to the image", item=record["image_id"])
    findings = []
    for number, row in image.outlines:
        finding, problems = _finding(row, shape)
        findings.append(finding)
        for kind, problem in problems:
            table = f"bcdr_{subset.lower()}_outlines.csv"
            report.add(kind, problem, table=table, row=number, item=record["image_id"])
    record["findings"] = findings
    if boxes := [finding["box"] for finding in findings if "box" in finding]:
        record["boxes"] = boxes
    known = [finding for finding in findings if "pathology" in finding]
    worst = max(known, key=lambda finding: PATHOLOGIES.index(finding["pathology"]), default=findings[0])
    if "type" in worst:
        record["abnormality"] = worst["type"]
    # A lesion of unknown pathology could be worse than the others, unless one of them is malignant.
    if len(known) == len(findings) or worst.get("pathology") == "MALIGNANT":
        record["pathology"], record["label_provenance"] = worst["pathology"], "biopsy"


def _finding(row: Mapping[str, str], shape: tuple[int, int] | None) -> tuple[Finding, list[tuple[str, str]]]:
    """One outline, and kind and reason of what could not be used."""
    points = ("lw_x_points", "lw_y_points", "image_filename")
    finding = Finding(raw={name: value for name, value in row.items() if value and name not in points})
    problems: list[tuple[str, str]] = []
    if identity := "-".join(part for part in (row["lesion_id"], row["segmentation_id"]) if part):
        finding["id"] = identity
    kind = next((kind for column, kind in TYPES.items() if row.get(column) == "1"), None)
    if kind:
        finding["type"] = kind
    if pathology := CLASSIFICATIONS.get(row["classification"].lower()):
        finding["pathology"] = pathology
    else:
        problems.append(("label", f"unknown classification: {row['classification']!r}"))
    try:
        outline = clip_outline(_points(row), shape)
    except ValueError as error:
        return finding, [*problems, ("roi", f"unreadable outline: {error}")]
    if outline is None:
        problems.append(("roi", "the outline lies outside the image"))
    else:
        finding["polygon"], finding["box"] = outline
    return finding, problems


def _points(row: Mapping[str, str]) -> Sequence[tuple[float, float]]:
    """Row and column of the outline's points, written as two texts of numbers between blanks."""
    columns, rows = ([float(text) for text in row[name].split()] for name in ("lw_x_points", "lw_y_points"))
    if len(columns) != len(rows) or len(rows) < 3 or not np.isfinite([*columns, *rows]).all():
        raise ValueError(f"expected as many x as y, three or more; got {len(columns)} and {len(rows)}")
    return list(zip(rows, columns, strict=True))
