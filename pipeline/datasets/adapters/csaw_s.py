"""CSAW-S (Matsoukas et al. 2020, arXiv:2008.00807): screening mammograms with the cancer outlined by experts."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from ..import_report import ImportReport
from ..records import Datalist
from ..schema import Finding, Record
from ..splits import patient_strata
from .folder_files import list_files
from .official_split import check_validation_fraction, official_split_datalist
from .outlines import picture_shape

__all__ = ["csaw_s"]

LICENCE = "CSAW-S: CC BY-NC-ND 4.0"
ANNOTATORS = (1, 2, 3)
LAYOUT = "anonymized_dataset/<patient>/<patient>_<number>.png"

MIN_AREA_PX = 10
"""Connected pixels below this number are specks of the drawing tool, not lesions."""

MAX_PIXELS = 2**27
"""Larger than any mammogram; a header that claims more is not decoded."""

_NAME = re.compile(r"([^_]+)_(\d+)(?:_(.+))?")


@dataclass
class _Part:
    """Files of the training or of the test part, by image (``<patient>_<number>``).

    ``masks`` are the cancer masks: of the one expert of the training part (key 0), or of each annotator.
    """

    images: dict[str, Path] = field(default_factory=dict)
    masks: dict[tuple[int, str], Path] = field(default_factory=dict)


class _Lesions(NamedTuple):
    """Boxes of a mask's connected components, and in words what could not be used."""

    boxes: list[list[float]]
    problems: list[str]


def csaw_s(
    root: str | Path, *, annotator: int = 1, validation_fraction: float = 0.2, seed: int = 0, workers: int = 8
) -> tuple[Datalist, ImportReport]:
    """List CSAW-S: one record per image, each connected part of its cancer mask a finding with a box.

    A mask of one value is empty: such an image is of unknown pathology, not normal. An image with a lesion is
    MALIGNANT on the word of the expert who outlined it (``"reader"``). ``roi_masks`` is the whole mask; a finding has
    a ``roi_mask`` of its own only where it is the only one of the mask. Masks of other structures are counted, not
    read. There is no side, no view and no pixel spacing.

    The test part (``test_data``) was outlined by three experts; one is taken, the masks of the others are named under
    ``raw``. It stays whole: training images of patients who are in it too are left out. Validation patients are cut
    from training.

    Args:
        root: the dataset's folder (``CsawS``) or one above it.
        annotator: whose masks are taken in the test part, 1 to 3.
        validation_fraction: share of the training patients, from 0 up to but not including 1.
        seed: of the validation cut.
        workers: masks decoded at a time.

    Raises:
        ValueError: if the images of either part are missing.
    """
    if annotator not in ANNOTATORS:
        raise ValueError(f"annotator must be one of {ANNOTATORS}, got {annotator}")
    check_validation_fraction(validation_fraction)
    root = Path(os.path.abspath(root))
    report = ImportReport("CSAW-S")
    training, test = _index(list_files(root), report)
    for part, folder in ((training, "CsawS"), (test, "CsawS/test_data")):
        if not part.images:
            raise ValueError(f"{root}: images not found here or below; expected {folder}/{LAYOUT}")
    tested = {_patient(image) for image in test.images}
    for image in [image for image in training.images if _patient(image) in tested]:
        report.add("excluded", "the patient is also in the test part", item=image)
        del training.images[image]
    records = {
        "training": _records(training, 0, root, report, workers),
        "test": _records(test, annotator, root, report, workers),
    }
    for section, listed in records.items():
        report.counts[f"{section} images"] = len(listed)
        report.counts[f"{section} images without a lesion"] = sum("findings" not in record for record in listed)
    datalist = official_split_datalist(
        records,
        patient_strata(records["training"]),
        name="CSAW-S",
        licence=LICENCE,
        root=root,
        validation_fraction=validation_fraction,
        seed=seed,
    )
    return datalist, report


def _patient(image: str) -> str:
    return image.rpartition("_")[0]


def _index(files: Sequence[Path], report: ImportReport) -> tuple[_Part, _Part]:
    """Sort the files into the two parts by their folders: ``[test_data/]<kind>/<patient>/<file>``."""
    training, test = _Part(), _Part()
    annotators = {f"annotator_{number}": number for number in ANNOTATORS}
    others = 0
    for path in files:
        above, kind, patient = ("", "", "", *path.parts)[-4:-1]
        part = test if above == "test_data" else training
        if kind != "anonymized_dataset" and (part is training or kind not in annotators):
            continue  # made by the authors' scripts, or a text
        match = _NAME.fullmatch(path.stem) if path.suffix.lower() == ".png" else None
        if match is None or match[1] != patient:
            report.add("file", f"not named {LAYOUT} or with a structure at its end", item=str(path))
            continue
        image, structure = f"{match[1]}_{match[2]}", match[3]
        if structure == "cancer":
            part.masks.setdefault((annotators.get(kind, 0), image), path)
        elif structure in (None, "8bit") and kind == "anonymized_dataset":
            if image in part.images:
                report.add("file", "copies of one image: the 8-bit one is taken, else the first", item=str(path))
            # The authors' script takes the 8-bit copy where an image was saved in colour by mistake.
            if structure or image not in part.images:
                part.images[image] = path
        else:
            others += 1
    report.counts["masks of other structures"] = others
    return training, test


def _records(part: _Part, annotator: int, root: Path, report: ImportReport, workers: int) -> list[Record]:
    masked = [image for image in part.images if (annotator, image) in part.masks]
    jobs = [(part.masks[annotator, image], part.images[image]) for image in masked]
    found = Parallel(n_jobs=workers, prefer="threads")(delayed(_read_lesions)(*job) for job in jobs)
    lesions = dict(zip(masked, found, strict=True))
    records = []
    for image, path in part.images.items():
        boxes, problems = lesions.get(image, _Lesions([], ["no cancer mask on disk"]))
        for problem in problems:
            report.add("roi", problem, item=image)
        record = Record(
            image=str(path),
            patient_id=_patient(image),
            image_id=f"test_{image}" if annotator else image,
            dataset="csaw_s",
            licence=LICENCE,
        )
        if boxes:
            _add_findings(record, boxes, part.masks[annotator, image])
        others = [number for number in ANNOTATORS if number != annotator and (number, image) in part.masks]
        if others:
            paths = {number: part.masks[number, image].relative_to(root).as_posix() for number in others}
            record["raw"] = {f"cancer mask of annotator {number}": path for number, path in paths.items()}
        records.append(record)
    return records


def _read_lesions(mask: Path, image: Path) -> _Lesions:
    shape = picture_shape(mask)
    if shape is None or shape[0] * shape[1] > MAX_PIXELS:
        return _Lesions([], ["the cancer mask cannot be read"])
    if shape != picture_shape(image):
        return _Lesions([], [f"mask and image differ in size: {shape} and {picture_shape(image)}"])
    pixels = cv2.imread(str(mask), cv2.IMREAD_ANYDEPTH)
    if pixels is None:
        return _Lesions([], ["the cancer mask cannot be read"])
    return _find_lesions(pixels)


def _find_lesions(pixels: NDArray[Any]) -> _Lesions:
    # Above the lowest value, so that a mask of one value is empty whichever value that is.
    foreground = (pixels > pixels.min()).astype(np.uint8)
    left, top, width, height = cv2.boundingRect(foreground)
    if not width:
        return _Lesions([], [])
    # Lesions cover little of a mammogram: what is around them all need not be searched.
    inside = foreground[top : top + height, left : left + width]
    _, _, components, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    kept = [component for component in components[1:].tolist() if component[4] >= MIN_AREA_PX]  # 0 is the background
    specks = len(components) - 1 - len(kept)
    problems = [f"specks of the cancer mask left out: {specks} of fewer than {MIN_AREA_PX} pixels"] if specks else []
    boxes = [[float(v) for v in (top + y, left + x, top + y + h, left + x + w)] for x, y, w, h, _ in kept]
    return _Lesions(boxes, problems)


def _add_findings(record: Record, boxes: list[list[float]], mask: Path) -> None:
    findings = [
        Finding(id=str(number), type="cancer", pathology="MALIGNANT", box=box)
        for number, box in enumerate(boxes, start=1)
    ]
    if len(findings) == 1:
        findings[0]["roi_mask"] = str(mask)
    record["findings"], record["boxes"], record["roi_masks"] = findings, boxes, [str(mask)]
    record["abnormality"] = "cancer"
    record["pathology"], record["label_provenance"] = "MALIGNANT", "reader"
