"""Average precision of boxes by COCO's matching, as a statistic of bootstrap draws of patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from monai.apps.detection.metrics.matching import matching_batch
from monai.data.box_utils import box_iou
from numpy.typing import ArrayLike, NDArray

from .intervals import Statistic
from .weighted import ThresholdSweep, ratio

__all__ = ["BOX", "IMAGE", "box_overlaps", "matched_boxes", "weighted_box_precision"]

BOX = ["row0", "col0", "row1", "col1"]
"""Columns of a box, half-open."""

IMAGE = ["dataset", "image_id"]
"""Columns that tell images apart."""


def box_overlaps(one: NDArray[np.float64], two: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union ``(N,)`` of boxes ``(N, 4)``, row by row."""
    shared = (np.minimum(one[:, 2:], two[:, 2:]) - np.maximum(one[:, :2], two[:, :2])).clip(min=0).prod(axis=1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, two)]
    return np.asarray(shared / (areas[0] + areas[1] - shared))


def matched_boxes(boxes: pd.DataFrame, truths: pd.DataFrame, levels: Sequence[float]) -> NDArray[np.bool_]:
    """Which boxes find a true box of their image, by COCO's matching: the best first, each true box once.

    Args:
        boxes: of one class, with ``score`` and the columns :data:`IMAGE` and :data:`BOX`.
        truths: likewise, without ``score``.
        levels: intersections over union.

    Returns:
        ``(N, levels)``.
    """
    places, truth_at = boxes.groupby(IMAGE).indices, truths.groupby(IMAGE).indices
    corners, true = boxes[BOX].to_numpy(float), truths[BOX].to_numpy(float)
    scores = boxes["score"].to_numpy(float)
    ordered = [rows[np.argsort(-scores[rows], kind="stable")] for rows in places.values()]
    against = [truth_at.get(key, np.empty(0, dtype=np.intp)) for key in places]
    matches = matching_batch(
        iou_fn=box_iou,  # type: ignore[arg-type]
        iou_thresholds=list(levels),
        pred_boxes=[corners[rows] for rows in ordered],
        pred_classes=[np.zeros_like(rows) for rows in ordered],
        pred_scores=[scores[rows] for rows in ordered],
        gt_boxes=[true[rows] for rows in against],
        gt_classes=[np.zeros_like(rows) for rows in against],
        max_detections=max(len(boxes), 1),
    )
    right = np.zeros((len(boxes), len(levels)), dtype=bool)
    for rows, match in zip(ordered, matches, strict=True):
        right[rows] = match[0]["dtMatches"].T == 1
    return right


def weighted_box_precision(scores: ArrayLike, right: ArrayLike, truths: int) -> Statistic:
    """Average precision of boxes: the area under precision, made to fall, by recall, at every score.

    The rows of the weights are the true boxes, then the boxes. NaN where a draw holds no true box. Boxes of equal
    scores count together.

    Args:
        scores: ``(N,)``.
        right: ``(N,)`` bool, the boxes that find a true one.
        truths: number of true boxes.
    """
    values, flags = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=bool)
    if not values.size:
        return lambda weights: ratio(np.zeros(len(weights)), weights.sum(axis=1))
    sweep = ThresholdSweep(flags, values)

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        found, wrong = sweep(weights[:, truths:])
        precision = np.nan_to_num(ratio(found, found + wrong))
        falling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        gained = np.diff(found, axis=1, prepend=0.0)
        return ratio((gained * falling).sum(axis=1), weights[:, :truths].sum(axis=1))

    return statistic
