"""Where the breast is, found on a reduced copy of the picture.

The ingredients are those of the published Swin systems (CLAHE, Otsu's threshold, morphology); the order is
not, because theirs marks a whole film as breast: equalised noise passes the second threshold. Here

1. the picture is averaged down to about 320 px, compressed by a square root and freed of specks (median);
2. the core is what passes Otsu's threshold with or without CLAHE; an opening cuts film borders, labels and
   tape off, and the largest component stays;
3. the dim skin line is what stands out from the air around it; the air is measured locally, since film fog
   is uneven;
4. holes are filled, and the result is judged: see :class:`MaskQuality`.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from monai.utils import StrEnum

__all__ = [
    "MaskQuality",
    "Segmentation",
    "chest_wall",
    "chest_wall_reduced",
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
# All that follow are shares of the long side of the reduced picture, unless they say otherwise.
_OPENING = 0.022  # film borders and label strips are thinner, breasts are not
_AIR_DISTANCE = 0.05  # pixels this far from the core are taken for air
_SKIN_DISTANCE = 0.08  # the skin line is sought no further from the core
_AIR_SMOOTHING = 0.12
_SKIN_LEVEL = 0.3  # skin begins this far up from the air to the core's threshold
_AIR_NOISE_SD = 4.0
_MOST_NOISE = 8.0  # levels; more is uneven fog, not noise
_LEAST_CONTRAST = 8  # levels of 255 after the square root
_LEAST_AREA = 0.02  # of the frame
_FULL_AREA = 0.97  # of the frame
_SECOND_AREA = 0.3  # of the largest region
_LARGEST_GAP = 0.15  # of the mask
_STRAIGHT = 0.012
_WALL_LEVEL = 0.5  # of the mean level of the breast
_LEAST_WALL = 0.12  # of the rows of the mask
_CLEAR_WALL = 1.5  # one side must score this many times the other
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
    return segment_reduced(*_reduced(image))


def chest_wall(image: np.ndarray) -> str | None:
    """Side of the chest wall in a float32 picture ``(H, W)``; None where the pixels do not tell."""
    return chest_wall_reduced(_reduced(image)[0])


def chest_wall_reduced(small: np.ndarray) -> str | None:
    """Side of the chest wall in a picture that :func:`reduce_rows` has averaged down; coarse is enough."""
    factor = reduction(small.shape, _WALL_SIDE_PX)
    return segment_reduced(reduce_rows(lambda part: small[part], (small.shape[0], small.shape[1]), factor), 1).wall


def _reduced(image: np.ndarray) -> tuple[np.ndarray, int]:
    factor = reduction(image.shape)
    return reduce_rows(lambda part: image[part], (image.shape[0], image.shape[1]), factor), factor


def segment_reduced(small: np.ndarray, factor: int) -> Segmentation:
    """Segment a picture that :func:`reduce_rows` has averaged down by ``factor``."""
    level = _level(small)
    if int(level.max()) - int(level.min()) < _LEAST_CONTRAST:
        return Segmentation(np.zeros_like(level), factor, MaskQuality.EMPTY, None)
    regions = _core(level)
    core, areas = _largest(regions)
    if core.mean() < _LEAST_AREA:
        return Segmentation(np.zeros_like(core), factor, MaskQuality.EMPTY, None)
    mask = _fill_holes(_grow_to_skin(level, core))
    walls = _wall_score(level, mask), _wall_score(level[:, ::-1], mask[:, ::-1])
    quality = _quality(mask, areas, walls)
    return Segmentation(mask, factor, quality, _wall(walls) if quality == MaskQuality.OK else None)


def _level(small: np.ndarray) -> np.ndarray:
    """Brightness as uint8: square root of the share of the brightest, without specks."""
    small = cv2.medianBlur(np.ascontiguousarray(small, dtype=np.float32), 5)
    brightest = max(float(np.percentile(small[::2, ::2], 99.5)), np.finfo(np.float32).tiny)
    return (np.sqrt(np.clip(small / brightest, 0, 1)) * 255).astype(np.uint8)


def _core(level: np.ndarray) -> np.ndarray:
    equalised = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(8, 8)).apply(level)
    bright = (level > _otsu(level)) | (equalised > _otsu(equalised))
    return _open(bright.astype(np.uint8))


def _otsu(values: np.ndarray) -> float:
    return cv2.threshold(values.reshape(1, -1), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0]


def _open(mask: np.ndarray) -> np.ndarray:
    """Remove what is thinner than the opening, at the borders of the frame too."""
    size = _pixels(mask, _OPENING)
    padded = cv2.copyMakeBorder(mask, size, size, size, size, cv2.BORDER_CONSTANT, value=0)
    # A rectangle keeps the corners of a breast that is cut by the frame; the ellipse gives back its curves.
    kept = cv2.morphologyEx(padded, cv2.MORPH_OPEN, np.ones((size, size), np.uint8))
    near = cv2.dilate(kept, _ellipse(size))
    return cv2.bitwise_and(padded, near)[size:-size, size:-size]


def _grow_to_skin(level: np.ndarray, core: np.ndarray) -> np.ndarray:
    away = cv2.distanceTransform(1 - core, cv2.DIST_L2, cv2.DIST_MASK_3)
    air = away > _pixels(core, _AIR_DISTANCE)
    if not air.any():
        return core
    sample = level[air][::4]
    typical = float(np.median(sample))
    noise = 1.4826 * float(np.median(np.abs(sample - typical)))
    local = _local_mean(level, air, typical)
    rise = np.maximum(_AIR_NOISE_SD * min(noise, _MOST_NOISE), _SKIN_LEVEL * (_otsu(level) - local))
    skin = (level > local + rise) & (away <= _pixels(core, _SKIN_DISTANCE))
    return _largest(_smooth(_open(skin.astype(np.uint8) | core)))[0]


def _local_mean(level: np.ndarray, air: np.ndarray, typical: float) -> np.ndarray:
    """Mean level of the air around each pixel; ``typical`` where there is none near. Smooth, so done coarsely."""
    full = level.shape[::-1]
    coarse = tuple(max(n // 4, 1) for n in full)
    weight = cv2.resize(air.astype(np.float32), coarse, interpolation=cv2.INTER_AREA)
    light = cv2.resize((level * air).astype(np.float32), coarse, interpolation=cv2.INTER_AREA)
    size = (2 * _pixels(weight, _AIR_SMOOTHING) + 1,) * 2
    weight, light = (cv2.blur(part, size, borderType=cv2.BORDER_REPLICATE) for part in (weight, light))
    mean = np.where(weight > 0.02, light / np.maximum(weight, 0.02), np.float32(typical))
    return cv2.resize(mean, full, interpolation=cv2.INTER_LINEAR)


def _smooth(mask: np.ndarray) -> np.ndarray:
    size = _pixels(mask, _OPENING)
    padded = cv2.copyMakeBorder(mask, size, size, size, size, cv2.BORDER_REPLICATE)
    return cv2.morphologyEx(padded, cv2.MORPH_CLOSE, _ellipse(size))[size:-size, size:-size]


def _largest(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest component of ``mask`` and the areas of all, ascending."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if count < 2:
        return np.zeros_like(mask), areas
    return (labels == 1 + np.argmax(areas)).astype(np.uint8), np.sort(areas)


def _fill_holes(mask: np.ndarray) -> np.ndarray:
    """Fill holes, and gaps in the chest wall (skin folds, implants) that open to the side of the frame."""
    filled = _fill_enclosed(mask)
    padded = cv2.copyMakeBorder(filled, 0, 0, 1, 1, cv2.BORDER_CONSTANT, value=0)
    for column, inner in ((0, 1), (-1, -2)):
        touching = np.flatnonzero(padded[:, inner])
        if touching.size:
            padded[touching[0] : touching[-1] + 1, column] = 1
    closed = _fill_enclosed(padded)[:, 1:-1]
    return closed if closed.sum() <= (1 + _LARGEST_GAP) * filled.sum() else filled


def _fill_enclosed(mask: np.ndarray) -> np.ndarray:
    outside = cv2.copyMakeBorder(1 - mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    cv2.floodFill(outside, None, (0, 0), 2)
    return (outside[1:-1, 1:-1] != 2).astype(np.uint8)


def _wall_score(level: np.ndarray, mask: np.ndarray) -> float:
    """Score the left side of ``mask``: the share of its rows that end there together and bright.

    A chest wall is cut by the detector: straight, vertical and bright to the last pixel. Skin is curved
    and fades.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    inset = _pixels(mask, _STRAIGHT)
    edge = level[rows, np.minimum(first + inset, level.shape[1] - 1)]
    bright = edge > _WALL_LEVEL * level[mask > 0].mean()
    return float((bright & (first <= first.min() + inset)).mean())


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


def _pixels(image: np.ndarray, share: float) -> int:
    return max(1, round(share * max(image.shape)))


def _ellipse(size: int) -> np.ndarray:
    odd = size | 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (odd, odd))
