"""Lesions as images of their own: one record per finding, or squares at random on the breast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from .import_report import ImportReport
from .patches import Drawing, draw_patches, part_of, parts_datalist
from .records import all_records
from .regions import square_boxes
from .roi_masks import MaskPolicy, locate_findings
from .schema import FINDING_TYPES, SECTIONS, Datalist, Finding, Record

__all__ = ["lesion_crops", "named_findings", "random_crops"]


def lesion_crops(
    datalist: Datalist,
    *,
    margin: float = 0.0,
    min_side_px: int = 32,
    mask_policy: str = MaskPolicy.SKIP,
    types: Collection[str] | None = None,
    workers: int = 8,
) -> tuple[Datalist, ImportReport]:
    """List the findings of a datalist as records of their own: same image and ``crop``, the finding's own labels.

    The crop is a square around the finding's box. Pathology, abnormality (the type), BI-RADS, subtlety and margins
    are those of the finding, absent where it has none, whatever the rest of the image shows. Patient and section
    stay; ``image_id`` is ``"<image_id>#<finding id>"``.

    Args:
        datalist: with absolute paths, as adapters and :func:`load_datalist` give it; left alone.
        margin: by how much the square is larger than the longer side, as a share of it; 0 as MIRAM.
        min_side_px: least side of a square.
        mask_policy: for findings placed by a mask of another size than its image, see
            :class:`~mammo.pipeline.datasets.roi_masks.MaskPolicy`.
        types: findings to keep, of ``FINDING_TYPES``; None keeps all.
        workers: masks read at a time.

    Returns:
        The datalist of crops, and a report with the number of each outcome and every finding without a place.

    Raises:
        ValueError: for an unknown type or policy, a negative margin or a side below 1.
    """
    unknown = sorted(set(types or ()) - set(FINDING_TYPES))
    if unknown:
        raise ValueError(f"unknown finding type {unknown[0]!r}; expected {', '.join(FINDING_TYPES)}")
    square_boxes([], margin, min_side_px)  # refuse a bad margin before an hour of masks
    report = ImportReport(datalist.get("name", "datalist"))
    images: list[tuple[str, Record]] = []
    others = 0
    for section, record in all_records(datalist):
        named = named_findings(record)
        kept = [finding for finding in named if types is None or finding.get("type") in types]
        others += len(named) - len(kept)
        images.append((section, {**record, "findings": kept}))
    located = locate_findings([record for _, record in images], mask_policy, workers, report)
    sections: dict[str, list[Record]] = {section: [] for section in SECTIONS}
    for (section, record), findings in zip(images, located, strict=True):
        placed = [finding for finding in findings if "box" in finding]
        squares = square_boxes([finding["box"] for finding in placed], margin, min_side_px)
        sections[section] += [_lesion(record, *pair) for pair in zip(placed, squares.tolist(), strict=True)]
    report.counts |= {
        "images": len(images),
        "images without a finding": sum(not record["findings"] for _, record in images),
        "crops": sum(map(len, sections.values())),
    }
    if types is not None:
        report.counts["findings of other types"] = others
    kinds = "all types" if types is None else " and ".join(sorted(types))
    how = f"{kinds}, margin {margin:g}, {min_side_px} px at least, masks of another size: {mask_policy}"
    return parts_datalist(datalist, sections, "lesions", how), report


def random_crops(
    datalist: Datalist,
    *,
    per_image: int,
    side_px: int | None = None,
    side_share: float | None = None,
    min_breast_share: float = 0.5,
    seed: int = 0,
    workers: int = 8,
) -> tuple[Datalist, ImportReport]:
    """List squares at random places of the breast, for pretraining; they may show a finding and have no label of one.

    Args:
        datalist: with absolute paths; left alone.
        per_image: squares of each image.
        side_px: side in original pixels.
        side_share: or as a share of the image's shorter side, above 0 and below 1.
        min_breast_share: least share of a square that is breast.
        seed: of the places.
        workers: images decoded at a time.

    Returns:
        The datalist of crops, and a report with the images that gave none.

    Raises:
        ValueError: unless exactly one of ``side_px`` and ``side_share`` is given, in its range.
    """
    if (side_px is None) == (side_share is None):
        raise ValueError(f"side_px={side_px}, side_share={side_share}; give one of the two")
    if side_px is not None and side_px < 1:
        raise ValueError(f"side_px={side_px}; expected 1 or more")
    if side_share is not None and not 0 < side_share < 1:
        raise ValueError(f"side_share={side_share}; expected a share above 0 and below 1")
    report = ImportReport(datalist.get("name", "datalist"))
    images = list(all_records(datalist))
    side = side_share if side_px is None else side_px
    drawings = [Drawing(record, (float(side or 0),)) for _, record in images]
    drawn = draw_patches(
        drawings, per_image, min_breast_share=min_breast_share, seed=seed, workers=workers, report=report
    )
    sections: dict[str, list[Record]] = {section: [] for section in SECTIONS}
    for (section, record), boxes in zip(images, drawn, strict=True):
        sections[section] += [part_of(record, box, f"random{n}") for n, box in enumerate(boxes.tolist(), start=1)]
    size = f"{side_px} px" if side_px else f"{side_share:g} of the shorter side"
    how = f"{per_image} an image, {size}, breast {min_breast_share:g}, seed {seed}"
    return parts_datalist(datalist, sections, "random crops", how), report


def named_findings(record: Record) -> list[Finding]:
    """The findings with an ``id`` each: their own where all have one and no two the same, else their numbers."""
    findings = record.get("findings", [])
    ids = [finding.get("id", "") for finding in findings]
    if not all(ids) or max(Counter(ids).values(), default=0) > 1:
        ids = [str(number) for number in range(1, len(findings) + 1)]
    return [{**finding, "id": name} for finding, name in zip(findings, ids, strict=True)]


def _lesion(record: Record, finding: Finding, square: list[float]) -> Record:
    crop = part_of(record, square, finding["id"])
    known: dict[str, Any] = {
        "pathology": finding.get("pathology"),
        "label_provenance": record.get("label_provenance") if "pathology" in finding else None,
        "abnormality": finding.get("type"),
        "birads": finding.get("assessment"),
        "subtlety": finding.get("subtlety"),
        "margins": finding.get("margins"),
        "roi_masks": [finding["roi_mask"]] if "roi_mask" in finding else None,
    }
    crop.update({name: value for name, value in known.items() if value is not None})  # type: ignore[typeddict-item]
    crop["findings"], crop["boxes"] = [finding], [finding["box"]]
    return crop
