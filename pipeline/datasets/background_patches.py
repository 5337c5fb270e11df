"""Patches of breast without a finding: the fifth class beside the four of lesions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

from .import_report import ImportReport
from .lesion_classes import BACKGROUND
from .patches import Drawing, check_bounds, draw_patches, part_of, parts_datalist
from .records import all_records
from .regions import square_boxes
from .roi_masks import MaskPolicy, locate_findings
from .schema import SECTIONS, Datalist, Finding, Record

__all__ = ["background_patches"]


def background_patches(
    datalist: Datalist,
    *,
    per_image: int = 1,
    side_px: int | None = None,
    margin: float = 0.0,
    min_side_px: int = 32,
    max_overlap: float = 0.35,
    min_breast_share: float = 0.75,
    mask_policy: str = MaskPolicy.SKIP,
    seed: int = 0,
    workers: int = 8,
) -> tuple[Datalist, ImportReport]:
    """List squares of breast beside the findings, with ``abnormality`` ``"background"`` and no pathology.

    The bounds are those of Shen et al. 2019 (arXiv:1711.05775) and of their copy in TensorFlow Datasets, on boxes
    instead of masks and on the image as it is. A patch may hold a rim of a finding and nobody examined it, so it is
    not called NORMAL. Only images where it is known what lies where are used: all findings have a place, or there
    are none and the image is NORMAL, BI-RADS 1, or was searched (``looked_for``). Findings of the patient's other
    images of the same side and view count, too: CBIS-DDSM stores a film with masses and calcifications as two images.

    Args:
        datalist: with absolute paths; left alone.
        per_image: patches of each image.
        side_px: side in original pixels; None draws from the sides of the image's own lesions as
            :func:`~mammo.pipeline.datasets.lesion_crops.lesion_crops` would cut them, or of its dataset's where it
            has none.
        margin: of these lesion crops.
        min_side_px: of these lesion crops.
        max_overlap: largest share of the patch or of a finding's box that the two share.
        min_breast_share: least share of a patch that is breast.
        mask_policy: see :class:`~mammo.pipeline.datasets.roi_masks.MaskPolicy`.
        seed: of the places.
        workers: files read at a time.

    Returns:
        The datalist of patches, and a report with the images that gave none, each with its reason.

    Raises:
        ValueError: for a share outside [0, 1], or without ``side_px`` where no finding of a dataset has a place.
    """
    if side_px is not None and side_px < 1:
        raise ValueError(f"side_px={side_px}; expected 1 or more")
    square_boxes([], margin, min_side_px)  # refuse bad bounds before an hour of masks
    check_bounds(per_image, min_breast_share, max_overlap)
    report = ImportReport(datalist.get("name", "datalist"))
    images = list(all_records(datalist))
    records = [record for _, record in images]
    located = locate_findings(records, mask_policy, workers, report)
    of_view: dict[Hashable, list[Finding]] = defaultdict(list)
    for record, findings in zip(records, located, strict=True):
        of_view[_view(record)] += findings
    usable = [index for index, record in enumerate(records) if _is_known(record, of_view[_view(record)], report)]
    sides = _sides(records, located, usable, side_px, margin, min_side_px)
    drawn = draw_patches(
        [Drawing(records[n], sides[n], [f["box"] for f in of_view[_view(records[n])]]) for n in usable],
        per_image,
        min_breast_share=min_breast_share,
        max_overlap=max_overlap,
        seed=seed,
        workers=workers,
        report=report,
    )
    sections: dict[str, list[Record]] = {section: [] for section in SECTIONS}
    for index, boxes in zip(usable, drawn, strict=True):
        section, record = images[index]
        sections[section] += [_patch(record, box, number) for number, box in enumerate(boxes.tolist(), start=1)]
    size = f"{side_px} px" if side_px else "sides as the lesions'"
    how = f"{per_image} an image, {size}, overlap {max_overlap:g}, breast {min_breast_share:g}, seed {seed}"
    return parts_datalist(datalist, sections, "background patches", how), report


def _patch(record: Record, box: list[float], number: int) -> Record:
    patch = part_of(record, box, f"{BACKGROUND}{number}")
    patch["abnormality"] = BACKGROUND
    return patch


def _view(record: Record) -> Hashable:
    if "laterality" in record and "view" in record:
        return record["dataset"], record["patient_id"], record["laterality"], record["view"]
    return record["dataset"], record["image_id"]


def _is_known(record: Record, of_view: list[Finding], report: ImportReport) -> bool:
    """Whether all that is to be seen on an image has a place, or there is nothing; else it goes to the report."""
    normal = record.get("pathology") == "NORMAL" or record.get("birads") == 1
    told = record.get("findings") or record.get("looked_for") or normal
    known = bool(told) and all("box" in finding for finding in of_view)
    if not known:
        report.add("excluded", "where its findings lie is not known", item=record["image_id"])
    return known


def _sides(
    records: list[Record],
    located: list[list[Finding]],
    usable: list[int],
    side_px: int | None,
    margin: float,
    min_side_px: int,
) -> dict[int, list[float]]:
    """Sides to draw from for each usable image."""
    if side_px is not None:
        return {index: [float(side_px)] for index in usable}
    own: list[list[float]] = []
    of_dataset: dict[str, list[float]] = defaultdict(list)
    for record, findings in zip(records, located, strict=True):
        squares = square_boxes([f["box"] for f in findings if "box" in f], margin, min_side_px)
        own.append((squares[:, 2] - squares[:, 0]).tolist())
        of_dataset[record["dataset"]] += own[-1]
    for index in usable:
        if not of_dataset[records[index]["dataset"]]:
            raise ValueError(
                f"no finding of {records[index]['dataset']} has a place, so there is no side to draw patches of; "
                "give side_px"
            )
    return {index: own[index] or of_dataset[records[index]["dataset"]] for index in usable}
