"""A dataset of one's own: a table with one row an image, or a plain folder of images."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any, cast

from ..import_report import ImportReport
from ..patient_split import patient_split_datalist
from ..records import Datalist
from ..schema import SECTIONS, Record
from ..splits import patient_strata
from .dicom_headers import read_headers
from .official_split import check_validation_fraction, official_split_datalist
from .table_columns import Values, clean_cell, map_columns
from .table_images import find_images, folder_patients, is_dicom
from .tabular_files import column_names, numbered_rows, read_table

__all__ = ["table"]

LICENCE = "not stated"
NEGATIVES = ("NORMAL", "BENIGN")
FROM_HEADER = {
    "patient_id": "patient_id",
    "laterality": "laterality",
    "view": "view",
    "study_id": "study_id",
    "manufacturer": "manufacturer",
    "device": "manufacturer_model",
    "pixel_spacing_mm": "pixel_spacing_mm",
}
"""Fields that a DICOM header fills where the table is silent."""


def table(
    root: str | Path,
    *,
    csv: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    negative: str | None = None,
    values: Mapping[str, str] | None = None,
    name: str | None = None,
    licence: str = LICENCE,
    validation_fraction: float = 0.2,
    seed: int = 0,
    workers: int = 8,
) -> tuple[Datalist, ImportReport]:
    """List a table of images, or a plain folder of them.

    With ``csv``, columns are matched to the fields of a record by name, whatever their case and punctuation
    (``Patient ID`` is ``patient_id``), or as ``columns`` says; the others are not read. Values are cleaned: ``LEFT``
    is ``L``, ``RCC`` is R and CC, ``4a`` is BI-RADS 4, ``3`` is density C, ``cancer`` is ``MALIGNANT``. A row without
    a usable image or patient is left out, a value that cannot be understood is absent; the report numbers both. A
    ``split`` column is kept, and validation cut from training where it has none; else patients are dealt 60/20/20.

    Without ``csv``, all images at or below ``root`` are listed, without labels. Each folder of ``root`` (or of the one
    folder in it that holds all) is a patient. For an image in none of them, and in a table without a patient column,
    the Patient ID of the DICOM header tells; where it does not, the image counts as a patient of its own, which the
    report says: two images of one woman may then fall into training and test.
    Headers also fill side, view, study, device and pixel spacing that the table does not give.

    Args:
        root: folder that the paths of the table are relative to (its own folder is tried next).
        csv: the table, a CSV file or workbook.
        columns: column of a field, such as ``{"patient_id": "PatID"}``.
        negative: what 0, no and negative mean in the pathology column, ``"NORMAL"`` or ``"BENIGN"``; None leaves such
            rows, and those of 1 and yes, without pathology.
        values: own words of the pathology column, such as ``{"bösartig": "MALIGNANT", "gutartig": "BENIGN"}``.
        name: of the dataset; by default that of the folder.
        licence: of the images, for each record.
        validation_fraction: share of the training patients, at least 0 and below 1, if ``split`` has no validation.
        seed: of the split.
        workers: headers read at a time.

    Raises:
        ValueError: for a missing file or column, an unknown field, folders of classes or splits, or without images.
    """
    root = Path(os.path.abspath(root))
    if negative is not None and negative not in NEGATIVES:
        raise ValueError(f"negative must be {' or '.join(NEGATIVES)}, got {negative!r}")
    check_validation_fraction(validation_fraction)
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder")
    dataset = name or root.name or "table"
    report = ImportReport(dataset)
    if csv is None:
        if columns:
            raise ValueError("columns name columns of a table; give the table with csv")
        records = _list_folder(root, report)
    else:
        words = {word.strip().casefold(): meant for word, meant in (values or {}).items()}
        records = _list_table(root, Path(csv), columns or {}, partial(_clean, negative=negative, words=words), report)
    _complete(records, report, workers)
    for record in records:
        record["dataset"], record["licence"] = dataset, record.get("licence", licence)
    report.counts["images"] = len(records)
    return _split(records, dataset, licence, root, validation_fraction, seed), report


def _split(
    records: Sequence[Record], name: str, licence: str, root: Path, validation_fraction: float, seed: int
) -> Datalist:
    """By the records' own ``split``, or where they have none, by patient."""
    if not any("split" in record for record in records):
        return patient_split_datalist(records, name, licence, root, seed)
    sections = {section: [record for record in records if record["split"] == section] for section in SECTIONS}
    return official_split_datalist(
        sections,
        patient_strata(sections["training"]),
        name=name,
        licence=licence,
        root=root,
        validation_fraction=validation_fraction,
        seed=seed,
    )


def _list_folder(root: Path, report: ImportReport) -> list[Record]:
    paths, others = find_images(root)
    if not paths:
        raise ValueError(f"{root}: images not found here or below (DICOM, PNG, TIFF, PGM, JPEG, NIfTI)")
    for path in others:
        report.add("file", "not an image; a table is read if it is given with csv", item=os.path.relpath(path, root))
    patients = folder_patients(paths)
    records = []
    for path in paths:
        record = cast(Record, {"image": path, "image_id": Path(os.path.relpath(path, root)).as_posix()})
        if path in patients:
            record["patient_id"] = patients[path]
        records.append(record)
    return records


def _list_table(
    root: Path, given: Path, columns: Mapping[str, str], clean: Callable[[str, str], Values], report: ImportReport
) -> list[Record]:
    path = next((p for p in (root / given, Path(os.path.abspath(given))) if p.is_file()), None)
    if path is None:
        raise ValueError(f"the table {given} was not found, neither in {root} nor from where the command runs")
    present = column_names(path)
    mapped = map_columns(columns, present, path)
    spare = ", ".join(column for column in present if column not in mapped.values())
    if spare:
        report.add("column", f"not used ({spare}); --columns FIELD=COLUMN uses one", table=path.name, item=spare)
    rows = list(numbered_rows(read_table(path, list(mapped.values()))))
    records: dict[str, Record] = {}
    numbers: dict[str, int] = {}
    for number, row in rows:
        cells = {field: row[column] for field, column in mapped.items()}
        record, problems = _record(cells, (root, path.parent), clean)
        identity = record["image_id"]
        problem = _unusable(cells, record)
        if identity in records:
            problem = f"the image is listed already, in row {numbers[identity]}"
        for text in [problem] if problem else problems:
            kind = "image" if problem else "roi" if text.startswith("the mask") else "label"
            report.add(kind, text, table=path.name, row=number, item=cells["image"])
        if not problem:
            records[identity], numbers[identity] = record, number
    report.counts["rows"] = len(rows)
    if not records:
        first = report.unresolved[0]["reason"] if report.unresolved else "it has no row"
        raise ValueError(f"{path}: none of its {len(rows)} rows can be used; the first: {first} (looked in {root})")
    return list(records.values())


def _find_image(text: str, folders: Iterable[Path]) -> str:
    """Path of an image as a table writes it, perhaps with the separators of Windows."""
    spellings = dict.fromkeys((text, text.replace("\\", "/"))) if text else ()
    paths = (os.path.normpath(folder / spelling) for folder in folders for spelling in spellings)
    return next((path for path in paths if os.path.isfile(path)), "")


def _clean(field: str, text: str, negative: str | None, words: Mapping[str, str]) -> Values:
    """Values of a cell, of which a pathology may be in words of the table's own."""
    own = words.get(text.strip().casefold()) if field == "pathology" else None
    return clean_cell(field, own or text, negative)


def _record(
    cells: Mapping[str, str], folders: Sequence[Path], clean: Callable[[str, str], Values]
) -> tuple[Record, list[str]]:
    """What a row says, and what of it could not be understood. Cells that cleaning changed are kept in ``raw``."""
    image = _find_image(cells["image"], folders)
    known: dict[str, Any] = {"image": image}
    raw, problems = {}, []
    for field, text in cells.items():
        if not text or field == "image":
            continue
        try:
            values = clean(field, text)
        except ValueError as error:
            problems.append(f"{field} not understood: {error}")
            values = {}
        for key, value in values.items():
            if known.setdefault(key, value) != value:
                problems.append(f"{key} is told twice: {known[key]!r} and {value!r}")
        if text not in values.values():
            raw[field] = text
    if masks := known.pop("roi_masks", []):
        found = [_find_image(mask, folders) for mask in masks]
        problems += [f"the mask is not on disk: {mask}" for mask, path in zip(masks, found, strict=True) if not path]
        known["roi_masks"] = [path for path in found if path]
    inside = os.path.relpath(image, folders[0]) if image else cells["image"]
    known.setdefault("image_id", Path(inside).as_posix())
    return cast(Record, known | ({"raw": raw} if raw else {})), problems


def _unusable(cells: Mapping[str, str], record: Record) -> str:
    if not record["image"]:
        return f"the image is not on disk: {cells['image']!r}" if cells["image"] else "the image is not given"
    missing = [field for field in ("patient_id", "split") if field in cells and field not in record]
    if missing:
        return f"{missing[0]} is missing or not understood: {cells[missing[0]]!r}"
    return ""


def _complete(records: Sequence[Record], report: ImportReport, workers: int) -> None:
    """Fill what DICOM headers tell, and give each image a patient."""
    needed = [record for record in records if is_dicom(record["image"])]  # a whole table may still split one woman
    headers = read_headers([record["image"] for record in needed], workers)
    patients: dict[str, set[str]] = defaultdict(set)
    for record, header in zip(needed, headers, strict=True):
        if isinstance(header, str):
            report.add("file", f"unusable header: {header}", item=record["image_id"])
            continue
        told: dict[str, Any] = {field: header[key] for field, key in FROM_HEADER.items() if header[key] is not None}
        record.update({field: value for field, value in told.items() if field not in record})  # type: ignore[typeddict-item]
        if header["patient_id"]:
            patients[header["patient_id"]].add(record["patient_id"])
    for identity, folders in patients.items():
        if len(folders) > 1:
            names = shorten(", ".join(sorted(folders)), 80, placeholder=" ...")
            reason = f"one Patient ID of the headers is taken as several patients: {names}"
            report.add("file", reason, item=identity)
    alone = [record for record in records if "patient_id" not in record]
    for record in alone:
        record["patient_id"] = record["image_id"]
        reason = "no folder, column or header tells the patient: the image counts as a patient of its own"
        report.add("file", reason, item=record["image_id"])
    report.counts["patients"] = len({record["patient_id"] for record in records})
