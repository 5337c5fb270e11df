"""EMBED open data (Jeong et al. 2023, doi 10.1148/ryai.220047): 480323 images of 22382 patients, findings per
breast.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ..import_report import ImportReport
from ..patient_split import patient_split_datalist
from ..records import Datalist
from ..schema import Finding, Record
from .embed_breasts import Breast, read_breasts
from .embed_paths import locate_images
from .tabular_files import locate_table, numbered_rows, read_table

__all__ = ["embed"]

LICENCE = "EMBED data use agreement: research only, no redistribution"
METADATA = ("EMBED_OpenData_metadata.csv", "EMBED_OpenData_metadata_reduced.csv")
CLINICAL = ("EMBED_OpenData_clinical.csv", "EMBED_OpenData_clinical_reduced.csv")
COLUMNS = (
    "empi_anon",
    "acc_anon",
    "anon_dicom_path",
    "ImageLateralityFinal",
    "ViewPosition",
    "FinalImageType",
    "spot_mag",
)
OPTIONAL = (
    "ROI_coords",
    "match_level",
    "Rows",
    "Columns",
    "Manufacturer",
    "ManufacturerModelName",
    "BreastImplantPresent",
    "study_date_anon",
    "cohort_num",
)
SPOT = "spot"
"""What ``image_types`` calls spot compression and magnification views (``spot_mag`` 1)."""

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def embed(
    root: str | Path, *, image_types: str | Sequence[str] = ("2D",), seed: int = 0
) -> tuple[Datalist, ImportReport]:
    """List EMBED: one record per image, with the clinical findings of its breast.

    Clinical rows are put to images by exam and side (a row of side B or without one to both breasts), never by exam
    alone; see :func:`~mammo.pipeline.datasets.adapters.embed_breasts.read_breasts` for how BI-RADS and pathology come
    about. Where nothing was biopsied there is no pathology. Regions (``ROI_coords``, rows first) are findings of their
    own, since the tables do not tie them to clinical rows. Patients are dealt 60/20/20, stratified by pathology.

    Args:
        root: folder with the tables (in it or up to two folders below) and the images; ``anon_dicom_path`` is
            followed from the first of its parts that lies in ``root`` or a folder of it (``cohort_1``).
        image_types: which images to take, a list or a text with commas: values of ``FinalImageType`` (``2D``,
            ``cview``), and ``spot`` for spot and magnification views too.
        seed: of the split.

    Returns:
        The datalist, and a report with each image that was left out or is not on disk.

    Raises:
        ValueError: for a missing table or column, an unknown image type, or if no image is on disk.
    """
    root = Path(os.path.abspath(root))
    report = ImportReport("EMBED")
    table = locate_table(root, *METADATA)
    frame = read_table(table, COLUMNS, OPTIONAL)
    report.counts["rows of the metadata"] = len(frame)
    breasts = read_breasts(locate_table(root, *CLINICAL), report)
    frame = _take_types(frame, image_types, table, report)
    frame = _take_present(frame, root, table, report)
    frame["image_id"] = _image_ids(frame)
    records = [
        _record(row, number, breasts.get((row["acc_anon"], row["ImageLateralityFinal"])), table, report)
        for number, row in numbered_rows(frame)
    ]
    report.counts |= {"images": len(records), "with pathology": sum("pathology" in record for record in records)}
    return patient_split_datalist(records, "EMBED", LICENCE, root, seed), report


def _take_types(
    frame: pd.DataFrame, image_types: str | Sequence[str], table: Path, report: ImportReport
) -> pd.DataFrame:
    """Rows of the image types asked for; the others are reported."""
    listed = image_types.split(",") if isinstance(image_types, str) else image_types
    asked = [str(name).strip().lower() for name in listed]
    kinds = frame["FinalImageType"].str.lower()
    present = sorted(set(frame["FinalImageType"]) - {""})
    unknown = [name for name in asked if name != SPOT and name not in set(kinds)]
    if unknown or not set(asked) - {SPOT}:
        raise ValueError(
            f"image_types {', '.join(listed)!r} names no image of {table}; give some of {', '.join(present)}, "
            f"and {SPOT} to have spot and magnification views too"
        )
    spot = frame["spot_mag"].isin(("1", "1.0")) & (SPOT not in asked)
    other = ~kinds.isin(asked)
    reasons = pd.Series("FinalImageType is not asked for: " + frame["FinalImageType"], index=frame.index)
    reasons = reasons.mask(spot, "a spot or magnification view")
    _report_rows("excluded", reasons[other | spot], frame, table, report)
    return frame[~(other | spot)]


def _take_present(frame: pd.DataFrame, root: Path, table: Path, report: ImportReport) -> pd.DataFrame:
    """Rows whose file is on disk, with its path in ``image``; the others are reported."""
    paths = pd.Series(locate_images(list(frame["anon_dicom_path"]), root), index=frame.index, dtype=object)
    problems = pd.Series("", index=frame.index).mask(paths == "", "the image is not on disk")
    problems = problems.mask((paths != "") & paths.duplicated(), "the image is listed twice")
    _report_rows("image", problems[problems != ""], frame, table, report)
    if (paths == "").all():
        first = frame["anon_dicom_path"].iloc[0] if len(frame) else "no row is left"
        raise ValueError(
            f"none of the {len(frame)} images of {table} is under {root}; expected the last parts of anon_dicom_path "
            f"(the first is {first}), such as {root / 'images' / 'cohort_1'}/<empi_anon>/..."
        )
    return frame.assign(image=paths)[problems == ""]


def _report_rows(kind: str, reasons: pd.Series, frame: pd.DataFrame, table: Path, report: ImportReport) -> None:
    items = frame["anon_dicom_path"].loc[reasons.index]
    for number, reason, item in zip(reasons.index, reasons, items, strict=True):
        report.add(kind, reason, table=table.name, row=number, item=item)


def _image_ids(frame: pd.DataFrame) -> pd.Series:
    """The SOP Instance UID, which is the file's name; with exam and row where names repeat."""
    stems = frame["image"].map(lambda path: os.path.splitext(os.path.basename(path))[0])
    ids = stems.mask(stems.duplicated(keep=False), frame["acc_anon"] + "_" + stems)
    return ids.mask(ids.duplicated(keep=False), ids + "_" + frame.index.astype(str))


def _record(row: Mapping[str, str], number: int, breast: Breast | None, table: Path, report: ImportReport) -> Record:
    record = Record(
        image=row["image"],
        patient_id=row["empi_anon"],
        image_id=row["image_id"],
        dataset="embed",
        study_id=row["acc_anon"],
        licence=LICENCE,
        extra={"image_type": row["FinalImageType"]},
    )
    if row["ImageLateralityFinal"] in ("L", "R"):
        record["laterality"] = row["ImageLateralityFinal"]
    if row["ViewPosition"]:
        record["view"] = row["ViewPosition"].upper()
    if row.get("Manufacturer"):
        record["manufacturer"] = row["Manufacturer"]
    if row.get("ManufacturerModelName"):
        record["device"] = row["ManufacturerModelName"]
    if (implant := row.get("BreastImplantPresent", "").upper()) in ("YES", "NO"):
        record["implant"] = implant == "YES"
    for column, name in (("study_date_anon", "study_date"), ("cohort_num", "cohort")):
        if row.get(column):
            record["extra"][name] = row[column]
    if breast:
        breast.label(record)
    regions = _regions(row, number, table, report)
    if regions:
        record["findings"] = [*record.get("findings", ()), *regions]
        record["boxes"] = [finding["box"] for finding in regions]
    return record


def _regions(row: Mapping[str, str], number: int, table: Path, report: ImportReport) -> list[Finding]:
    """Findings of ``ROI_coords``: nested lists of ymin, xmin, ymax, xmax, cut to the image where its size is told."""
    edges = [float(text) for text in _NUMBER.findall(row.get("ROI_coords", ""))]
    levels = _NUMBER.findall(row.get("match_level", ""))
    size = [float(row[name]) if row.get(name, "").isdecimal() else float("inf") for name in ("Rows", "Columns")]
    regions: list[Finding] = []
    for start in range(0, len(edges), 4):
        box = [max(edge, 0.0) for edge in edges[start : start + 4]]
        box[2:] = [min(edge, limit) for edge, limit in zip(box[2:], size, strict=False)]
        if len(box) == 4 and box[0] < box[2] and box[1] < box[3]:
            region = Finding(id=f"roi {len(regions) + 1}", box=box)
            if len(levels) * 4 == len(edges):
                region["raw"] = {"match_level": levels[start // 4]}
            regions.append(region)
        else:
            reason = f"the region is empty, outside the image or not four numbers: {edges[start : start + 4]}"
            report.add("roi", reason, table=table.name, row=number, item=row["image_id"])
    return regions
