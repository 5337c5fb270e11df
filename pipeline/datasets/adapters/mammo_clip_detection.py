"""VinDr-Mammo from the table of findings that Mammo-CLIP (arXiv:2405.12255) classifies and detects with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ....transforms.errors import MammogramError
from ..import_report import ImportReport
from ..records import Datalist
from ..roi_masks import image_shape
from ..schema import Finding, Record
from .mammo_clip_files import image_stem, literal_list, locate_image, read_side
from .mammo_clip_tables import official_vindr, vindr_record
from .official_split import check_validation_fraction
from .table_columns import SPLIT_WORDS, clean_cell
from .tabular_files import locate_table, numbered_rows, read_table, whole_number
from .vindr_mammo import CATEGORIES, NO_FINDING, add_findings

__all__ = ["mammo_clip_detection"]

FINDING_TABLE = "vindr_detection_v1_folds.csv"
CORNERS = ("ymin", "xmin", "ymax", "xmax")
FINDING_COLUMNS = (
    *("patient_id", "image_id", "laterality", "view", "height", "width", "finding_categories", "split"),
    *CORNERS,
)
MORE_FINDING_COLUMNS = (
    *("breast_birads", "breast_density", "density", "finding_birads"),
    *(f"resized_{name}" for name in CORNERS),
)
SAME_FOR_AN_IMAGE = ("patient_id", "laterality", "view", "height", "width", "split")
PNG_SHAPE = (1520, 912)
"""Rows and columns of the published PNG files."""

_Row = Mapping[str, str]
_Numbered = tuple[int, _Row]


def mammo_clip_detection(
    root: str | Path,
    *,
    csv: str = FINDING_TABLE,
    img_dir: str = "images_png",
    resized_shape: Sequence[int] = PNG_SHAPE,
    validation_fraction: float = 0.2,
    seed: int = 0,
) -> tuple[Datalist, ImportReport]:
    """List VinDr-Mammo from the table of findings: one record per image, all findings of its rows together.

    The table has a row per finding, so that an image with a mass and an asymmetry would count as one with and one
    without a mass where rows are learnt from. ``looked_for`` tells all ten types. Boxes are those of the picture that
    is on disk: the original's where it has the table's ``height`` and ``width``, else the ``resized_`` ones where it
    has ``resized_shape``; at any other size the finding has no box. A patient is a study. The official split is kept;
    validation is cut from training by patient.

    Args:
        root: the folder of the table, or up to two above it.
        csv: name of the table.
        img_dir: folder of the images, ``<img_dir>/<patient_id>/<image_id>``.
        resized_shape: rows and columns that the ``resized_`` corners count in.
        validation_fraction: share of the training patients, from 0 up to but not including 1.
        seed: of the validation cut.

    Raises:
        ValueError: for a missing table or column, or if no image is on disk.
    """
    root = Path(os.path.abspath(root))
    check_validation_fraction(validation_fraction)
    rows_columns = tuple(resized_shape)
    if len(rows_columns) != 2 or min(rows_columns) < 1:
        raise ValueError(f"resized_shape must be rows and columns of the pictures, got {resized_shape!r}")
    report = ImportReport("VinDr-Mammo")
    table = locate_table(root, csv)
    rows = list(numbered_rows(read_table(table, FINDING_COLUMNS, MORE_FINDING_COLUMNS)))
    folders = [base / img_dir for base in (root, table.parent)]
    images: dict[str, list[_Numbered]] = {}
    for number, row in rows:
        images.setdefault(image_stem(row["image_id"]), []).append((number, row))
    records: dict[str, Record] = {}
    for image_id, own in images.items():
        number, first = own[0]
        path = locate_image(folders, first["patient_id"], first["image_id"])
        if problem := _unusable(own) or ("" if path else "the image is not on disk"):
            report.add("image", problem, table=table.name, row=number, item=image_id)
        else:
            records[image_id] = _located(own, path, rows_columns, table, report)
    report.counts["findings"] = sum(len(record["findings"]) for record in records.values())
    return official_vindr(records, table, len(rows), folders[0], root, validation_fraction, seed, report), report


def _unusable(own: Sequence[_Numbered]) -> str:
    first = own[0][1]
    for name in SAME_FOR_AN_IMAGE:
        if len(values := {row[name] for _, row in own}) > 1:
            return f"its rows do not agree on {name}: {', '.join(sorted(values))}"
    if read_side(first["laterality"]) and first["split"].lower() in SPLIT_WORDS:
        return ""
    return f"unknown laterality or split: {first['laterality']!r} {first['split']!r}"


def _located(
    own: Sequence[_Numbered], path: str, resized: tuple[int, ...], table: Path, report: ImportReport
) -> Record:
    """The record of an image from all its rows."""
    first = own[0][1]
    record = vindr_record(path, first["patient_id"], first["image_id"], read_side(first["laterality"]), first["split"])
    if first["view"]:
        record["view"] = first["view"].upper()
    shape = _shape(path) if any(row[name] for _, row in own for name in CORNERS) else None
    findings: list[Finding] = []
    looked_for = set(CATEGORIES.values())
    for number, row in own:
        try:
            names = _categories(row["finding_categories"])
        except ValueError as error:
            report.add("label", str(error), table=table.name, row=number, item=record["image_id"])
            looked_for.clear()  # the row may have told any of them
            continue
        box, no_box = _box(row, shape, resized) if names else (None, "")
        birads, no_birads = _read("birads", row.get("finding_birads", ""))
        for name in (name for name in names if name not in CATEGORIES):
            reason = f"unknown category, taken as other: {name!r}"
            report.add("label", reason, table=table.name, row=number, item=record["image_id"])
        for kind, reason in (("roi", no_box), ("label", no_birads)):
            if reason:
                report.add(kind, reason, table=table.name, row=number, item=record["image_id"])
        findings += [_finding(str(len(findings) + n), name, box, birads, row) for n, name in enumerate(names, 1)]
    add_findings(record, findings, looked_for)
    _add_reading(record, first, own[0][0], table, report)
    return record


def _categories(cell: str) -> list[str]:
    """The findings of a row, none for ``No Finding``."""
    names = literal_list(cell)
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"not a list of categories: {cell[:60]!r}")
    return [name for name in names if name != NO_FINDING]


def _shape(path: str) -> tuple[int, int] | None:
    """Rows and columns of a picture; None where its header cannot be read, which preparing it will tell."""
    try:
        return image_shape(path)
    except MammogramError:
        return None


def _box(row: _Row, shape: tuple[int, int] | None, resized: tuple[int, ...]) -> tuple[list[float] | None, str]:
    """Box in the picture's own pixels, cut to it, or the reason why there is none; no corners are no fault."""
    if not any(row[name] for name in CORNERS):
        return None, ""
    original = whole_number(row["height"], 1, 10**6), whole_number(row["width"], 1, 10**6)
    if shape is None or shape not in (original, resized):
        return None, (
            f"no box, the picture's size is not known to the table: {shape}, which is neither height and width, "
            f"{original}, nor resized_shape, {resized}"
        )
    cells = [row.get(name if shape == original else f"resized_{name}", "") for name in CORNERS]
    try:
        row0, col0, row1, col1 = map(float, cells)
    except ValueError:
        return None, f"no box, a corner is no number: {cells}"
    box = [max(row0, 0.0), max(col0, 0.0), min(row1, float(shape[0])), min(col1, float(shape[1]))]
    if not (box[0] < box[2] and box[1] < box[3]):
        return None, f"no box, it is empty, upside down or outside the picture: {cells}"
    return box, ""


def _finding(identity: str, name: str, box: list[float] | None, birads: Mapping[str, Any], row: _Row) -> Finding:
    finding = Finding(
        id=identity,
        type=CATEGORIES.get(name, "other"),
        raw={column: row[column] for column in ("finding_categories", "finding_birads") if row.get(column)},
    )
    if box:
        finding["box"] = list(box)
    if "birads" in birads:
        finding["assessment"] = birads["birads"]
    return finding


def _add_reading(record: Record, row: _Row, number: int, table: Path, report: ImportReport) -> None:
    """BI-RADS category and density of the breast; the column ``density`` counts from 0."""
    grade = whole_number(row.get("density", ""), 0, 3)
    density = row.get("breast_density", "") or ("" if grade is None else "ABCD"[grade])
    for field, text in (("birads", row.get("breast_birads", "")), ("density", density)):
        values, reason = _read(field, text)
        record.update(values)  # type: ignore[typeddict-item]
        if reason:
            report.add("label", reason, table=table.name, row=number, item=record["image_id"])


def _read(field: str, text: str) -> tuple[dict[str, Any], str]:
    """The value of a cell under its field, or the reason why there is none; an empty cell is no fault."""
    try:
        return (clean_cell(field, text) if text else {}), ""
    except ValueError as error:
        return {}, f"{field} not understood: {error}"
