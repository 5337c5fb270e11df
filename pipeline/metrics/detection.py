"""Measures of lesion detection: free-response ROC with patient-bootstrap intervals, average precision by overlap."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from monai.utils import StrEnum, look_up_option
from numpy.typing import ArrayLike, NDArray

from .box_precision import BOX, IMAGE, box_overlaps
from .detection_precision import average_precisions, mean_statistic, precision_intervals
from .intervals import Statistic, bootstrap_all
from .patient_sweep import PatientSweep
from .predictions import patient_keys
from .weighted import ratio

FALSE_POSITIVES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives an image at which sensitivity is told; its mean over them is LUNA16's score (arXiv:1612.08012)."""


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
        over all classes and for each) and ``average_precision`` (of COCO at IoU 0.1, 0.25 and 0.5, and its mean over
        0.1 to 0.5; and under ``intervals`` what
        :func:`~mammo.pipeline.metrics.detection_precision.precision_intervals` gives). What is undefined is ``None``
        beside a ``reason``.

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
        "average_precision": average_precisions(detections, lesions, images, classes)
        | {"intervals": precision_intervals(detections, lesions, images, classes, options)},
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
        hits = box_overlaps(truth, found) >= HIT_OVERLAP
    pairs = pairs[hits]
    scores, wrong = np.full(len(lesions), -1.0), np.ones(len(detections), bool)
    np.maximum.at(scores, pairs["lesion"].to_numpy(), pairs["score"].to_numpy(float))
    wrong[pairs["detection"].to_numpy()] = False
    return scores, wrong


def weighted_sensitivity_at_rate(sweep: PatientSweep, lesions: ArrayLike, images: ArrayLike, rate: float) -> Statistic:
    """Highest sensitivity of a threshold with at most ``rate`` false positives an image, for weights of patients.

    NaN where a draw holds no lesion.

    Args:
        sweep: of the best scores of what hits each lesion that is hit, and of the false positives.
        lesions: ``(P,)``, how many each patient has.
        images: likewise.
        rate: false positives an image.
    """
    all_lesions, all_images = (np.asarray(counts, dtype=np.float64) for counts in (lesions, images))

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        found, wrong = sweep(weights)
        allowed = wrong <= rate * (weights @ all_images)[:, None] + 1e-9
        best = np.where(allowed, found, 0.0).max(axis=1, initial=0.0)
        return ratio(best, weights @ all_lesions)

    return statistic


def _froc(
    images: pd.DataFrame,
    lesions: pd.DataFrame,
    lesion_scores: NDArray[np.float64],
    false: pd.DataFrame,
    options: dict[str, int],
) -> dict[str, Any]:
    patients, of_image = np.unique(patient_keys(images), return_inverse=True)
    of_lesion, of_false = (np.searchsorted(patients, patient_keys(table)) for table in (lesions, false))
    hit = lesion_scores >= 0
    sweep = PatientSweep(lesion_scores[hit], of_lesion[hit], false["score"], of_false, len(patients))
    had, taken = (np.bincount(owners, minlength=len(patients)) for owners in (of_lesion, of_image))
    statistics = {f"{rate:g}": weighted_sensitivity_at_rate(sweep, had, taken, rate) for rate in FALSE_POSITIVES}
    statistics["mean"] = partial(mean_statistic, list(statistics.values()))
    intervals = bootstrap_all(statistics, patients, reasons=dict.fromkeys(statistics, "no lesion"), **options)
    found = {"lesions": len(lesions), "hit_by_any": int(hit.sum()), "false_positives": len(false)}
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


def _check(detections: pd.DataFrame, lesions: pd.DataFrame, images: pd.DataFrame) -> None:
    if images.empty or images.duplicated(IMAGE).any():
        raise ValueError("images must be listed, and each once by dataset and image_id")
    listed = pd.MultiIndex.from_frame(images[IMAGE])
    for name, table in (("detection", detections), ("lesion", lesions)):
        stray = ~pd.MultiIndex.from_frame(table[IMAGE]).isin(listed)
        if stray.any():
            raise ValueError(f"a {name} is of image {table['image_id'][stray].iloc[0]!r}, which is not listed")
