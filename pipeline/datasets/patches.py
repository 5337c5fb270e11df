"""Records of parts of images: what a part inherits, and squares drawn on the breast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from ...transforms.dicom import MammogramReader
from ...transforms.errors import MammogramError
from ...transforms.segmentation import Segmentation, reduce_rows, reduction, segment_reduced
from .import_report import ImportReport
from .regions import Boxes, sample_squares, seeded
from .schema import SECTIONS, Datalist, Record

__all__ = ["Drawing", "check_bounds", "draw_patches", "part_of", "parts_datalist", "read_breast"]

INHERITED = (
    *("image", "patient_id", "dataset", "study_id", "laterality", "view", "split", "density", "age"),
    *("manufacturer", "device", "implant", "frame", "pixel_spacing_mm", "licence", "raw", "extra"),
)
"""Fields that hold for a part as for the whole image. What is said of the image's findings does not, nor do its
report and the masking of its tissue."""


class Drawing(NamedTuple):
    """What to draw on one image.

    Attributes:
        record: the image.
        sides_px: sides of the squares, each as likely; in pixels, or below 1 as shares of the image's shorter side.
        avoid: boxes ``(M, 4)`` of findings.
    """

    record: Record
    sides_px: Sequence[float]
    avoid: Sequence[Sequence[float]] = ()


def part_of(record: Record, crop: Sequence[float], name: str) -> Record:
    """A record of a part of an image: without labels of findings, its id ending in ``#name``.

    Args:
        record: of the image; left alone.
        crop: ``row0, col0, row1, col1`` in original pixels.
        name: of the part, unique within the image.
    """
    known = {field: value for field, value in record.items() if field in INHERITED}
    part = cast(Record, {**known, "image_id": f"{record['image_id']}#{name}"})
    part["crop"] = [float(edge) for edge in crop]
    return part


def parts_datalist(datalist: Datalist, sections: Mapping[str, list[Record]], what: str, how: str) -> Datalist:
    """A datalist of parts with the licence, root and declared leaks of the one that they come from.

    Args:
        datalist: of the images.
        sections: the parts.
        what: the parts in a word, for the name.
        how: settings that they were made with, for the description.
    """
    kept = {key: value for key, value in datalist.items() if key not in SECTIONS}
    kept["name"] = ": ".join(filter(None, (datalist.get("name"), what)))
    kept["description"] = "; ".join(filter(None, (f"{what}: {how}", datalist.get("description"))))
    lists = {section: sections.get(section, []) for section in SECTIONS if section in datalist}
    return cast(Datalist, {**kept, **lists})


def check_bounds(per_image: int, min_breast_share: float, max_overlap: float) -> None:
    """Refuse bounds that :func:`draw_patches` cannot work with.

    Raises:
        ValueError: for a count below 1 or a share outside [0, 1].
    """
    if per_image < 1:
        raise ValueError(f"per_image={per_image}; expected 1 or more")
    for name, share in (("min_breast_share", min_breast_share), ("max_overlap", max_overlap)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name}={share}; expected a share from 0 to 1")


def draw_patches(
    drawings: Sequence[Drawing],
    per_image: int,
    *,
    min_breast_share: float,
    max_overlap: float = 1.0,
    seed: int,
    workers: int,
    report: ImportReport,
) -> list[Boxes]:
    """Draw squares on the breast of each image; the images are decoded in threads, one a thread at a time.

    Args:
        drawings: one an image.
        per_image: squares wanted.
        min_breast_share: least share of a square that is breast.
        max_overlap: with any box of ``avoid``, see :func:`~mammo.pipeline.datasets.regions.overlap_shares`.
        seed: another seed draws others; an image's squares do not depend on the other images.
        workers: images at a time.
        report: gets the images that cannot be read, hold no breast or have no place for a square.

    Returns:
        Boxes ``(n, 4)`` of each image, n at most ``per_image``.

    Raises:
        ValueError: for a count below 1 or a share outside [0, 1].
    """
    check_bounds(per_image, min_breast_share, max_overlap)
    jobs = (delayed(_draw)(drawing, per_image, min_breast_share, max_overlap, seed) for drawing in drawings)
    results = Parallel(n_jobs=max(1, workers), prefer="threads", return_as="generator")(jobs)
    drawn: list[Boxes] = []
    for drawing, found in zip(drawings, tqdm(results, "drawing", len(drawings), disable=None), strict=True):
        boxes, kind, reason = found if isinstance(found, tuple) else (np.zeros((0, 4)), "image", found)
        if reason:
            report.add(kind, reason, item=drawing.record["image_id"])
        drawn.append(boxes)
    report.counts |= {
        "images drawn on": len(drawings),
        "images without a square": sum(len(boxes) == 0 for boxes in drawn),
        "images with fewer squares than asked for": sum(0 < len(boxes) < per_image for boxes in drawn),
        "squares": sum(map(len, drawn)),
    }
    return drawn


def read_breast(record: Record) -> tuple[Segmentation, tuple[int, int]]:
    """The breast of an image, on a reduced copy, and the image's rows and columns.

    Raises:
        MammogramError: for an image that cannot be used.
    """
    picture = MammogramReader().read(record["image"], frame=record.get("frame"))
    factor = reduction(picture.shape)
    return segment_reduced(reduce_rows(picture.rows, picture.shape, factor), factor), picture.shape


def _draw(
    drawing: Drawing, count: int, min_breast_share: float, max_overlap: float, seed: int
) -> tuple[Boxes, str, str] | str:
    """Squares of one image with kind and text of what is wrong; the text alone where it cannot be read."""
    record = drawing.record
    try:
        found, shape = read_breast(record)
    except MammogramError as error:
        return f"{error.reason}: {error.message}"
    if not found.mask.any():
        return np.zeros((0, 4)), "excluded", "no breast is found"
    sides = [side if side >= 1 else max(1, round(side * min(shape))) for side in drawing.sides_px]
    boxes = sample_squares(
        sides,
        found,
        shape,
        count,
        seeded(seed, record["dataset"], record["image_id"]),
        min_breast_share=min_breast_share,
        avoid=drawing.avoid,
        max_overlap=max_overlap,
    )
    return boxes, "excluded", "" if len(boxes) else "no square fits on the breast beside the findings"
