"""The embedded phantom (:mod:`mammo.pipeline.phantom`) from its truth: every image, unaffected breasts too."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..import_report import ImportReport
from ..records import Datalist
from ..schema import PATHOLOGIES, Finding, Record
from .cbis_ddsm import SYNTHETIC
from .cbis_tables import tokens
from .official_split import check_validation_fraction, official_split_datalist
from .tabular_files import locate_table, numbered_rows, read_table

__all__ = ["phantom_truth"]

TABLE = "truth.csv"
SECTIONS = ("training", "test")
TYPES = ("mass", "calcification")
BOX = ("row0", "column0", "row1", "column1")
WORDS = ("mass_shape", "mass_margins", "calc_type", "calc_distribution")
NUMBERS = ("size_mm", "contrast", "centre_row", "centre_column")
COLUMNS = (
    *("patient_id", "image_id", "path", "split", "laterality", "view", "pixel_mm", "density", "device"),
    *("abnormality", "pathology", "ambiguous", "report", "subtlety", "assessment", *BOX, *WORDS, *NUMBERS),
)

_Row = Mapping[str, str]


def phantom_truth(
    root: str | Path, *, validation_fraction: float = 0.2, seed: int = 0
) -> tuple[Datalist, ImportReport]:
    """List a folder written by :func:`mammo.pipeline.phantom.generate`: one record per image, with its report.

    Unlike the tables in CBIS-DDSM's form, ``truth.csv`` has the unaffected breasts: they are ``NORMAL`` and have no
    ``findings``. All masses and calcifications are told, so ``looked_for`` names both. The split is that of the
    phantom; validation is cut from training by patient, with each kind of lesion and pathology in both parts.

    Args:
        root: the folder of ``truth.csv``.
        validation_fraction: share of the training patients, from 0 up to but not including 1.
        seed: of the validation cut.

    Raises:
        ValueError: for a missing table or column, a value that a phantom never has, or if no image is on disk.
    """
    root = Path(os.path.abspath(root))
    check_validation_fraction(validation_fraction)
    report = ImportReport("phantom")
    table = locate_table(root, TABLE)
    rows = list(numbered_rows(read_table(table, COLUMNS)))
    sections: dict[str, list[Record]] = {section: [] for section in SECTIONS}
    for number, row in rows:
        path = table.parent / row["path"]
        if row["split"] not in SECTIONS:
            raise ValueError(f"{table}, row {number}: split is {row['split']!r}; generate the phantom again")
        if not path.is_file():
            report.add("image", "the image is not on disk", table=TABLE, row=number, item=row["image_id"])
            continue
        try:
            sections[row["split"]].append(_record(row, path))
        except ValueError as error:
            raise ValueError(f"{table}, row {number}: {error}; generate the phantom again") from error
    report.counts |= {"rows": len(rows), "images": sum(map(len, sections.values()))}
    if not report.counts["images"]:
        raise ValueError(f"{table}: none of its {len(rows)} rows has an image; keep it in the phantom's folder")
    datalist = official_split_datalist(
        sections,
        _strata(sections["training"]),
        name="phantom",
        licence=SYNTHETIC,
        root=root,
        validation_fraction=validation_fraction,
        seed=seed,
    )
    return datalist, report


def _strata(records: list[Record]) -> dict[str, int]:
    """A class for each kind of lesion and pathology of the affected breast."""
    strata: dict[str, int] = {}
    for record in records:
        severity = PATHOLOGIES.index(record["pathology"])
        own = severity * len(TYPES) + (TYPES.index(record["abnormality"]) if "abnormality" in record else 0)
        strata[record["patient_id"]] = max(own, strata.get(record["patient_id"], 0))
    return strata


def _record(row: _Row, path: Path) -> Record:
    spacing = float(row["pixel_mm"])
    record = Record(
        image=str(path),
        patient_id=row["patient_id"],
        image_id=row["image_id"],
        dataset="phantom",
        laterality=row["laterality"],
        view=row["view"],
        pathology=row["pathology"] or "NORMAL",
        label_provenance="synthetic",
        density=row["density"],
        device=row["device"],
        pixel_spacing_mm=[spacing, spacing],
        findings=[],
        looked_for=list(TYPES),
        report=row["report"],
        texts=[row["report"]],
        licence=SYNTHETIC,
    )
    if row["abnormality"]:
        finding = _finding(row)
        record |= Record(
            findings=[finding],
            boxes=[finding["box"]],
            abnormality=finding["type"],
            birads=finding["assessment"],
            subtlety=finding["subtlety"],
            extra={"ambiguous": row["ambiguous"] == "1", **{name: float(row[name]) for name in NUMBERS}},
        )
        if "margins" in finding:
            record["margins"] = finding["margins"]
    return record


def _finding(row: _Row) -> Finding:
    if row["abnormality"] not in TYPES:
        raise ValueError(f"abnormality is {row['abnormality']!r}, not {' or '.join(TYPES)}")
    finding = Finding(
        id="1",
        type=row["abnormality"],
        pathology=row["pathology"],
        assessment=int(row["assessment"]),
        subtlety=int(row["subtlety"]),
        box=[float(row[name]) for name in BOX],
        raw={name: row[name] for name in WORDS if row[name]},
    )
    if row["abnormality"] == "mass":
        finding |= Finding(shapes=tokens(row["mass_shape"]), margins=tokens(row["mass_margins"]))
    else:
        finding["calcification_types"] = tokens(row["calc_type"])
        finding["distributions"] = tokens(row["calc_distribution"])
    return finding
