"""A phantom as VinDr-Mammo and RSNA 2022 are downloaded: their folders, file names and columns, with a known answer."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from .report_tables import FINDINGS, Breasts, Row, breasts_of, read_truth, rsna_rows, write_rows

__all__ = ["write_rsna_layout", "write_vindr_layout"]


def write_vindr_layout(folder: str | Path, out_dir: str | Path) -> Path:
    """Write a phantom as VinDr-Mammo: both tables, and ``images/<study_id>/<image_id>.dicom``.

    ``finding_annotations.csv`` has a row a finding, and one without corners for an image without any. A breast without
    a lesion is BI-RADS 1.

    Args:
        folder: as :func:`mammo.pipeline.phantom.generate` wrote it.
        out_dir: receives the tables and the images.

    Returns:
        ``out_dir``.

    Raises:
        ValueError: for a folder without ``truth.csv``.
    """
    folder, out = Path(folder), Path(out_dir)
    breasts = breasts_of(read_truth(folder))
    rows: list[Row] = []
    for breast in breasts.values():
        worst = max((int(row["assessment"]) for row in breast if row["assessment"]), default=1)
        for row in breast:
            row["name"] = f"{row['patient_id']}{row['laterality']}{row['view']}"
            _copy(folder / row["path"], out / "images" / row["patient_id"] / f"{row['name']}.dicom")
            rows.append(row | {"breast_birads": f"BI-RADS {worst}"})
    write_rows(out / "breast-level_annotations.csv", [_vindr_image(row) | {"split": row["split"]} for row in rows])
    write_rows(out / "finding_annotations.csv", [_vindr_finding(row) for row in rows])
    return out


def write_rsna_layout(folder: str | Path, out_dir: str | Path) -> Path:
    """Write a phantom as RSNA 2022: ``train.csv``, and ``train_images/<patient_id>/<image_id>.dcm``.

    Patients and images have numbers; cancer is that of the breast, and there is no split.

    Args:
        folder: as :func:`mammo.pipeline.phantom.generate` wrote it.
        out_dir: receives the table and the images.

    Returns:
        ``out_dir``.

    Raises:
        ValueError: for a folder without ``truth.csv``.
    """
    folder, out = Path(folder), Path(out_dir)
    truth = read_truth(folder)
    patients = {patient: str(10000 + n) for n, patient in enumerate(sorted({row["patient_id"] for row in truth}))}
    for number, row in enumerate(truth):
        row |= {"patient_id": patients[row["patient_id"]], "name": str(100_000_000 + 7919 * number)}
        _copy(folder / row["path"], out / "train_images" / row["patient_id"] / f"{row['name']}.dcm")
    write_rows(out / "train.csv", list(_without_folds(breasts_of(truth))))
    return out


def _without_folds(breasts: Breasts) -> Iterable[Row]:
    return ({name: value for name, value in row.items() if name != "fold"} for row in rsna_rows(breasts))


def _vindr_image(row: Row) -> Row:
    return {
        "study_id": row["patient_id"],
        "series_id": f"{row['patient_id']}_series",
        "image_id": row["name"],
        "laterality": row["laterality"],
        "view_position": row["view"],
        "height": row["rows"],
        "width": row["columns"],
        "breast_birads": row["breast_birads"],
        "breast_density": f"DENSITY {row['density']}",
    }


def _vindr_finding(row: Row) -> Row:
    name = FINDINGS.get(row["abnormality"], "No Finding")
    corners = {"xmin": row["column0"], "ymin": row["row0"], "xmax": row["column1"], "ymax": row["row1"]}
    birads = f"BI-RADS {row['assessment']}" if row["assessment"] else ""
    return {
        **_vindr_image(row),
        "finding_categories": [name],
        "finding_birads": birads,
        **corners,
        "split": row["split"],
    }


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
