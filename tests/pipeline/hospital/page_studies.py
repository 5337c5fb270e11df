"""Results made by hand, for tests of the page: where a lesion lies in them is known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
from mammo.pipeline.hospital.aggregate import breasts_of, missing_views
from mammo.pipeline.hospital.result import ModelStamp, Pictures, Region, StudyResult, StudyStatus, ViewResult
from mammo.pipeline.phantom import View, patient

STAMP = ModelStamp(
    "Planted network",
    "swin_mim",
    "0.3.0",
    "0.1.0",
    "ab" * 32,
    {"rule": "breast_mean, youden", "image_size": [224, 224]},
)
FACTOR = 2
"""Pixels of the stored image for one of its small copy."""


@cache
def drawn() -> list[View]:
    """Four views of a synthetic patient with a mass in one breast."""
    return patient(1, seed=77, preset="demo")


def planted(
    threshold: float | None = 0.35, mirrored: tuple[str, ...] = (), upside_down: tuple[str, ...] = ()
) -> StudyResult:
    """An analysed study whose map and box lie on the lesion.

    Args:
        threshold: of the exam's score; the breast with the lesion has 0.71, the other 0.18.
        mirrored: names of views that are stored with left and right exchanged.
        upside_down: names of views that are stored with top and bottom exchanged.
    """
    views, pictures = [], {}
    for number, drawn_view in enumerate(drawn()):
        side, view = drawn_view.laterality[0], drawn_view.view
        name, uid = f"{side} {view}", f"1.2.826.0.1.3680043.10.999.{number}"
        image, mask = drawn_view.image, drawn_view.breast
        heat, box = np.zeros(image.shape, np.float32), None
        if drawn_view.lesion is not None:
            heat, box = heat_at(drawn_view.lesion.box, image.shape), drawn_view.lesion.box
        rows, columns = ("P" if side == "R" else "A"), {"CC": "L" if side == "R" else "R", "MLO": "F"}[view]
        if name in mirrored:
            image, mask, heat = (np.ascontiguousarray(array[:, ::-1]) for array in (image, mask, heat))
            rows = {"P": "A", "A": "P"}[rows]
            box = box and (box[0], image.shape[1] - box[3], box[2], image.shape[1] - box[1])
        if name in upside_down:
            image, mask, heat = (np.ascontiguousarray(array[::-1]) for array in (image, mask, heat))
            columns = {"L": "R", "R": "L", "F": "H"}[columns]
            box = box and (image.shape[0] - box[2], box[1], image.shape[0] - box[0], box[3])
        stored = image.shape[0] * FACTOR, image.shape[1] * FACTOR
        pictures[uid] = Pictures(image, mask, heat, stored, f"{rows}\\{columns}")
        regions = (Region(tuple(float(edge * FACTOR) for edge in box), 1.0),) if box else ()
        score = (0.71 if drawn_view.lesion else 0.18) + (0.02 if view == "CC" else -0.02)
        views.append(ViewResult(f"/spool/{side}_{view}.dcm", uid, side, view, probability=score, regions=regions))
    return summed_up(tuple(views), pictures, threshold)


def summed_up(views: tuple[ViewResult, ...], pictures: dict[str, Pictures], threshold: float | None) -> StudyResult:
    """The analysed study of these views."""
    breasts = breasts_of(views)
    worst = max(breasts, key=lambda breast: breast.score)
    return StudyResult(
        StudyStatus.ANALYSED,
        "1.2.826.0.1.3680043.10.999",
        STAMP,
        views,
        breasts,
        worst.score,
        worst.laterality,
        threshold,
        None if threshold is None else worst.score >= threshold,
        missing_views(views),
        pictures=pictures,
    )


def in_part() -> StudyResult:
    """One view repeated, one refused for two reasons, one not taken, one file unreadable."""
    whole = planted()
    kept = [view for view in whole.views if view.name != "L MLO" and view.name != "R MLO"]
    again = replace(kept[0], path="/spool/again.dcm", sop_instance_uid="1.2.826.0.1.3680043.10.999.9", probability=0.55)
    refused = ViewResult(
        "/spool/Roe^Jane/1.2.840.113619.2.5.1762583153.dcm",
        "1.2.826.0.1.3680043.10.999.8",
        "R",
        "MLO",
        reasons=("spot_compression", "magnification"),
        messages=(
            "the view is modified: spot compression",
            "Estimated Radiographic Magnification Factor (0018,1114) is 1.8",
        ),
        warnings=("burned_in_declared",),
    )
    unreadable = ViewResult(
        "/spool/broken.dcm", reasons=("truncated",), messages=("pixel data end after 12 of 4096 rows",)
    )
    pictures = whole.pictures | {again.sop_instance_uid: whole.pictures[kept[0].sop_instance_uid]}
    kept[1] = replace(kept[1], warnings=("side_marker", "lossy"), probability_calibrated=0.31)
    return replace(summed_up((*kept, again, refused, unreadable), pictures, 0.9), others=3)


def not_analysed() -> StudyResult:
    """Every image refused."""
    message = "Presentation Intent Type (0008,0068) is FOR PROCESSING: raw detector values"
    places = [(side, view) for side in "LR" for view in ("CC", "MLO")]
    views = tuple(
        ViewResult(f"/spool/{n}.dcm", f"1.2.826.0.1.3680043.10.999.{n}", *place, ("for_processing",), (message,))
        for n, place in enumerate(places)
    )
    reason = "none of 4 images could be analysed"
    return StudyResult(StudyStatus.NOT_ANALYSED, None, STAMP, views, missing_views=missing_views(views), reason=reason)


def failed() -> StudyResult:
    """The software broke."""
    return StudyResult(StudyStatus.FAILED, None, STAMP, reason="RuntimeError in model.py:118")


def heat_at(box: tuple[int, int, int, int], shape: tuple[int, int]) -> np.ndarray:
    """A smooth map ``shape`` with its peak, 1, in the middle of a box."""
    heat = np.zeros(shape, np.float32)
    heat[(box[0] + box[2]) // 2, (box[1] + box[3]) // 2] = 1
    heat = cv2.GaussianBlur(heat, (0, 0), (box[2] - box[0]) / 2)
    return heat / heat.max()
