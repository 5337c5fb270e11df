"""Where the breast is, found on a reduced copy of the picture.

The ingredients are those of the published Swin systems (CLAHE, Otsu's threshold, morphology); the order is
not, because theirs marks a whole film as breast: equalised noise passes the second threshold. Here

1. the picture is averaged down to about 320 px, compressed by a square root and freed of specks (median);
2. the breast is a bright core, grown to the skin line: see ``breast_region.py``;
3. the result is judged: see :class:`MaskQuality`.

What a breast is: all imaged tissue in one piece, with the pectoral muscle, the nipple, implants and skin folds; without
air, film borders, labels, tape, and what lies beyond an air gap. docs/masks.md has the measurements.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from monai.utils import StrEnum

from .breast_region import breast_region, pixels

__all__ = [
    "MaskQuality",
    "Segmentation",
    "brightness",
    "chest_wall",
    "chest_wall_reduced",
    "reduce_picture",
    "reduce_rows",
    "reduction",
    "segment_breast",
    "segment_reduced",
]


class MaskQuality(StrEnum):
    """What a breast mask is worth."""

    OK = "ok"
    EMPTY = "empty"
    """No breast was found; the mask is zero."""
    FULL_FRAME = "full_frame"
    """No air was found; the mask is (nearly) the whole frame."""
    TWO_BREASTS = "two_breasts"
    """A second region of similar size, or a chest wall on both sides; the mask holds the largest region."""
    CUT_OFF = "cut_off"
    """The breast reaches the frame on both sides: a magnified or badly placed view."""
    NO_CHEST_WALL_EDGE = "no_chest_wall_edge"
    """The region ends on neither side in a straight, bright edge: not a whole breast, or not a breast."""


class Segmentation(NamedTuple):
    """Mask of the reduced picture.

    ``mask`` is uint8 {0, 1}, one element for ``factor x factor`` pixels; ``wall`` is the side of the chest
    wall, ``"left"``, ``"right"`` or None where the quality is not ``ok``.
    """

    mask: np.ndarray
    factor: int
    quality: MaskQuality
    wall: str | None


_MASK_SIDE_PX = 320  # an element is 0.85 mm on a film scan
_WALL_SIDE_PX = 160  # where only the side of the chest wall is asked for
_ROWS_TAKEN = 2
_BLOCK_ROWS = 64  # rows of the reduced picture done at a time: they stay in a core's cache
_LEAST_CONTRAST = 8  # levels of 255 after the square root
_MOST_NOISE_AREA = 0.9  # of the frame: more is tissue from edge to edge
_LEAST_STEP = 12  # levels; every real image of the references has 100 and more, noise below 1
_LEAST_AREA = 0.02  # of the frame
_FULL_AREA = 0.97  # of the frame
_SECOND_AREA = 0.3  # of the largest region
_STRAIGHT = 0.012  # of the long side of the reduced picture
_WALL_LEVEL = 0.5  # of the mean level of the breast
_LEAST_WALL = 0.12  # of the rows of the mask
_CLEAR_WALL = 1.3  # one side must score this many times the other
_SECOND_WALL = 0.5  # of the rows of the mask
_WAIST = 0.5  # of the height at either side


def reduction(shape: tuple[int, ...], long_side_px: int = _MASK_SIDE_PX) -> int:
    """Return the whole factor that brings the long side of ``shape`` to about ``long_side_px``."""
    return max(1, round(max(shape) / long_side_px))


def reduce_rows(rows: Callable[[slice], np.ndarray], shape: tuple[int, int], factor: int) -> np.ndarray:
    """Average ``factor x factor`` pixels to one; what a division leaves over at the far ends is dropped.

    Of each ``factor`` rows only two are averaged: a mask needs no more, and the others need not be made.

    Args:
        rows: gives the rows of a slice, steps included, as float32.
        shape: rows and columns of the picture.
        factor: see :func:`reduction`.
    """
    size = shape[0] // factor, shape[1] // factor
    taken = min(factor, _ROWS_TAKEN)
    small = np.zeros(size, dtype=np.float32)
    for first in range(0, size[0], _BLOCK_ROWS):
        part = small[first : first + _BLOCK_ROWS]
        for n in range(taken):
            start = first * factor + (2 * n + 1) * factor // (2 * taken)
            block = rows(slice(start, (first + len(part)) * factor, factor))[:, : size[1] * factor]
            part += cv2.resize(block, part.shape[::-1], interpolation=cv2.INTER_AREA) if factor > 1 else block
    return small / taken


def segment_breast(image: np.ndarray) -> Segmentation:
    """Segment the breast in a float32 picture ``(H, W)`` with values from 0, air, upwards."""
    return segment_reduced(*reduce_picture(image))


def chest_wall(image: np.ndarray) -> str | None:
    """Side of the chest wall in a float32 picture ``(H, W)``; None where the pixels do not tell."""
    return chest_wall_reduced(reduce_picture(image)[0])


def chest_wall_reduced(small: np.ndarray) -> str | None:
    """Side of the chest wall in a picture that :func:`reduce_rows` has averaged down; coarse is enough."""
    factor = reduction(small.shape, _WALL_SIDE_PX)
    return segment_reduced(reduce_rows(lambda part: small[part], (small.shape[0], small.shape[1]), factor), 1).wall


def reduce_picture(image: np.ndarray) -> tuple[np.ndarray, int]:
    """Average a float32 picture ``(H, W)`` down to about 320 px; return it and the factor."""
    factor = reduction(image.shape)
    return reduce_rows(lambda part: image[part], (image.shape[0], image.shape[1]), factor), factor


def segment_reduced(small: np.ndarray, factor: int) -> Segmentation:
    """Segment a picture that :func:`reduce_rows` has averaged down by ``factor``."""
    level = brightness(small)
    if int(level.max()) - int(level.min()) < _LEAST_CONTRAST:
        return Segmentation(np.zeros_like(level), factor, MaskQuality.EMPTY, None)
    mask, areas = breast_region(level)
    if not len(areas) or areas[-1] < _LEAST_AREA * level.size or _is_noise(level, mask):
        return Segmentation(np.zeros_like(level), factor, MaskQuality.EMPTY, None)
    walls = _wall_score(level, mask), _wall_score(level[:, ::-1], mask[:, ::-1])
    quality = _quality(mask, areas, walls)
    return Segmentation(mask, factor, quality, _wall(walls) if quality == MaskQuality.OK else None)


def _is_noise(level: np.ndarray, mask: np.ndarray) -> bool:
    """Whether what was found is no brighter than what is around it: the threshold of pure noise separates nothing."""
    step = cv2.mean(level, mask)[0] - cv2.mean(level, 1 - mask)[0]
    return bool(step < _LEAST_STEP and mask.mean() < _MOST_NOISE_AREA)


def brightness(small: np.ndarray) -> np.ndarray:
    """Brightness of a reduced picture as uint8: square root of the share of the brightest, without specks."""
    small = cv2.medianBlur(np.ascontiguousarray(small, dtype=np.float32), 5)
    brightest = max(float(np.percentile(small[::2, ::2], 99.5)), float(np.finfo(np.float32).tiny))
    return (np.sqrt(np.clip(small / brightest, 0, 1)) * 255).astype(np.uint8)


def _wall_score(level: np.ndarray, mask: np.ndarray) -> float:
    """Score the left side of ``mask``: the largest share of its rows that end together and bright.

    A chest wall is cut by the detector: straight, vertical and bright to the last pixel. Skin is curved
    and fades.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    inset = pixels(mask, _STRAIGHT)
    edge = level[rows, np.minimum(first + inset, level.shape[1] - 1)]
    ends = np.bincount(first[edge > _WALL_LEVEL * level[mask > 0].mean()], minlength=inset + 1)
    return float(np.convolve(ends, np.ones(inset + 1)).max() / len(rows))


def _wall(walls: tuple[float, float]) -> str | None:
    low, high = sorted(walls)
    if high < max(_LEAST_WALL, _CLEAR_WALL * low) or low > _SECOND_WALL:
        return None
    return "left" if walls[0] > walls[1] else "right"


def _quality(mask: np.ndarray, areas: np.ndarray, walls: tuple[float, float]) -> MaskQuality:
    if mask.mean() > _FULL_AREA:
        return MaskQuality.FULL_FRAME
    if len(areas) > 1 and areas[-2] > _SECOND_AREA * areas[-1]:
        return MaskQuality.TWO_BREASTS
    if min(walls) > _SECOND_WALL:
        return MaskQuality.TWO_BREASTS if _has_waist(mask) else MaskQuality.CUT_OFF
    return MaskQuality.OK if _wall(walls) else MaskQuality.NO_CHEST_WALL_EDGE


def _has_waist(mask: np.ndarray) -> bool:
    """Whether the region is thin in its middle: two breasts that touch at the nipples."""
    heights = mask.sum(axis=0)
    heights = heights[np.flatnonzero(heights)[0] : np.flatnonzero(heights)[-1] + 1]
    third = max(len(heights) // 3, 1)
    ends = min(heights[:third].max(), heights[-third:].max())
    return bool(heights[third:-third].min(initial=ends) < _WAIST * ends)
