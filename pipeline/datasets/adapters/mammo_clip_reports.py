"""Mammograms with reports, in the two tables that Mammo-CLIP (arXiv:2405.12255) pretrains from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..import_report import ImportReport
from ..patient_split import patient_split_datalist
from ..records import Datalist
from ..schema import Record
from ..splits import patient_strata
from .mammo_clip_files import fold_datalist, image_stem, literal_list, locate_image, read_side
from .official_split import check_validation_fraction, official_split_datalist
from .table_columns import SPLIT_WORDS
from .tabular_files import column_names, locate_table, numbered_rows, read_table, whole_number

__all__ = ["mammo_clip_reports"]

LICENCE = "not stated"
IMAGE_TABLE = "img_text_dicom_consolidated_final_folds_BIRADS_num_1_report.csv"
BREAST_TABLE = "clip_pretrain_100.csv"
IMAGE_COLUMNS = ("patient_id", "laterality", "view", "image_id", "FINDINGS", "IMPRESSION")
MORE_IMAGE_COLUMNS = (
    *("GENDER", "AGE", "BIRADS_CATEGORY", "HISTORY", "ASSESMENT", "RECOMENDATION", "CONCLUSION"),
    *("img_size_row", "img_size_column", "BIRADS_numeric"),
)
"""Two names are spelled as in the published file."""
BREAST_COLUMNS = ("patient_id", "laterality", "CC", "MLO", "text")
MORE_BREAST_COLUMNS = ("image", "findings", "impressions", "text_augment")
SPLITTING = ("fold", "split")
VIEWS = ("CC", "MLO")

_Row = Mapping[str, str]


class _Listed(NamedTuple):
    """A record with its place in the table and its cells of :data:`SPLITTING`."""

    record: Record
    number: int
    fold: str
    split: str


def mammo_clip_reports(
    root: str | Path,
    *,
    csv: str | None = None,
    img_dir: str = "images_png",
    fold: int | None = 0,
    test_fold: int | None = None,
    leaking: str = "refuse",
    validation_fraction: float = 0.2,
    licence: str = LICENCE,
    seed: int = 0,
) -> tuple[Datalist, ImportReport]:
    """List mammograms with reports: one record per image, from either of the two published tables.

    The table of images has ``FINDINGS`` and ``IMPRESSION`` in each row. They become ``texts``, named in order by
    ``extra["sections"]``, and one ``report``; an empty cell gives none. The table of breasts has a row per patient and
    side, whose cells ``CC``, ``MLO``, ``text`` and ``text_augment`` are lists written in Python: each image gets
    ``texts`` and, where there are as many, their back-translations as ``augmented_texts``. Which of the two it is, its
    columns tell. Words are kept as they are; cleaning them is left to training. Other cells are in ``raw``.

    Sections come from ``fold``; in a table without it from ``split`` (training and test, validation cut by patient);
    without either patients are dealt 60/20/20.

    Args:
        root: the folder of the table, or up to two above it.
        csv: name of the table; one of the two published names by default.
        img_dir: folder of the images, ``<img_dir>/<patient_id>/<image_id>`` or ``<img_dir>/Patient_<patient_id>/...``.
        fold: the fold to validate on; the others are trained on. None deals the patients anew.
        test_fold: a fold kept for testing.
        leaking: ``"refuse"`` a table with patients in several folds, or ``"exclude"`` these patients.
        validation_fraction: share of the training patients to cut where ``split`` has no validation.
        licence: of the images, for each record.
        seed: of what is dealt or cut.

    Raises:
        ValueError: for a missing table or column, a leak, or if no image is on disk.
    """
    root = Path(os.path.abspath(root))
    check_validation_fraction(validation_fraction)
    report = ImportReport("image-report table")
    table = locate_table(root, *([csv] if csv else [BREAST_TABLE, IMAGE_TABLE]))
    present = column_names(table)
    by_image = "image_id" in present
    needed, more = (IMAGE_COLUMNS, MORE_IMAGE_COLUMNS) if by_image else (BREAST_COLUMNS, MORE_BREAST_COLUMNS)
    rows = list(numbered_rows(read_table(table, needed, (*more, *SPLITTING))))
    folders = [base / img_dir for base in (root, table.parent)]
    found = _of_images(rows, folders, table, report) if by_image else _of_breasts(rows, folders, table, report)
    listed = _unique(found, table, report)
    if not listed:
        raise ValueError(
            f"{table}: none of its {len(rows)} rows has an image; expected <patient_id>/<image_id> in {folders[0]}; "
            "name the folder with img_dir"
        )
    for one in listed:
        one.record["licence"] = licence
    report.counts |= {"rows": len(rows), "images": len(listed)}
    report.counts["images with a report"] = sum("report" in one.record for one in listed)
    columns = rows[0][1].keys()
    if "fold" in columns:
        folds = {one.record["image_id"]: one.fold for one in listed}
        datalist = fold_datalist(
            [one.record for one in listed],
            folds,
            name=report.dataset,
            licence=licence,
            root=root,
            fold=fold,
            test_fold=test_fold,
            leaking=leaking,
            seed=seed,
            report=report,
        )
    elif "split" in columns:
        datalist = _official(listed, report, table, root, licence, validation_fraction, seed)
    else:
        datalist = patient_split_datalist([one.record for one in listed], report.dataset, licence, root, seed)
    return datalist, report


def _official(
    listed: Sequence[_Listed], report: ImportReport, table: Path, root: Path, licence: str, fraction: float, seed: int
) -> Datalist:
    sections: dict[str, list[Record]] = {"training": [], "validation": [], "test": []}
    for one in listed:
        if (section := SPLIT_WORDS.get(one.split.lower())) is None:
            reason = f"unknown split: {one.split!r}"
            report.add("excluded", reason, table=table.name, row=one.number, item=one.record["image_id"])
        else:
            sections[section].append(one.record)
    return official_split_datalist(
        sections,
        patient_strata(sections["training"]),
        name=report.dataset,
        licence=licence,
        root=root,
        validation_fraction=fraction,
        seed=seed,
    )


def _unique(found: Iterator[_Listed], table: Path, report: ImportReport) -> list[_Listed]:
    listed: dict[str, _Listed] = {}
    for one in found:
        if one.record["image_id"] in listed:
            reason = f"the image is listed already, in row {listed[one.record['image_id']].number}"
            report.add("image", reason, table=table.name, row=one.number, item=one.record["image_id"])
        else:
            listed[one.record["image_id"]] = one
    return list(listed.values())


def _of_images(
    rows: Sequence[tuple[int, _Row]], folders: Sequence[Path], table: Path, report: ImportReport
) -> Iterator[_Listed]:
    for number, row in rows:
        side, path = read_side(row["laterality"]), locate_image(folders, row["patient_id"], row["image_id"])
        if problem := _unusable(row, side) or ("" if path else "the image is not on disk"):
            report.add("image", problem, table=table.name, row=number, item=row["image_id"])
            continue
        record = _record(row, path, row["image_id"], side)
        if row["view"]:
            record["view"] = row["view"].upper()
        parts = [name for name in ("FINDINGS", "IMPRESSION") if row[name]]
        parts = parts[:1] if row["FINDINGS"] == row["IMPRESSION"] else parts
        if parts:
            record["extra"] = {"sections": [name.lower() for name in parts]}
        else:
            report.add("label", "there is no report", table=table.name, row=number, item=row["image_id"])
        _add_texts(record, [row[name] for name in parts])
        if raw := {name: row[name] for name in MORE_IMAGE_COLUMNS if row.get(name)}:
            record["raw"] = raw
        if (age := whole_number(row.get("AGE", ""), 1, 130)) is not None:
            record["age"] = age
        if (birads := whole_number(row.get("BIRADS_numeric", ""), 0, 6)) is not None:
            record["birads"] = birads
        yield _Listed(record, number, row.get("fold", ""), row.get("split", ""))


def _of_breasts(
    rows: Sequence[tuple[int, _Row]], folders: Sequence[Path], table: Path, report: ImportReport
) -> Iterator[_Listed]:
    for number, row in rows:
        item, side = f"{row['patient_id']} {row['laterality']}", read_side(row["laterality"])
        problem, lists = _unusable(row, side), {}
        try:
            lists = {name: _texts(row.get(name, "")) for name in (*VIEWS, "image", "text", "text_augment")}
        except ValueError as error:
            problem = problem or str(error)
        if problem:
            report.add("image", problem, table=table.name, row=number, item=item)
            continue
        for image_id in lists["image"]:
            if image_id not in (*lists["CC"], *lists["MLO"]):
                reason = "the image is neither under CC nor under MLO"
                report.add("excluded", reason, table=table.name, row=number, item=image_id)
        texts, augmented = _told_texts(row, lists, number, table, report, item)
        for view, image_id in [(name, image_id) for name in VIEWS for image_id in lists[name]]:
            path = locate_image(folders, row["patient_id"], image_id)
            if not path:
                report.add("image", "the image is not on disk", table=table.name, row=number, item=image_id)
                continue
            record = _record(row, path, image_id, side)
            record["view"] = view
            _add_texts(record, texts, augmented)
            if raw := {name: row[name] for name in ("findings", "impressions") if row.get(name)}:
                record["raw"] = raw
            yield _Listed(record, number, row.get("fold", ""), row.get("split", ""))


def _told_texts(
    row: _Row, lists: Mapping[str, list[str]], number: int, table: Path, report: ImportReport, item: str
) -> tuple[list[str], list[str]]:
    """The texts that are not empty, and their back-translations where each has one."""
    texts, augmented = lists["text"], lists["text_augment"]
    if augmented and len(augmented) != len(texts):
        reason = f"text_augment has {len(augmented)} texts for {len(texts)}: they are not used"
        report.add("label", reason, table=table.name, row=number, item=item)
        augmented = []
    paired: dict[str, str] = {}
    for text, other in zip(texts, augmented or texts, strict=True):
        if text.strip():
            paired.setdefault(text, other)
    if not paired:
        report.add("label", "there is no report", table=table.name, row=number, item=item)
    whole = augmented and all(other.strip() for other in paired.values())
    return list(paired), list(paired.values()) if whole else []


def _unusable(row: _Row, side: str) -> str:
    if not row["patient_id"]:
        return "the patient is not given"
    return "" if side else f"unknown laterality: {row['laterality']!r}"


def _texts(cell: str) -> list[str]:
    items = literal_list(cell)
    if not all(isinstance(item, str) for item in items):
        raise ValueError(f"not a list of texts: {cell[:60]!r}")
    return items


def _record(row: _Row, path: str, image_id: str, side: str) -> Record:
    return Record(
        image=path,
        patient_id=row["patient_id"],
        # Archives name images anew for each patient.
        image_id=f"{row['patient_id']}/{image_stem(image_id)}",
        dataset="mammo_clip",
        laterality=side,
    )


def _add_texts(record: Record, texts: Sequence[str], augmented: Sequence[str] = ()) -> None:
    known: dict[str, Any] = {"texts": list(texts), "augmented_texts": list(augmented), "report": "\n".join(texts)}
    record.update({name: value for name, value in known.items() if value})  # type: ignore[typeddict-item]
