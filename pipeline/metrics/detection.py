"""Measures of lesion detection: free-response ROC with patient-bootstrap intervals, average precision by overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from monai.apps.detection.metrics.coco import COCOMetric
from monai.apps.detection.metrics.matching import matching_batch
from monai.data.box_utils import box_iou
from monai.utils import StrEnum, look_up_option
from numpy.typing import ArrayLike, NDArray

from .intervals import Statistic, bootstrap_all
from .predictions import patient_keys
from .weighted import ThresholdSweep, ratio

FALSE_POSITIVES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives an image at which sensitivity is told; its mean over them is LUNA16's score (arXiv:1612.08012)."""

OVERLAPS = (0.1, 0.25, 0.5)
"""Intersections over union at which average precision is told."""

MAX_DETECTIONS = 100
"""Detections of an image that average precision looks at, the best first."""

BOX = ["row0", "col0", "row1", "col1"]
IMAGE = ["dataset", "image_id"]


class HitCriterion(StrEnum):
    """When a detection hits a lesion: its centre lies in the lesion's box (Ribli et al. 2018, arXiv:1707.08401), or
    the two boxes overlap by an intersection over union of 0.2 at least.
    """

    CENTRE = "centre"
    OVERLAP = "overlap"


HIT_OVERLAP = 0.2


def evaluate_detections(
    detections: pd.DataFrame,
    lesions: pd.DataFrame,
    images: pd.DataFrame,
    classes: Sequence[str],
    *,
    hit: str = HitCriterion.CENTRE,
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that ``metrics.json`` says about a detector, from its tables alone.

    A lesion is found at a threshold if any detection of its class that scores as much hits it; further ones that hit
    it are not counted. A detection that hits no lesion of its class is a false positive.

    Args:
        detections: a row each, with ``dataset, image_id, patient_id, class, score`` (in [0, 1]) and the box ``row0,
            col0, row1, col1`` in original pixels, half-open.
        lesions: a row each, likewise without ``score``.
        images: a row each, with ``dataset, image_id, patient_id``; those without lesions too.
        classes: names of the classes.
        hit: see :class:`HitCriterion`.
        draws: patient-bootstrap draws.
        seed: of the draws.

    Returns:
        JSON-safe: ``counts``, ``froc`` (sensitivity at each of :data:`FALSE_POSITIVES` and their mean, with intervals,
        over all classes and for each) and ``average_precision`` (of COCO, at each of :data:`OVERLAPS`, and its mean
        over 0.1 to 0.5). What is undefined is ``None`` beside a ``reason``.

    Raises:
        ValueError: no image, an image listed twice, or a detection or lesion of an image that is not listed.
    """
    criterion = look_up_option(hit, HitCriterion)
    _check(detections, lesions, images)
    scores, wrong = found_lesions(detections, lesions, criterion)
    options = {"draws": draws, "seed": seed}
    parts = {"all": (np.ones(len(lesions), bool), wrong)}
    if len(classes) > 1:
        for name in classes:
            parts[name] = ((lesions["class"] == name).to_numpy(), wrong & (detections["class"] == name).to_numpy())
    return {
        "bootstrap": {"unit": "patient", "level": 0.95, **options},
        "counts": _counts(detections, lesions, images),
        "hit": criterion.value,
        "froc": {
            name: _froc(images, lesions[own], scores[own], detections[false], options)
            for name, (own, false) in parts.items()
        },
        "average_precision": average_precisions(detections, lesions, images, classes),
    }


def found_lesions(
    detections: pd.DataFrame, lesions: pd.DataFrame, hit: str = HitCriterion.CENTRE
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The best score of the detections that hit each lesion, and which detections hit none.

    Args:
        detections: see :func:`evaluate_detections`.
        lesions: likewise.
        hit: see :class:`HitCriterion`.

    Returns:
        ``(L,)`` scores, -1 for a lesion that was missed; ``(D,)`` bool, True for a false positive.
    """
    left = lesions[[*IMAGE, "class", *BOX]].assign(lesion=np.arange(len(lesions)))
    right = detections[[*IMAGE, "class", "score", *BOX]].assign(detection=np.arange(len(detections)))
    pairs = left.merge(right, on=[*IMAGE, "class"], suffixes=("_lesion", "_found"))
    truth, found = (pairs[[f"{edge}_{side}" for edge in BOX]].to_numpy(float) for side in ("lesion", "found"))
    if hit == HitCriterion.CENTRE:
        centre = (found[:, :2] + found[:, 2:]) / 2
        hits = ((truth[:, :2] <= centre) & (centre < truth[:, 2:])).all(axis=1)
    else:
        hits = _overlap(truth, found) >= HIT_OVERLAP
    pairs = pairs[hits]
    scores, wrong = np.full(len(lesions), -1.0), np.ones(len(detections), bool)
    np.maximum.at(scores, pairs["lesion"].to_numpy(), pairs["score"].to_numpy(float))
    wrong[pairs["detection"].to_numpy()] = False
    return scores, wrong


def weighted_sensitivity_at_rate(
    lesion_scores: ArrayLike, false_scores: ArrayLike, images: int, rate: float
) -> Statistic:
    """Highest sensitivity of a threshold with at most ``rate`` false positives an image.

    The rows of the weights are the images, then the lesions, then the false positives. NaN where a draw holds no
    lesion.

    Args:
        lesion_scores: ``(L,)`` best score of what hits each lesion, -1 for a missed one.
        false_scores: ``(F,)`` scores of the false positives, 0 or more.
        images: number of images.
        rate: false positives an image.
    """
    hits, false = np.asarray(lesion_scores, dtype=np.float64), np.asarray(false_scores, dtype=np.float64)
    labels = np.r_[np.ones(hits.size), np.zeros(false.size)]
    if not labels.size:
        return lambda weights: np.full(len(weights), np.nan)
    sweep = ThresholdSweep(labels, np.r_[hits, false])
    real = sweep.thresholds >= 0  # the last threshold would flag what nothing hit

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        found, wrong = sweep(weights[:, images:])
        allowed = real & (wrong <= rate * weights[:, :images].sum(axis=1, keepdims=True) + 1e-9)
        best = np.where(allowed, found, 0.0).max(axis=1)
        return ratio(best, weights[:, images : images + hits.size].sum(axis=1))

    return statistic


def average_precisions(
    detections: pd.DataFrame, lesions: pd.DataFrame, images: pd.DataFrame, classes: Sequence[str]
) -> dict[str, Any]:
    """COCO's average precision by MONAI's ``COCOMetric``, over the classes that have a lesion.

    Returns:
        ``{"0.10": value, ..., "0.10:0.50": mean, "classes": {name: {...}}}``, ``None`` for a class without lesions.
    """
    present = [name for name in classes if (lesions["class"] == name).any()]
    if not present:
        return {"value": None, "reason": "no lesion"}
    keys = list(images[IMAGE].itertuples(index=False, name=None))
    found, truth = (_by_image(table, keys, present) for table in (detections, lesions))
    values = coco_average_precision(
        [(boxes, labels, scores) for boxes, labels, scores in found], [(b, labels) for b, labels, _ in truth], present
    )
    result: dict[str, Any] = {name: values[name] for name in values if name not in classes}
    if len(classes) > 1:
        result["classes"] = {name: values.get(name) for name in classes}
    return result


def coco_average_precision(
    found: Sequence[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]],
    truth: Sequence[tuple[NDArray[Any], NDArray[Any]]],
    classes: Sequence[str],
) -> dict[str, Any]:
    """Average precision of boxes ``(N, 4)``, labels and scores ``(N,)`` of each image against true boxes and labels.

    Every class must have a true box: MONAI's metric counts the precision of others as -1.

    Returns:
        By overlap (``"0.10"``, and ``"0.10:0.50"`` for the mean over 0.10, 0.15 to 0.50) the mean over classes; and
        by class, the same.
    """
    metric = COCOMetric(list(classes), iou_list=OVERLAPS, max_detection=(MAX_DETECTIONS,), verbose=False)
    matches = matching_batch(
        iou_fn=box_iou,  # type: ignore[arg-type]
        iou_thresholds=metric.iou_thresholds,  # type: ignore[arg-type]
        pred_boxes=[boxes for boxes, _, _ in found],
        pred_classes=[labels for _, labels, _ in found],
        pred_scores=[scores for _, _, scores in found],
        gt_boxes=[boxes for boxes, _ in truth],
        gt_classes=[labels for _, labels in truth],
        max_detections=MAX_DETECTIONS,
    )
    told, _ = metric(matches)
    names = {f"{iou:.2f}": f"AP_IoU_{iou:.2f}_MaxDet_{MAX_DETECTIONS}" for iou in OVERLAPS}
    names["0.10:0.50"] = f"mAP_IoU_0.10_0.50_0.05_MaxDet_{MAX_DETECTIONS}"
    overall: dict[str, Any] = {overlap: told[key] for overlap, key in names.items()}
    return overall | {c: {overlap: told[f"{c}_{key}"] for overlap, key in names.items()} for c in classes}


def _by_image(
    table: pd.DataFrame, keys: list[tuple[Any, ...]], classes: Sequence[str]
) -> list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Boxes, class indices and scores of each image; an image without any has empty ones."""
    table = table[table["class"].isin(classes)]
    groups = dict(iter(table.groupby(IMAGE, sort=False)))
    parts = []
    for key in keys:
        rows = groups.get(key, table.iloc[:0])
        scores = rows["score"].to_numpy(float) if "score" in rows else np.ones(len(rows))
        labels = rows["class"].map({name: index for index, name in enumerate(classes)}).to_numpy(int)
        parts.append((rows[BOX].to_numpy(float).reshape(-1, 4), labels, scores))
    return parts


def _froc(
    images: pd.DataFrame,
    lesions: pd.DataFrame,
    lesion_scores: NDArray[np.float64],
    false: pd.DataFrame,
    options: dict[str, int],
) -> dict[str, Any]:
    statistics = {
        f"{rate:g}": weighted_sensitivity_at_rate(lesion_scores, false["score"], len(images), rate)
        for rate in FALSE_POSITIVES
    }
    each = list(statistics.values())
    statistics["mean"] = lambda weights: np.mean([one(weights) for one in each], axis=0)
    patients = np.concatenate([patient_keys(table) for table in (images, lesions, false)])
    reasons = dict.fromkeys(statistics, "no lesion")
    intervals = bootstrap_all(statistics, patients, reasons=reasons, **options)
    found = {"lesions": len(lesions), "hit_by_any": int((lesion_scores >= 0).sum()), "false_positives": len(false)}
    return found | {
        "sensitivity_at": {name: intervals[name].as_dict() for name in intervals if name != "mean"},
        "mean_sensitivity": intervals["mean"].as_dict(),
    }


def _counts(detections: pd.DataFrame, lesions: pd.DataFrame, images: pd.DataFrame) -> dict[str, int]:
    with_lesion = len(lesions[IMAGE].drop_duplicates())
    return {
        "images": len(images),
        "images_with_lesion": with_lesion,
        "images_without_lesion": len(images) - with_lesion,
        "patients": int(np.unique(patient_keys(images)).size),
        "lesions": len(lesions),
        "detections": len(detections),
    }


def _overlap(one: NDArray[np.float64], two: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of boxes ``(N, 4)``, row by row."""
    shared = (np.minimum(one[:, 2:], two[:, 2:]) - np.maximum(one[:, :2], two[:, :2])).clip(min=0).prod(axis=1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, two)]
    return np.asarray(shared / (areas[0] + areas[1] - shared))


def _check(detections: pd.DataFrame, lesions: pd.DataFrame, images: pd.DataFrame) -> None:
    if images.empty or images.duplicated(IMAGE).any():
        raise ValueError("images must be listed, and each once by dataset and image_id")
    listed = pd.MultiIndex.from_frame(images[IMAGE])
    for name, table in (("detection", detections), ("lesion", lesions)):
        stray = ~pd.MultiIndex.from_frame(table[IMAGE]).isin(listed)
        if stray.any():
            raise ValueError(f"a {name} is of image {table['image_id'][stray].iloc[0]!r}, which is not listed")
