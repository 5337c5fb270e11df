"""Average precision of a detector over its classes: COCO's by MONAI, and at every score with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from monai.apps.detection.metrics.coco import COCOMetric
from monai.apps.detection.metrics.matching import matching_batch
from monai.data.box_utils import box_iou
from numpy.typing import NDArray

from .box_precision import BOX, IMAGE, matched_boxes
from .intervals import Statistic, bootstrap_all
from .patient_sweep import PatientSweep
from .predictions import patient_keys
from .weighted import ratio

__all__ = ["average_precisions", "coco_average_precision", "mean_statistic", "precision_intervals"]

OVERLAPS = (0.1, 0.25, 0.5)
"""Intersections over union at which average precision is told."""

INTERVAL_OVERLAPS = (0.25, 0.5)
"""Intersections over union at which average precision has an interval: those that Mammo-CLIP is reported at."""

MAX_DETECTIONS = 100
"""Detections of an image that average precision looks at, the best first."""


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


def precision_intervals(
    detections: pd.DataFrame,
    lesions: pd.DataFrame,
    images: pd.DataFrame,
    classes: Sequence[str],
    options: dict[str, int],
) -> dict[str, Any]:
    """Average precision at every score, with patient-bootstrap intervals, at each of :data:`INTERVAL_OVERLAPS`.

    COCO's reads precision at 101 recalls, which differs in the second decimal where lesions are few. The mean is that
    of the classes with a lesion; draws without one of some class are left out of it.

    Args:
        detections: see :func:`evaluate_detections`.
        lesions: likewise.
        images: likewise.
        classes: names of the classes.
        options: ``draws`` and ``seed``.

    Returns:
        By overlap the mean over classes; and by class, the same.
    """
    patients = np.unique(patient_keys(images))
    statistics: dict[str, Statistic] = {}
    present = [name for name in classes if (lesions["class"] == name).any()]
    for name in present:
        truth, found = lesions[lesions["class"] == name], detections[detections["class"] == name]
        right = matched_boxes(found, truth, INTERVAL_OVERLAPS)
        of_truth, of_found = (np.searchsorted(patients, patient_keys(table)) for table in (truth, found))
        scores, counts = found["score"].to_numpy(float), np.bincount(of_truth, minlength=len(patients))
        for level, flags in zip(INTERVAL_OVERLAPS, right.T, strict=True):
            sweep = PatientSweep(scores[flags], of_found[flags], scores[~flags], of_found[~flags], len(patients))
            statistics[f"{name}/{level:.2f}"] = _area(sweep, counts)
    for level in INTERVAL_OVERLAPS:
        each = [statistics[f"{name}/{level:.2f}"] for name in present]
        statistics[f"/{level:.2f}"] = partial(mean_statistic, each)
    told = bootstrap_all(statistics, patients, reasons=dict.fromkeys(statistics, "no lesion"), **options)
    of = {
        name: {f"{level:.2f}": told[f"{name}/{level:.2f}"].as_dict() for level in INTERVAL_OVERLAPS}
        for name in ("", *present)
    }
    return of.pop("") | ({"classes": of} if len(classes) > 1 else {})


def _area(sweep: PatientSweep, lesions: NDArray[np.intp]) -> Statistic:
    """Area under precision, made to fall, by recall; ``lesions`` ``(P,)`` are those of each patient."""

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        found, wrong = sweep(weights)
        precision = np.nan_to_num(ratio(found, found + wrong))
        falling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        gained = np.diff(found, axis=1, prepend=0.0)
        return ratio((gained * falling).sum(axis=1), weights @ lesions.astype(np.float64))

    return statistic


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


def mean_statistic(statistics: Sequence[Statistic], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of statistics on the same draws; NaN without any."""
    return np.mean([one(weights) for one in statistics], axis=0) if statistics else np.full(len(weights), np.nan)


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
