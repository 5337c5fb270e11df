"""From heat-maps of attributes to boxes: the quantile is chosen on validation images, boxes measured on test ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...transforms.geometry import to_grid_box, to_original_box
from ..metrics.localisation import LocalisationRecorder, LocalisationTables
from .map_boxes import Box, BoxScore, boxes_of_map, choose_quantile, enlarge_map

__all__ = ["Choice", "LocatedImage", "MapsOfMethod", "choose", "found_boxes", "original_boxes", "record"]

CHOSEN_ON = "validation"
MEASURED_ON = "test"


@dataclass(frozen=True)
class LocatedImage:
    """An image whose findings have places.

    Attributes:
        known: ``dataset``, ``image_id``, ``patient_id``, ``split``.
        size: rows and columns of the network's grid.
        breast: its mask on the grid, packed bits, row by row.
        truth: of each attribute the true boxes ``(N, 4)`` on the grid, half-open.
        matrix: ``(3, 3)``, from the grid to original pixels.
    """

    known: Mapping[str, Any]
    size: tuple[int, int]
    breast: NDArray[np.uint8]
    truth: Sequence[NDArray[np.float64]]
    matrix: NDArray[np.float64]

    @classmethod
    def of(
        cls, record: Mapping[str, Any], attributes: Sequence[str], breast: NDArray[Any], matrix: NDArray[Any]
    ) -> LocatedImage:
        """From a record with located ``findings``, its breast mask ``(H, W)`` and the matrix of its preparation."""
        boxes = {name: [f["box"] for f in record["findings"] if f["type"] == name] for name in attributes}
        grid = np.asarray(matrix, dtype=np.float64)
        return cls(
            known={name: record[name] for name in ("dataset", "image_id", "patient_id", "split")},
            size=(breast.shape[0], breast.shape[1]),
            breast=np.packbits(breast > 0),
            truth=[np.array([to_grid_box(tuple(b), grid) for b in own]).reshape(-1, 4) for own in boxes.values()],
            matrix=grid,
        )

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The breast ``(H, W)``; the whole grid where none was found."""
        rows, columns = self.size
        inside = np.unpackbits(self.breast, count=rows * columns).reshape(rows, columns).astype(bool)
        return inside if inside.any() else np.ones_like(inside)


@dataclass
class MapsOfMethod:
    """What a method showed of the images, in their order.

    Attributes:
        stride: pixels along the side of a place of the maps.
        maps: of each image ``(A, h, w)``.
        scores: of each image ``(A,)``, 0 or more.
    """

    stride: int
    maps: list[NDArray[np.float32]] = field(default_factory=list)
    scores: list[NDArray[np.float32]] = field(default_factory=list)


@dataclass(frozen=True)
class Choice:
    """What was chosen for an attribute, and how well that did on validation images.

    Attributes:
        variant: which of the variants' maps.
        quantile: from which a pixel is hot.
        hit_rate: on validation, at an overlap of 0.25; None where there was nothing to choose.
        mean_iou: likewise.
    """

    variant: int
    quantile: float
    hit_rate: float | None = None
    mean_iou: float | None = None


def choose(
    images: Sequence[LocatedImage],
    variants: Sequence[MapsOfMethod],
    place: int,
    *,
    candidates: Sequence[float],
    fixed: float | None = None,
    largest_by: str = BoxScore.PEAK,
) -> Choice:
    """The variant and the quantile whose boxes do best on validation images, by hits and then by overlap.

    Args:
        images: of all sections; those of validation that have the attribute are looked at.
        variants: maps of one method, such as those of several stages of the encoder.
        place: of the attribute.
        candidates: quantiles to try.
        fixed: the only quantile; of several variants the best is still chosen.
        largest_by: see :class:`BoxScore`.

    Raises:
        ValueError: no validation image has a box of the attribute.
    """
    if fixed is not None and len(variants) == 1:
        return Choice(0, fixed)
    seen = [n for n, image in enumerate(images) if image.known["split"] == CHOSEN_ON and len(image.truth[place])]
    if not seen:
        raise ValueError(
            "no validation image has a box of the attribute: the quantile cannot be chosen; give --quantile, such as "
            "0.95, and one stage"
        )
    found = []
    for number, variant in enumerate(variants):
        chosen = choose_quantile(
            [variant.maps[n][place] for n in seen],
            [images[n].truth[place] for n in seen],
            candidates if fixed is None else [fixed],
            sizes=[images[n].size for n in seen],
            masks=[images[n].mask for n in seen],
            largest_by=largest_by,
            stride=variant.stride,
        )
        at = chosen.candidates.index(chosen.quantile)
        found.append((chosen.hit_rates[at], chosen.mean_ious[at], -number, chosen.quantile))
    hit_rate, mean_iou, number, quantile = max(found)
    return Choice(-number, quantile, hit_rate, mean_iou)


def found_boxes(
    image: LocatedImage,
    shown: MapsOfMethod,
    number: int,
    place: int,
    quantile: float,
    *,
    limit: int | None = None,
    largest_by: str = BoxScore.PEAK,
) -> list[Box]:
    """Boxes of one attribute in one image, on the grid, highest score first."""
    return boxes_of_map(
        shown.maps[number][place],
        quantile,
        size=image.size,
        mask=image.mask,
        largest_by=largest_by,
        limit=limit,
        stride=shown.stride,
    )


def original_boxes(
    matrix: NDArray[np.float64], boxes: Sequence[Sequence[float]]
) -> list[tuple[float, float, float, float]]:
    """Boxes of the grid, whatever their score, in original pixels; the matrix leads there."""
    return [to_original_box((b[0], b[1], b[2], b[3]), matrix) for b in boxes]


def record(
    images: Sequence[LocatedImage],
    variants: Sequence[MapsOfMethod],
    choices: Mapping[str, Choice],
    *,
    limit: int | None = None,
    largest_by: str = BoxScore.PEAK,
    seed: int = 0,
) -> LocalisationTables:
    """Measure the test images of one method.

    Boxes are compared on the network's grid: overlaps are the same in original pixels, since rows and columns are only
    moved and scaled.

    Args:
        images: of all sections.
        variants: maps of the method.
        choices: of each attribute, in their order.
        limit: boxes of an image at most.
        largest_by: see :class:`BoxScore`.
        seed: of the boxes laid at random.
    """
    recorder = LocalisationRecorder(seed=seed)
    for number, image in enumerate(images):
        if image.known["split"] != MEASURED_ON:
            continue
        for place, (name, choice) in enumerate(choices.items()):
            shown = variants[choice.variant]
            quantile = choice.quantile
            boxes = found_boxes(image, shown, number, place, quantile, limit=limit, largest_by=largest_by)
            recorder.add(
                image.known,
                name,
                boxes=np.array(boxes, dtype=np.float64).reshape(-1, 5),
                truth=image.truth[place],
                breast=image.mask,
                saliency=enlarge_map(shown.maps[number][place], image.size, shown.stride),
                image_score=float(shown.scores[number][place]),
            )
    return recorder.tables()
