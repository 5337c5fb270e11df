"""CBIS-DDSM (Sawyer-Lee et al. 2016, doi 10.7937/K9/TCIA.2016.7O02S9CY): scanned film, pathology proven,
lesion masks.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..import_report import ImportReport
from ..records import Datalist
from ..schema import PATHOLOGIES, Record
from ..splits import patient_strata, split_patients
from .cbis_files import FileIndex, ImageFile, find_files, index_files, read_shapes
from .cbis_rois import RoiFiles, assign_rois, needs_shapes
from .cbis_tables import TABLES, CaseRow, ImageName, read_case_tables

__all__ = ["cbis_ddsm"]

LICENCE = "CC BY 3.0"
SYNTHETIC = "synthetic (the mammo phantom): no patient's data, Apache-2.0"
SPLITS = ("official-clean", "official")
PROVENANCE = {"MALIGNANT": "biopsy", "BENIGN": "biopsy", "BENIGN_WITHOUT_CALLBACK": "workup"}
DENSITY = {"1": "A", "2": "B", "3": "C", "4": "D"}


def cbis_ddsm(
    root: str | Path,
    *,
    dicom_list: str | Path | None = None,
    split: str = "official-clean",
    validation_fraction: float = 0.2,
    seed: int = 0,
    workers: int = 8,
) -> tuple[Datalist, ImportReport]:
    """List a download of CBIS-DDSM: one record per mammogram, its abnormalities in ``findings``.

    All layouts in use are read: NBIA's descriptive and classic folders, folders of UIDs, and Kaggle's JPEG
    copy. Files are matched to the tables' rows by Patient ID and series UID, through one index. Mammograms
    on disk that no table lists (of a patient that the tables do list) come without pathology, for
    pretraining.

    The official split has 31 patients in both parts, with masses in one and calcifications in the other. The
    test part must stay whole for results to be comparable, so ``"official-clean"`` leaves the training
    images of these patients out; ``"official"`` keeps them and declares the leak. Validation patients are
    cut from training, stratified by pathology. A film with masses and calcifications is stored by CBIS-DDSM
    as two images; both are kept.

    Args:
        root: folder with the four tables (in itself or below) and, unless ``dicom_list`` says otherwise, the
            images.
        dicom_list: text file with the path of one image file a line, absolute or relative to ``root``.
        split: ``"official-clean"`` or ``"official"``.
        validation_fraction: share of the training patients, from 0 up to but not including 1.
        seed: of the validation cut.
        workers: files read at a time.

    Returns:
        The datalist, and a report with every row whose image or mask was not found.

    Raises:
        ValueError: for a missing or outdated table, or if no row's image is found.
    """
    root = Path(os.path.abspath(root))
    if split not in SPLITS:
        raise ValueError(f"split must be {' or '.join(SPLITS)}, got {split!r}")
    if not 0 <= validation_fraction < 1:
        raise ValueError(f"validation_fraction must be at least 0 and below 1, got {validation_fraction}")
    report = ImportReport("CBIS-DDSM")
    paths, csv_files = find_files(root)
    rows = read_case_tables(_locate_tables(root, csv_files), report)
    if dicom_list is not None:
        paths = _read_dicom_list(Path(dicom_list), root, report)
    series = {reference.series_uid for row in rows for reference in (row.image, *row.rois)}
    dicom_info = next((Path(path) for path in csv_files if os.path.basename(path) == "dicom_info.csv"), None)
    index = index_files(paths, series, dicom_info, report, workers)
    records = _records(rows, index, report, workers)
    if not records:
        raise ValueError(
            f"none of the {len(rows)} table rows has its image among the {len(paths)} image files "
            f"{f'of {dicom_list}' if dicom_list else f'under {root}'}; expected folders such as "
            f"{rows[0].image.folder if rows else 'Mass-Training_P_00001_LEFT_CC'}"
        )
    records += _unlisted_images(rows, index, report)
    return _datalist(records, rows, root, split, validation_fraction, seed, report), report


def _locate_tables(root: Path, csv_files: Sequence[str]) -> dict[str, Path]:
    """The four tables, the shallowest copy of each.

    Raises:
        ValueError: naming what is missing.
    """
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder")
    found: dict[str, Path] = {}
    for path in sorted(csv_files, key=lambda path: (path.count(os.sep), path)):
        found.setdefault(os.path.basename(path).lower(), Path(path))
    missing = [name for name in TABLES if name not in found]
    if missing:
        raise ValueError(
            f"{root}: {', '.join(missing)} not found here or below; CBIS-DDSM needs its four case tables "
            f"({', '.join(TABLES)}), to be downloaded from its page of TCIA beside the images"
        )
    return {name: found[name] for name in TABLES}


def _read_dicom_list(path: Path, root: Path, report: ImportReport) -> list[str]:
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    paths = []
    for number, line in enumerate(lines, start=1):
        # Relative paths: to the dataset first, then to where the command runs, then to the list.
        candidates = [root / line, Path(line).absolute(), path.parent.absolute() / line]
        found = next((os.path.normpath(file) for file in candidates if line and file.is_file()), None)
        if found:
            paths.append(found)
        elif line:
            report.add("file", "a path of the list does not exist", table=path.name, row=number, item=line)
    if not paths:
        raise ValueError(f"{path}: none of its {sum(map(bool, lines))} paths exists; expected one image file a line")
    return list(dict.fromkeys(paths))


def _records(rows: Sequence[CaseRow], index: FileIndex, report: ImportReport, workers: int) -> list[Record]:
    images: dict[str, ImageFile] = {}
    by_image: dict[str, list[CaseRow]] = defaultdict(list)
    for row in rows:
        by_image[row.name.image_id].append(row)
    for image_id, group in by_image.items():
        files = [file for file in index.find(group[0].image) if file.role in ("", "full")]
        if files:
            images[image_id] = files[0]
        for row in group if not files else ():
            report.add("image", "the image is not on disk", table=row.table, row=row.number, item=image_id)
        if len(files) > 1:
            report.add("file", f"copies of one image: {files[0].path} is taken", item=image_id)
    found = [row for row in rows if row.name.image_id in images]
    rois = _rois(found, images, index, report, workers)
    report.counts |= {"rows with their image": len(found), "images": len(images)}
    return [
        _record(by_image[image_id], file, [rois[row.key] for row in by_image[image_id]])
        for image_id, file in images.items()
    ]


def _rois(
    rows: Sequence[CaseRow],
    images: Mapping[str, ImageFile],
    index: FileIndex,
    report: ImportReport,
    workers: int,
) -> dict[tuple[str, int], RoiFiles]:
    """Mask and crop of each row, by its key; all headers that are needed are read in one go."""
    files: dict[tuple[str, int], list[ImageFile]] = {}
    asked: dict[str, ImageFile] = {}
    for row in rows:
        image = images[row.name.image_id]
        found = {file.path: file for reference in row.rois for file in index.find(reference)}
        files[row.key] = [f for f in found.values() if f.path != image.path and f.role != "full"]
        if needs_shapes(files[row.key]):
            asked |= {file.path: file for file in (image, *files[row.key])}
    shapes = read_shapes(list(asked.values()), workers)
    rois = {}
    for row in rows:
        roi = rois[row.key] = assign_rois(files[row.key], shapes, shapes.get(images[row.name.image_id].path))
        if roi.problem:
            item = f"{row.name.image_id}_{row.values['abnormality id']}"
            report.add("roi", roi.problem, table=row.table, row=row.number, item=item)
    return rois


def _record(rows: Sequence[CaseRow], image: ImageFile, rois: Sequence[RoiFiles]) -> Record:
    findings = [row.finding() for row in rows]
    for finding, roi in zip(findings, rois, strict=True):
        if roi.mask:
            finding["roi_mask"] = roi.mask
        if roi.crop:
            finding["crop"] = roi.crop
    worst = max(findings, key=lambda finding: PATHOLOGIES.index(finding["pathology"]))
    known: dict[str, Any] = {
        "pathology": worst["pathology"],
        "label_provenance": PROVENANCE[worst["pathology"]],
        "abnormality": worst["type"],
        "density": DENSITY.get(rows[0].density),
        "birads": max((f["assessment"] for f in findings if "assessment" in f), default=None),
        "subtlety": max((f["subtlety"] for f in findings if "subtlety" in f), default=None),
        "margins": sorted({margin for finding in findings for margin in finding.get("margins", ())}),
        "roi_masks": [roi.mask for roi in rois if roi.mask],
        "study_id": rows[0].image.study_uid,
        "raw": {"breast_density": rows[0].density},
    }
    record = _bare_record(rows[0].name, image)
    record.update({name: value for name, value in known.items() if value not in (None, [])})  # type: ignore[typeddict-item]
    record["findings"] = findings
    return record


def _bare_record(name: ImageName, image: ImageFile) -> Record:
    return Record(
        image=image.path,
        patient_id=name.patient_id,
        image_id=name.image_id,
        dataset="cbis_ddsm",
        laterality=name.side[0],
        view=name.view,
    )


def _unlisted_images(rows: Sequence[CaseRow], index: FileIndex, report: ImportReport) -> list[Record]:
    """Whole mammograms that no table lists, where the tables say in which part their patient is."""
    listed = {row.name.image_id for row in rows} | {problem["item"] for problem in report.problems}
    parts = {(row.name.patient_id, row.name.part) for row in rows}
    records = []
    for folder, files in index.by_folder.items():
        name = ImageName.parse(folder)
        if name is None or name.abnormality is not None or folder in listed:
            continue
        if (name.patient_id, name.part) in parts:
            records.append(_bare_record(name, files[0]))
        else:
            report.add("excluded", "the image's patient is in no table of its part", item=folder)
    report.counts["images without a row"] = len(records)
    return records


def _datalist(
    records: list[Record],
    rows: Sequence[CaseRow],
    root: Path,
    split: str,
    validation_fraction: float,
    seed: int,
    report: ImportReport,
) -> Datalist:
    tested, trained = ({row.name.patient_id for row in rows if row.name.part == part} for part in ("Test", "Training"))
    both = tested & trained
    training = [record for record in records if "-Training_" in record["image_id"]]
    test = [record for record in records if "-Test_" in record["image_id"]]
    if split == "official-clean":
        for record in training:
            if record["patient_id"] in both:
                reason = "the patient is also in the official test set"
                report.add("excluded", reason, item=record["image_id"])
        training = [record for record in training if record["patient_id"] not in both]
    shares = {"training": 1 - validation_fraction, "validation": validation_fraction}
    sections = split_patients(patient_strata(training), shares, seed)
    licence = SYNTHETIC if (root / "phantom.json").is_file() else LICENCE
    lists: dict[str, list[Record]] = {"training": [], "validation": [], "test": test}
    for record in training:
        lists[sections[record["patient_id"]]].append(record)
    for section, listed in lists.items():
        for record in listed:
            record["split"], record["licence"] = section, licence
            if licence == SYNTHETIC and "pathology" in record:
                record["label_provenance"] = "synthetic"
    datalist = Datalist(
        name="CBIS-DDSM",
        description=f"split {split}, validation {validation_fraction} of the training patients, seed {seed}",
        licence=licence,
        root=str(root),
        training=lists["training"],
        validation=lists["validation"],
        test=lists["test"],
    )
    leaking = sorted(both & {record["patient_id"] for record in test} & {r["patient_id"] for r in training})
    if leaking:
        datalist["known_leak"] = "cbis-official"
        datalist["known_leak_patients"] = leaking
    return datalist
