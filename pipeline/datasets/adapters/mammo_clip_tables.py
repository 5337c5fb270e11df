"""Labels of breasts as Mammo-CLIP (arXiv:2405.12255) learns from them: VinDr-Mammo's findings and RSNA's folds."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from ..import_report import ImportReport
from ..records import Datalist
from ..schema import Finding, Record
from .mammo_clip_files import fold_datalist, image_stem, literal_list, locate_image, read_side
from .official_split import check_validation_fraction, official_split_datalist
from .rsna_2022 import COLUMNS, KNOWN_BAD, LABELS, rsna_records
from .rsna_2022 import LICENCE as RSNA_LICENCE
from .table_columns import SPLIT_WORDS
from .tabular_files import locate_table, numbered_rows, read_table
from .vindr_mammo import CATEGORIES, NO_FINDING, add_findings
from .vindr_mammo import LICENCE as VINDR_LICENCE

__all__ = ["mammo_clip_rsna", "mammo_clip_vindr", "official_vindr", "vindr_record"]

BREAST_TABLE = "clip_vindr_final.csv"
RSNA_TABLE = "train_folds.csv"
VIEWS = ("CC", "MLO")
BREAST_COLUMNS = ("patient_id", "laterality", "split", *VIEWS, *(f"{view}_FINDING" for view in VIEWS))

_Row = Mapping[str, str]


class _Told(NamedTuple):
    """What one cell of findings says of a breast: names that are there, and names that are not."""

    positives: list[str]
    negatives: list[str]


def mammo_clip_vindr(
    root: str | Path,
    *,
    csv: str = BREAST_TABLE,
    img_dir: str = "images_png",
    validation_fraction: float = 0.2,
    seed: int = 0,
) -> tuple[Datalist, ImportReport]:
    """List VinDr-Mammo from its image-label table: one record per image, with the findings of its view.

    A row is a breast; ``CC_FINDING`` and ``MLO_FINDING`` hold four lists: present in a right breast, present in a left
    one, absent in a right one, absent in a left one. ``looked_for`` tells the types of both kinds, so that those
    without a finding are known to be absent. The official split is kept; validation is cut from training by patient.

    Args:
        root: the folder of the table, or up to two above it.
        csv: name of the table.
        img_dir: folder of the images, ``<img_dir>/<patient_id>/<image_id>``.
        validation_fraction: share of the training patients, from 0 up to but not including 1.
        seed: of the validation cut.

    Raises:
        ValueError: for a missing table or column, if no image is on disk, or for findings that are texts inside lists,
            as the published notebook writes them.
    """
    root = Path(os.path.abspath(root))
    check_validation_fraction(validation_fraction)
    report = ImportReport("VinDr-Mammo")
    table = locate_table(root, csv)
    rows = list(numbered_rows(read_table(table, BREAST_COLUMNS)))
    folders = [base / img_dir for base in (root, table.parent)]
    records: dict[str, Record] = {}
    for (number, row), view in product(rows, VIEWS):
        side = read_side(row["laterality"])
        told = _told_of_view(row, view, side, table, number, report)
        for image_id, problem in _listed_images(row, view, side):
            path = locate_image(folders, row["patient_id"], image_id)
            problem = problem or ("" if path else "the image is not on disk")
            if image_stem(image_id) in records:
                problem = "the image is listed twice"
            if problem:
                report.add("image", problem, table=table.name, row=number, item=image_id)
            else:
                records[image_stem(image_id)] = _labelled(row, path, image_id, side, view, told)
    return official_vindr(records, table, len(rows), folders[0], root, validation_fraction, seed, report), report


def _listed_images(row: _Row, view: str, side: str) -> Iterator[tuple[str, str]]:
    """Names of the images of a view, each with what is wrong with its row."""
    try:
        names = literal_list(row[view])
    except ValueError as error:
        yield row["patient_id"], f"{view}: {error}"
        return
    wrong = "" if side and row["split"].lower() in SPLIT_WORDS else "unknown laterality or split"
    for name in names:
        yield str(name), f"{wrong}: {row['laterality']!r} {row['split']!r}" if wrong else ""


def _told_of_view(row: _Row, view: str, side: str, table: Path, number: int, report: ImportReport) -> _Told | None:
    """What is said of a breast's view; None where nothing is, or nothing that can be understood."""
    column = f"{view}_FINDING"
    try:
        parts = literal_list(row[column])
    except ValueError as error:
        report.add("label", f"{column}: {error}", table=table.name, row=number, item=row["patient_id"])
        return None
    inside = [part for part in parts if isinstance(part, str)]
    items = (item for part in parts if isinstance(part, list) for item in part)
    inside += [item for item in items if isinstance(item, str) and item.startswith("[")]
    if inside:
        raise ValueError(
            f"{table}, row {number}: {column} holds the text {inside[0]!r} where a list of findings belongs (the "
            "published notebook writes lists as texts, and calls all findings absent then); make the column anew with "
            "ast.literal_eval around each text and the absent ones from its result, or list the images with "
            "mammo_clip_detection"
        )
    told, problem = _own_side(parts, side)
    if problem:
        report.add("label", f"{column}: {problem}", table=table.name, row=number, item=row["patient_id"])
    return told


def _own_side(parts: Sequence[Any], side: str) -> tuple[_Told | None, str]:
    """Present and absent findings of the breast's own side, or None and the reason."""
    if not parts or not side:
        return None, ""
    if len(parts) != 4 or not all(isinstance(part, list) and all(isinstance(n, str) for n in part) for part in parts):
        return None, "expected four lists: present right, present left, absent right, absent left"
    own = 0 if side == "R" else 1
    told, other = _Told(parts[own], parts[own + 2]), [*parts[1 - own], *parts[3 - own]]
    unknown = [name for part in parts for name in part if name not in CATEGORIES and name != NO_FINDING]
    both = [name for name in told.positives if name in told.negatives]
    if unknown:
        return None, f"unknown finding: {unknown[0]!r}"
    if other:
        return None, f"a finding of the other side: {other[0]!r}"
    if both or (NO_FINDING in told.positives and len(set(told.positives)) > 1):
        return None, f"present and absent at once: {(both or told.positives)[0]!r}"
    return (told if told.positives or told.negatives else None), ""


def _labelled(row: _Row, path: str, image_id: str, side: str, view: str, told: _Told | None) -> Record:
    record = vindr_record(path, row["patient_id"], image_id, side, row["split"])
    record["view"] = view
    if told is not None:
        present = [name for name in dict.fromkeys(told.positives) if name != NO_FINDING]
        add_findings(
            record,
            [Finding(id=str(n), type=CATEGORIES[name], raw={"finding": name}) for n, name in enumerate(present, 1)],
            [CATEGORIES[name] for name in (*present, *told.negatives) if name != NO_FINDING],
        )
    return record


def vindr_record(path: str, patient: str, image_id: str, side: str, split: str) -> Record:
    """What every table of VinDr-Mammo tells of an image; a study stands for a patient."""
    return Record(
        image=path,
        patient_id=patient,
        image_id=image_stem(image_id),
        dataset="vindr_mammo",
        study_id=patient,
        laterality=side,
        split=SPLIT_WORDS[split.lower()],
        licence=VINDR_LICENCE,
    )


def official_vindr(
    records: Mapping[str, Record],
    table: Path,
    rows: int,
    folder: Path,
    root: Path,
    validation_fraction: float,
    seed: int,
    report: ImportReport,
) -> Datalist:
    """The official split; patients with and without a finding are in both parts of the training.

    Args:
        records: by image, each with its ``split``.
        table: the file, for the error and the counts.
        rows: of the table.
        folder: where images were looked for.
        root: of the paths.
        validation_fraction: share of the training patients to cut.
        seed: of the cut.
        report: gets the counts.

    Raises:
        ValueError: without records.
    """
    if not records:
        raise ValueError(
            f"{table}: none of its {rows} rows has an image; expected <patient_id>/<image_id> in {folder}; name the "
            "folder with img_dir"
        )
    report.counts |= {"rows": rows, "images": len(records)}
    sections: dict[str, list[Record]] = {"training": [], "validation": [], "test": []}
    strata: dict[str, int] = {}
    for record in records.values():
        sections[record["split"]].append(record)
        patient = record["patient_id"]
        strata[patient] = max(strata.get(patient, 0), int(bool(record.get("findings"))))
    return official_split_datalist(
        sections,
        strata,
        name="VinDr-Mammo",
        licence=VINDR_LICENCE,
        root=root,
        validation_fraction=validation_fraction,
        seed=seed,
    )


def mammo_clip_rsna(
    root: str | Path,
    *,
    csv: str = RSNA_TABLE,
    img_dir: str = "train_images_png",
    fold: int | None = 0,
    test_fold: int | None = 3,
    leaking: str = "refuse",
    known_bad: str = "keep",
    seed: int = 0,
) -> tuple[Datalist, ImportReport]:
    """List RSNA's training images from Mammo-CLIP's table with folds.

    Records are those of :func:`~mammo.pipeline.datasets.adapters.rsna_2022.rsna_2022`: cancer is of the breast, of
    which ``patient_id`` and ``laterality`` are the key. By default folds 1 and 2 are trained on and fold 0 validated
    on, as published, and fold 3, which was left unused, is the test.

    Args:
        root: the folder of the table, or up to two above it.
        csv: name of the table.
        img_dir: folder of the images beside the table, ``<img_dir>/<patient_id>/<image_id>.png`` or ``.dcm``.
        fold: the fold to validate on; None deals the patients anew.
        test_fold: the fold to test on; None leaves no test section, and the fold to training.
        leaking: ``"refuse"`` a table with patients in several folds, or ``"exclude"`` these patients.
        known_bad: ``"keep"`` or ``"exclude"`` images that participants found wrong.
        seed: of what is dealt.

    Raises:
        ValueError: for a missing table or column, a leak, or if no image is on disk.
    """
    root = Path(os.path.abspath(root))
    if known_bad not in KNOWN_BAD:
        raise ValueError(f"known_bad must be {' or '.join(KNOWN_BAD)}, got {known_bad!r}")
    report = ImportReport("RSNA 2022")
    table = locate_table(root, csv)
    frame = read_table(table, (*COLUMNS, *LABELS, "fold"))
    records = rsna_records(frame, table, img_dir, known_bad, report)
    if not records:
        raise ValueError(
            f"{table}: none of its {len(frame)} rows has an image; expected <patient_id>/<image_id>.png in "
            f"{table.parent / img_dir}; name the folder with img_dir"
        )
    datalist = fold_datalist(
        records,
        dict(zip(frame["image_id"], frame["fold"], strict=True)),
        name="RSNA 2022",
        licence=RSNA_LICENCE,
        root=root,
        fold=fold,
        test_fold=test_fold,
        leaking=leaking,
        seed=seed,
        report=report,
    )
    return datalist, report
