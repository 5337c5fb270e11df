"""Does the box around a heat-map's hottest part find the lesion? Hits, overlap, precision and pointing, beside chance.

Labels of images alone teach such boxes, so that they are measured more leniently than a detector's: by the image whose
best box overlaps a lesion by an intersection over union of 0.25 or 0.5. Chance is what boxes of the same size would
reach if they lay anywhere in the breast: their centre is a pixel of it, and they are pushed inside the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from .box_precision import BOX, IMAGE, box_overlaps, matched_boxes, weighted_box_precision
from .explanation import IOU_LEVELS, grown_region, pointing_hits
from .intervals import Statistic, bootstrap_all, difference, restricted
from .predictions import patient_keys
from .weighted import weighted_mean

__all__ = [
    "LocalisationRecorder",
    "LocalisationTables",
    "best_overlap",
    "compare_localisation",
    "evaluate_localisation",
]

HITS = tuple(f"hit_{round(100 * level)}" for level in IOU_LEVELS)
PRECISIONS = tuple(f"ap_{round(100 * level)}" for level in IOU_LEVELS)
OF_IMAGES = (*HITS, "iou", "pointing")
"""Measures that each image with a finding has."""

KEYS = [*IMAGE, "patient_id", "class"]

Boxes = NDArray[np.float64]


class LocalisationTables(NamedTuple):
    """What one method found, by image, box and finding; every table has ``dataset, image_id, patient_id, class``.

    ``boxes`` and ``truths`` are those of :func:`~mammo.pipeline.metrics.detection.evaluate_detections`, which tells
    the free-response ROC of them, provided that scores lie in [0, 1].

    Attributes:
        images: a row each image and finding asked for, with ``boxes`` and ``true_boxes`` (their numbers), ``hit_25``,
            ``hit_50``, ``iou``, ``pointing`` and the ``_chance`` of each; NaN for images without the finding.
        boxes: found boxes, with ``score`` and ``row0, col0, row1, col1``, half-open.
        truths: true boxes, likewise without ``score``.
        chance: ``boxes`` laid anywhere in the breast several times, numbered by ``draw``.
    """

    images: pd.DataFrame
    boxes: pd.DataFrame
    truths: pd.DataFrame
    chance: pd.DataFrame


class LocalisationRecorder:
    """Measure images one by one, so that no map and no mask need be kept.

    Args:
        tolerance_px: pixels by which lesions are grown for the pointing game (Zhang et al. 2016, arXiv:1608.00507) and
            its chance.
        repeats: times that the boxes are laid anywhere in the breast, for the chance of average precision; the other
            chances are exact.
        seed: of these places.

    Raises:
        ValueError: a tolerance below 0, or repeats below 1.
    """

    def __init__(self, *, tolerance_px: float = 0.0, repeats: int = 10, seed: int = 0) -> None:
        if tolerance_px < 0 or repeats < 1:
            raise ValueError(f"tolerance_px={tolerance_px} must be 0 or more and repeats={repeats} 1 or more")
        self.tolerance_px = tolerance_px
        self.repeats = repeats
        self._generator = np.random.default_rng(seed)
        self._rows: dict[str, list[dict[str, Any]]] = {name: [] for name in LocalisationTables._fields}

    def add(
        self,
        image: Mapping[str, Any],
        finding: str,
        *,
        boxes: ArrayLike,
        truth: ArrayLike,
        breast: ArrayLike,
        saliency: ArrayLike,
        image_score: float = 1.0,
    ) -> None:
        """Measure what was found of one finding in one image, whether it has the finding or not.

        Args:
            image: with ``dataset``, ``image_id`` and ``patient_id``.
            finding: its name, such as the attribute's.
            boxes: ``(N, 5)`` row0, col0, row1, col1 (half-open) and score; N may be 0.
            truth: ``(M, 4)`` boxes of the finding; M is 0 in an image without it.
            breast: ``(H, W)``, above 0 in the breast, in the pixels that the boxes are in.
            saliency: ``(H, W)``, the map at that size. A constant one points nowhere.
            image_score: 0 or more, multiplies the scores. Maps that are each stretched to 1 have peaks of 1: average
                precision then needs a score of the image to rank them by.

        Raises:
            ValueError: a mask without a breast, a map of another size, boxes of another shape, or a score below 0.
        """
        inside, found, true = _arrays(image, boxes, truth, breast, saliency, image_score)
        found[:, 4] *= image_score
        keys = {name: str(image[name]) for name in KEYS[:-1]} | {"class": finding}
        measures: dict[str, float] = dict.fromkeys(
            [name + end for name in OF_IMAGES for end in ("", "_chance")], np.nan
        )
        if len(true):
            measures |= _hits(found, true, inside)
            measures |= self._pointing(np.asarray(saliency, dtype=np.float64), true, inside)
        self._rows["images"].append(keys | {"boxes": len(found), "true_boxes": len(true)} | measures)
        self._rows["truths"] += [keys | dict(zip(BOX, box, strict=True)) for box in true.tolist()]
        scored = [*BOX, "score"]
        self._rows["boxes"] += [keys | dict(zip(scored, box, strict=True)) for box in found.tolist()]
        for draw in range(self.repeats):
            laid = np.column_stack([_anywhere(found[:, :4], inside, self._generator), found[:, 4]]).tolist()
            self._rows["chance"] += [keys | {"draw": draw} | dict(zip(scored, box, strict=True)) for box in laid]

    def tables(self) -> LocalisationTables:
        """What was measured so far."""
        columns = {
            "images": [*KEYS, "boxes", "true_boxes", *(name + end for name in OF_IMAGES for end in ("", "_chance"))],
            "boxes": [*KEYS, *BOX, "score"],
            "truths": [*KEYS, *BOX],
            "chance": [*KEYS, "draw", *BOX, "score"],
        }
        return LocalisationTables(
            **{name: pd.DataFrame(self._rows[name], columns=columns[name]) for name in LocalisationTables._fields}
        )

    def _pointing(self, saliency: Boxes, true: Boxes, inside: NDArray[np.bool_]) -> dict[str, float]:
        region = np.zeros_like(inside)
        for box in true:
            first, end = (edge.astype(int).clip(min=0) for edge in (np.floor(box[:2]), np.ceil(box[2:])))
            region[first[0] : end[0], first[1] : end[1]] = True
        constant = not np.isfinite(saliency).all() or saliency.max() <= saliency.min()
        # The maximum alone counts: the map may be below 0, and energy is not asked for.
        values = np.zeros_like(saliency) if constant else saliency
        grown = grown_region(region[None], self.tolerance_px)
        measures = pointing_hits(values[None], inside[None], grown, np.array([constant]))
        return {
            "pointing": float(measures["pointing_hit"][0]),
            "pointing_chance": float(measures["pointing_chance_breast"][0]),
        }


def evaluate_localisation(tables: LocalisationTables, *, draws: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Everything that is told of one method's boxes, from its tables alone.

    Args:
        tables: see :class:`LocalisationRecorder`.
        draws: patient-bootstrap draws.
        seed: of the draws.

    Returns:
        JSON-safe: for each finding ``counts`` and ``measures``, each with ``value``, ``chance`` and their paired
        difference ``above_chance`` as intervals:

        - ``hit_25``, ``hit_50``: share of the images with the finding whose best-scored box overlaps one of its boxes
          by that much; an image without a predicted box is a miss, and its chance is 0.
        - ``iou``: mean overlap of that box.
        - ``pointing``: share whose hottest pixel lies in a box.
        - ``ap_25``, ``ap_50``: area under precision and recall of the boxes of all images, with the finding or without.

    Raises:
        ValueError: no image, an image listed twice for a finding, a box of an image that is not listed, or ``chance``
            is not of these boxes.
    """
    _check(tables)
    return {
        "bootstrap": {"unit": "patient", "level": 0.95, "draws": draws, "seed": seed},
        "findings": {
            name: _evaluate(_of_class(tables, name), draws, seed)
            for name in sorted(tables.images["class"].unique().tolist())
        },
    }


def compare_localisation(
    first: LocalisationTables, second: LocalisationTables, *, draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Two methods on the same images: each measure of both, and the paired difference, first minus second.

    Args:
        first: of one method, FActOR's for example.
        second: of the other, Grad-CAM's for example, in any order.
        draws: patient-bootstrap draws, the same for both.
        seed: of the draws.

    Returns:
        JSON-safe: for each finding ``{measure: {"first", "second", "difference"}}``, see
        :func:`evaluate_localisation`.

    Raises:
        ValueError: see :func:`evaluate_localisation`; or the images, findings or true boxes differ.
    """
    _check(first)
    _check(second)
    sides = [_sorted(tables) for tables in (first, second)]
    for name, columns in (("images", KEYS), ("truths", [*KEYS, *BOX])):
        one, two = (getattr(tables, name)[columns] for tables in sides)
        if len(one) != len(two) or not (one.to_numpy() == two.to_numpy()).all():
            raise ValueError(f"the two methods' {name} differ; compare them on the same images and true boxes")
    return {
        name: _compare(_of_class(sides[0], name), _of_class(sides[1], name), draws, seed)
        for name in sorted(sides[0].images["class"].unique().tolist())
    }


def best_overlap(boxes: ArrayLike | Sequence[Sequence[float]], truth: ArrayLike) -> float:
    """Intersection over union of the best-scored box with the true box that it fits best; 0 without either.

    Args:
        boxes: ``(N, 5)`` row0, col0, row1, col1 and score; of equal scores the first counts.
        truth: ``(M, 4)``.
    """
    found = np.asarray(boxes, dtype=np.float64).reshape(-1, 5)
    true = np.asarray(truth, dtype=np.float64).reshape(-1, 4)
    if not len(found) or not len(true):
        return 0.0
    best = found[found[:, 4].argmax(), :4]
    return float(box_overlaps(np.broadcast_to(best, true.shape), true).max())


def _hits(found: Boxes, true: Boxes, inside: NDArray[np.bool_]) -> dict[str, float]:
    """Overlap and hits of the best-scored box, and their means over all its places in the breast."""
    overlap = best_overlap(found, true)
    elsewhere = _everywhere(found[found[:, 4].argmax(), :4], true, inside) if len(found) else np.zeros(1)
    measures = {"iou": overlap, "iou_chance": float(elsewhere.mean())}
    for name, level in zip(HITS, IOU_LEVELS, strict=True):
        measures |= {name: float(overlap >= level), f"{name}_chance": float((elsewhere >= level).mean())}
    return measures


def _everywhere(box: NDArray[np.float64], true: Boxes, inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Best overlap with a true box of ``box`` centred on each pixel of the breast."""
    sides = box[2:] - box[:2]
    firsts = [_first(np.arange(length), side, length) for length, side in zip(inside.shape, sides, strict=True)]

    def overlap(other: NDArray[np.float64]) -> NDArray[np.float64]:
        rows, columns = (
            (np.minimum(first + side, end) - np.maximum(first, start)).clip(min=0)
            for first, side, start, end in zip(firsts, sides, other[:2], other[2:], strict=True)
        )
        shared = np.outer(rows, columns)
        return np.asarray(shared / (sides.prod() + (other[2:] - other[:2]).prod() - shared))

    return np.asarray(reduce(np.maximum, (overlap(other) for other in true))[inside])


def _anywhere(corners: Boxes, inside: NDArray[np.bool_], generator: np.random.Generator) -> Boxes:
    """Boxes ``(N, 4)`` of the same sizes, each centred on a pixel of the breast drawn at random."""
    sides = corners[:, 2:] - corners[:, :2]
    pixels = np.argwhere(inside)
    centres = pixels[generator.integers(len(pixels), size=len(corners))]
    first = _first(centres, sides, np.asarray(inside.shape))
    return np.concatenate([first, first + sides], axis=1)


def _first(centre: Any, side: Any, length: Any) -> NDArray[np.float64]:
    """Where a box of ``side`` begins that is centred on a pixel and pushed inside an image of ``length``."""
    return np.asarray(np.clip(centre + 0.5 - side / 2, 0, np.maximum(length - side, 0)))


def _evaluate(tables: LocalisationTables, draws: int, seed: int) -> dict[str, Any]:
    found, chance = _measures(tables), _chances(tables)
    statistics: dict[str, Statistic] = {}
    for name in found:
        statistics |= {f"{name}/value": found[name], f"{name}/chance": chance[name]}
        statistics[f"{name}/above_chance"] = difference(found[name], chance[name])
    patients = np.concatenate([patient_keys(table) for table in (tables.images, tables.truths, tables.boxes)])
    reasons = dict.fromkeys(statistics, "no image with this finding")
    told = bootstrap_all(statistics, patients, draws=draws, seed=seed, reasons=reasons)
    with_finding = tables.images["true_boxes"] > 0
    return {
        "counts": {
            "images": len(tables.images),
            "patients": int(np.unique(patient_keys(tables.images)).size),
            "images_with_finding": int(with_finding.sum()),
            "of_these_without_box": int((tables.images["boxes"][with_finding] == 0).sum()),
            "true_boxes": len(tables.truths),
            "boxes": len(tables.boxes),
        },
        "measures": {
            name: {part: told[f"{name}/{part}"].as_dict() for part in ("value", "chance", "above_chance")}
            for name in found
        },
    }


def _compare(first: LocalisationTables, second: LocalisationTables, draws: int, seed: int) -> dict[str, Any]:
    parts = (first.images, first.truths, first.boxes, second.boxes)
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    # Images and true boxes are the same rows for both; each side has its own boxes.
    sides = [
        {name: restricted(one, owner != other) for name, one in _measures(tables).items()}
        for tables, other in ((first, 3), (second, 2))
    ]
    statistics: dict[str, Statistic] = {}
    for name, one in sides[0].items():
        two = sides[1][name]
        statistics |= {f"{name}/first": one, f"{name}/second": two, f"{name}/difference": difference(one, two)}
    patients = np.concatenate([patient_keys(part) for part in parts])
    reasons = dict.fromkeys(statistics, "no image with this finding")
    told = bootstrap_all(statistics, patients, draws=draws, seed=seed, reasons=reasons)
    return {
        name: {part: told[f"{name}/{part}"].as_dict() for part in ("first", "second", "difference")}
        for name in sides[0]
    }


def _measures(tables: LocalisationTables) -> dict[str, Statistic]:
    """Every measure, of weights whose rows are the images, then the true boxes, then the boxes."""
    return _of_images(tables, "") | _precisions(tables, matched_boxes(tables.boxes, tables.truths, IOU_LEVELS))


def _chances(tables: LocalisationTables) -> dict[str, Statistic]:
    """The chance of every measure, likewise."""
    draws = tables.chance.groupby("draw")
    laid = [_precisions(tables, matched_boxes(rows, tables.truths, IOU_LEVELS)) for _, rows in draws]
    if not laid:  # no box was found: there is none to lay elsewhere
        laid = [_precisions(tables, np.zeros((0, len(PRECISIONS)), dtype=bool))]
    return _of_images(tables, "_chance") | {name: _mean([one[name] for one in laid]) for name in PRECISIONS}


def _of_images(tables: LocalisationTables, end: str) -> dict[str, Statistic]:
    rows = np.repeat([True, False, False], [len(tables.images), len(tables.truths), len(tables.boxes)])
    return {name: restricted(weighted_mean(tables.images[name + end]), rows) for name in OF_IMAGES}


def _precisions(tables: LocalisationTables, right: NDArray[np.bool_]) -> dict[str, Statistic]:
    rows = np.repeat([False, True, True], [len(tables.images), len(tables.truths), len(tables.boxes)])
    scores, truths = tables.boxes["score"].to_numpy(float), len(tables.truths)
    return {
        name: restricted(weighted_box_precision(scores, flags, truths), rows)
        for name, flags in zip(PRECISIONS, right.T, strict=True)
    }


def _mean(statistics: Sequence[Statistic]) -> Statistic:
    return lambda weights: np.mean([one(weights) for one in statistics], axis=0)


def _of_class(tables: LocalisationTables, name: str) -> LocalisationTables:
    return LocalisationTables(*(table[table["class"] == name].reset_index(drop=True) for table in tables))


def _sorted(tables: LocalisationTables) -> LocalisationTables:
    """Images and true boxes in one order, whatever the order they were measured in."""
    images = tables.images.sort_values(KEYS, ignore_index=True)
    return tables._replace(images=images, truths=tables.truths.sort_values([*KEYS, *BOX], ignore_index=True))


def _check(tables: LocalisationTables) -> None:
    if tables.images.empty or tables.images.duplicated([*IMAGE, "class"]).any():
        raise ValueError("images must be listed, and each once by dataset, image_id and class")
    listed = pd.MultiIndex.from_frame(tables.images[KEYS])
    for name, table in (("box", tables.boxes), ("true box", tables.truths)):
        stray = ~pd.MultiIndex.from_frame(table[KEYS]).isin(listed)
        if stray.any():
            raise ValueError(f"a {name} is of image {table['image_id'][stray].iloc[0]!r}, which is not listed")
    columns = [*KEYS, "score"]
    draws = [rows[columns].to_numpy() for _, rows in tables.chance.groupby("draw")]
    boxes = tables.boxes[columns].to_numpy()
    if bool(draws) != bool(len(boxes)) or any(one.shape != boxes.shape or (one != boxes).any() for one in draws):
        raise ValueError("the chance table is not of these boxes: each draw lists all boxes in the same order")


def _arrays(
    image: Mapping[str, Any],
    boxes: ArrayLike,
    truth: ArrayLike,
    breast: ArrayLike,
    saliency: ArrayLike,
    image_score: float,
) -> tuple[NDArray[np.bool_], Boxes, Boxes]:
    """The breast, the boxes ``(N, 5)`` and the true ones ``(M, 4)``, checked."""
    name, inside = image["image_id"], np.asarray(breast) > 0
    if not inside.any() or inside.shape != np.shape(saliency):
        raise ValueError(
            f"image {name!r}: breast {inside.shape} and map {np.shape(saliency)} must be of one size, and the breast "
            "not empty; give ones to take the whole picture"
        )
    found, true = np.array(boxes, dtype=np.float64), np.array(truth, dtype=np.float64)
    found, true = found.reshape(-1, 5) if not found.size else found, true.reshape(-1, 4) if not true.size else true
    if found.shape[1:] != (5,) or true.shape[1:] != (4,) or image_score < 0:
        raise ValueError(
            f"image {name!r}: boxes {found.shape} must be (N, 5), true boxes {true.shape} (M, 4), and image_score "
            f"{image_score} 0 or more"
        )
    return inside, found, true
