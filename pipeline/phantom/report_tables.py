"""A phantom in the tables of Mammo-CLIP (arXiv:2405.12255), with PNG pictures: true layouts with a known answer."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

__all__ = ["write_report_tables"]

NAMES = {
    "images": "img_text_dicom_consolidated_final_folds_BIRADS_num_1_report.csv",
    "breasts": "clip_pretrain_100.csv",
    "vindr": "clip_vindr_final.csv",
    "detection": "vindr_detection_v1_folds.csv",
    "rsna": "train_folds.csv",
}
PICTURES = "images_png"
FINDINGS = {"mass": "Mass", "calcification": "Suspicious Calcification"}
TEN = (
    *("Mass", "Suspicious Calcification", "Architectural Distortion", "Global Asymmetry", "Focal Asymmetry"),
    *("Asymmetry", "Suspicious Lymph Node", "Nipple Retraction", "Skin Retraction", "Skin Thickening"),
)
SIDES = {"L": "left", "R": "right"}
PUBLISHED_SHAPE = (1520, 912)

Row = dict[str, Any]
Breasts = Mapping[tuple[str, str], Sequence[Row]]


def write_report_tables(
    folder: str | Path, out_dir: str | Path | None = None, *, png_shape: Sequence[int] | None = None, folds: int = 4
) -> dict[str, Path]:
    """Write a phantom's truth as the five tables that Mammo-CLIP reads, and its images as 8-bit PNG.

    ``FINDINGS`` of a breast are the sentences on both of its views, ``IMPRESSION`` says what there is and where; no
    text names the pathology. ``text_augment`` holds the texts in small letters: nothing is translated. What a phantom
    does not know (age, history, invasiveness) stays empty. Folds hold whole patients.

    Args:
        folder: as :func:`mammo.pipeline.phantom.generate` wrote it.
        out_dir: receives the tables and ``images_png/<patient_id>/<image_id>``; ``folder/mammo_clip`` by default.
        png_shape: rows and columns that pictures are stretched to; None leaves their size. ``resized_`` corners are in
            this shape, 1520 x 912 as published where it is None.
        folds: into which the patients are dealt, 2 or more.

    Returns:
        The path of each table, by the keys of :data:`NAMES`.

    Raises:
        ValueError: for fewer than two folds, or a folder without ``truth.csv``.
    """
    folder = Path(folder)
    if folds < 2:
        raise ValueError(f"folds is {folds}; give 2 or more")
    out = folder / "mammo_clip" if out_dir is None else Path(out_dir)
    truth = read_truth(folder)
    patients = {patient: number for number, patient in enumerate(sorted({row["patient_id"] for row in truth}))}
    for row in truth:
        row["name"] = f"{row['patient_id']}_{row['laterality']}_{row['view']}.png"
        row["fold"] = patients[row["patient_id"]] % folds
        _write_picture(folder / row["path"], out / PICTURES / row["patient_id"] / row["name"], png_shape)
    breasts = breasts_of(truth)
    resized = PUBLISHED_SHAPE if png_shape is None else tuple(png_shape)
    tables = {
        "images": _image_rows(breasts),
        "breasts": _breast_rows(breasts),
        "vindr": _vindr_rows(breasts),
        "detection": (_detection_row(row, resized) for row in truth),
        "rsna": rsna_rows(breasts),
    }
    return {key: write_rows(out / NAMES[key], list(rows)) for key, rows in tables.items()}


def read_truth(folder: Path) -> list[Row]:
    """The rows of a phantom's ``truth.csv``.

    Raises:
        ValueError: where there is none.
    """
    if not (folder / "truth.csv").is_file():
        raise ValueError(f"{folder / 'truth.csv'} not found; give a folder that `generate` wrote")
    with open(folder / "truth.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def breasts_of(truth: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """The rows of each breast, by patient and side."""
    breasts: dict[tuple[str, str], list[Row]] = {}
    for row in truth:
        breasts.setdefault((row["patient_id"], row["laterality"]), []).append(row)
    return breasts


def _write_picture(source: Path, target: Path, shape: Sequence[int] | None) -> None:
    from ...transforms.dicom import MammogramReader  # MONAI is slow to import, and workers would pay for it

    pixels = MammogramReader().read(source).pixels()
    if shape is not None:
        pixels = cv2.resize(pixels, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(target), np.rint(pixels * 255).astype(np.uint8)):
        raise OSError(f"{target} could not be written")


def write_rows(path: Path, rows: Sequence[Row]) -> Path:
    """Write rows as CSV, with the columns of the first."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _kind(breast: Sequence[Row]) -> str:
    """Abnormality of a breast; empty where there is none."""
    return next((str(row["abnormality"]) for row in breast if row["abnormality"]), "")


def _texts(breast: Sequence[Row]) -> list[str]:
    """Findings and impression."""
    side, kind = SIDES[breast[0]["laterality"]], _kind(breast)
    found = {"": "No finding", "mass": "Mass", "calcification": "Calcifications"}[kind]
    return [" ".join(row["report"] for row in breast), f"{found} in the {side} breast."]


def _image_rows(breasts: Breasts) -> Iterable[Row]:
    for breast in breasts.values():
        findings, impression = _texts(breast)
        for row in breast:
            yield {
                "patient_id": row["patient_id"],
                **dict.fromkeys(("GENDER", "AGE"), ""),
                "BIRADS_CATEGORY": row["assessment"],
                "HISTORY": "",
                "FINDINGS": findings,
                "IMPRESSION": impression,
                **dict.fromkeys(("ASSESMENT", "RECOMENDATION", "CONCLUSION"), ""),
                "image_id": row["name"],
                "fold": row["fold"],
                "view": row["view"],
                "laterality": row["laterality"],
                "img_size_row": row["rows"],
                "img_size_column": row["columns"],
                "BIRADS_numeric": row["assessment"],
            }


def _views(breast: Sequence[Row]) -> dict[str, list[str]]:
    return {view: [row["name"] for row in breast if row["view"] == view] for view in ("CC", "MLO")}


def _breast_rows(breasts: Breasts) -> Iterable[Row]:
    for (patient, side), breast in breasts.items():
        texts, views = _texts(breast), _views(breast)
        yield {
            "patient_id": patient,
            "laterality": side,
            "image": [row["name"] for row in breast],
            "view": [view for view, names in views.items() if names],
            **views,
            "text": texts,
            "findings": texts[0],
            "impressions": texts[1],
            "text_augment": [text.lower() for text in texts],
            "fold": breast[0]["fold"],
        }


def _vindr_rows(breasts: Breasts) -> Iterable[Row]:
    for (patient, side), breast in breasts.items():
        present = [FINDINGS[kind]] if (kind := _kind(breast)) else ["No Finding"]
        absent = [name for name in TEN if name not in present]
        # Right and left, present before absent; the other side's lists are empty.
        lists: list[list[str]] = [present, [], absent, []] if side == "R" else [[], present, [], absent]
        views = _views(breast)
        nothing: list[list[str]] = [[], [], [], []]
        told = {view: lists if names else nothing for view, names in views.items()}
        yield {
            "patient_id": patient,
            "laterality": side,
            "split": breast[0]["split"],
            "view": list(views),
            **views,
            **{f"{view}_FINDING": told[view] for view in views},
            "image": [row["name"] for row in breast],
            **{f"{view.lower()}_findings": present if names else [] for view, names in views.items()},
            "fold": breast[0]["fold"],
            "patient_id_laterality": f"{patient}_{side}",
        }


def _detection_row(row: Row, resized: tuple[int, ...]) -> Row:
    name = FINDINGS.get(row["abnormality"], "No Finding")
    corners = {"xmin": row["column0"], "ymin": row["row0"], "xmax": row["column1"], "ymax": row["row1"]}
    scales = {"x": resized[1] / int(row["columns"]), "y": resized[0] / int(row["rows"])}
    birads = f"BI-RADS {row['assessment']}" if row["assessment"] else ""
    return {
        "patient_id": row["patient_id"],
        "series_id": f"{row['patient_id']}_{row['laterality']}",
        "image_id": row["name"],
        "laterality": row["laterality"],
        "view": row["view"],
        "height": row["rows"],
        "width": row["columns"],
        "breast_birads": birads,
        "breast_density": f"DENSITY {row['density']}",
        "finding_categories": [name],
        "finding_birads": birads,
        **corners,
        "split": row["split"],
        **{f"resized_{key}": float(value) * scales[key[0]] if value else "" for key, value in corners.items()},
        "fold": row["fold"],
        **{other.replace(" ", "_"): int(other == name) for other in sorted((*TEN, "No Finding"))},
        "density": "ABCD".index(row["density"]),
    }


def rsna_rows(breasts: Breasts) -> Iterable[Row]:
    """RSNA's columns and Mammo-CLIP's ``fold`` of each image: cancer and biopsy are those of its breast."""
    for breast in breasts.values():
        pathology = next((row["pathology"] for row in breast if row["pathology"]), "")
        for row in breast:
            yield {
                "site_id": 1,
                "patient_id": row["patient_id"],
                "image_id": row["name"].removesuffix(".png"),
                "laterality": row["laterality"],
                "view": row["view"],
                "age": "",
                "cancer": int(pathology == "MALIGNANT"),
                # Benign without callback is what was never biopsied.
                "biopsy": int(pathology in ("MALIGNANT", "BENIGN")),
                "invasive": "",
                "BIRADS": "",
                "implant": 0,
                "density": row["density"],
                "machine_id": row["device"],
                "difficult_negative_case": False,
                "fold": row.get("fold", ""),
            }
