"""Text burned into the picture outside the breast, found on the reduced copy that the mask is made of."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

__all__ = ["text_regions"]

Box = tuple[int, int, int, int]
"""row0, column0, row1, column1, half-open."""


class _Mark(NamedTuple):
    """A bright stroke, letter or run of letters; ``fill`` is its share of its box."""

    box: Box
    fill: float

    @property
    def sides(self) -> tuple[int, int]:
        row0, column0, row1, column1 = self.box
        short, long = sorted((row1 - row0, column1 - column0))
        return short, long


# Shares of the long side of the picture.
_STROKE = 0.055  # strokes are thinner
_LETTER = 0.12  # letters are smaller
_LINE = 0.35  # a line of letters that run together is shorter
_LINE_HEIGHT = 0.05
_GAP = 0.02  # between the letters of a word
_WORD = 0.02  # a mark of this length can be a word by itself
# Shares of the mean brightness of the breast.
_CONTRAST = 0.15
_AIR_RISE = 0.2  # text stands on air, not on an arm or a fold
# Others.
_BREAST = 127  # mean level of the breast
_NOISE = 3.0  # times what air rises from its surroundings
_LONGEST = 12.0  # times as long as thick; scanner lines are longer
_LETTER_FILL, _LINE_FILL = 0.85, 0.95
_WALL_ZONE = 0.25  # of the columns: skin folds and arms lie beside the chest wall,
_WALL_MARKS = 4  # so it takes more to be text there
_LEAST_WALL = 0.1  # of the rows


def text_regions(small: np.ndarray, mask: np.ndarray) -> list[Box]:
    """Find what looks like text outside the breast: groups of bright, thin marks on air.

    Nothing is read: a side marker ("R CC"), which every mammogram may have, and a patient's name look the same.
    A marker is one region; names, dates and exposure data are more. It takes 0.3 to 0.7 ms.

    Measured on mini-MIAS (214 films), CDD-CESM (677 subtracted images), the NEMA sample MG1 (one film with the label
    "L MLO", in 21 encodings) and one digital exam. Found: the label of MG1 in every encoding; both films of mini-MIAS
    whose labels are whole; of text drawn onto 83 of these pictures, half as bright as their brightest parts or
    brighter, 1.2 to 4 % of the height, 658 of 663 words and 51 of 112 single letters (those from 2.5 % on nearly all).
    False alarms: none on films, 12 of 677 subtracted images (skin folds, arms), 4 of them with more than one region.
    Not found: text that the frame cuts or that touches the breast, and dark text on bright film.

    Args:
        small: ``(H, W)`` float32 from 0, air, upwards, of about 320 px; see :func:`.segmentation.reduce_rows`.
        mask: ``(H, W)`` uint8 {0, 1}, the breast in ``small``.

    Returns:
        Boxes in ``small``, row0, column0, row1, column1, half-open, from top to bottom.
    """
    marks = _marks(small, mask)
    if not marks:
        return []
    half_gap = max(1, round(_GAP * max(small.shape) / 2))  # on every side, it joins what is a gap apart
    canvas = np.zeros(small.shape, np.uint8)
    for row0, column0, row1, column1 in (mark.box for mark in marks):
        rows = slice(max(row0 - half_gap, 0), row1 + half_gap)
        canvas[rows, max(column0 - half_gap, 0) : column1 + half_gap] = 1
    _, labels = cv2.connectedComponents(canvas, connectivity=8)
    groups: dict[int, list[_Mark]] = {}
    for mark in marks:
        groups.setdefault(int(labels[mark.box[:2]]), []).append(mark)
    zone = _wall_zone(mask)
    return sorted(_hull(group) for group in groups.values() if _is_text(group, zone, max(small.shape)))


def _marks(small: np.ndarray, mask: np.ndarray) -> list[_Mark]:
    breast = cv2.mean(small, mask)[0] if mask.any() else float(small.max()) / 2
    if breast <= 0:
        return []
    level = cv2.convertScaleAbs(small, alpha=_BREAST / breast)
    size = round(_STROKE * max(small.shape)) | 1
    ground = cv2.morphologyEx(level, cv2.MORPH_OPEN, np.ones((size, size), np.uint8))
    rise = cv2.subtract(level, ground)
    near = cv2.dilate(mask, np.ones((5, 5), np.uint8))
    air = near == 0
    bright = (rise > _BREAST * _CONTRAST) & air
    if not bright.any():
        return []
    usual_level, usual_rise = (float(np.median(part[air][::4])) for part in (level, rise))
    bright &= (ground <= usual_level + _BREAST * _AIR_RISE) & (rise > _NOISE * usual_rise)
    outlines, _ = cv2.findContours(bright.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    marks = (_mark(cv2.boundingRect(outline), bright) for outline in outlines)
    return [mark for mark in marks if _has_size_of_text(mark, small.shape) and not _touches(mark, near)]


def _mark(rectangle: Sequence[int], bright: np.ndarray) -> _Mark:
    column, row, width, height = rectangle
    part = bright[row : row + height, column : column + width]
    return _Mark((row, column, row + height, column + width), float(part.mean()))


def _has_size_of_text(mark: _Mark, shape: tuple[int, ...]) -> bool:
    short, long = mark.sides
    row0, column0, row1, column1 = mark.box
    if row0 == 0 or column0 == 0 or row1 == shape[0] or column1 == shape[1]:
        return False  # film borders and notches
    longest = _LINE if short <= _LINE_HEIGHT * max(shape) else _LETTER
    return short >= 2 and 3 <= long <= min(longest * max(shape), _LONGEST * short)


def _touches(mark: _Mark, near: np.ndarray) -> bool:
    """Whether a mark lies against the breast: nipples and folds that the mask left out do."""
    row0, column0, row1, column1 = mark.box
    return bool(near[row0 - 1 : row1 + 1, column0 - 1 : column1 + 1].any())


def _wall_zone(mask: np.ndarray) -> tuple[float, float]:
    """Columns of the zone beside the chest wall, from and to; none where the breast reaches neither side."""
    rows, columns = mask.shape
    left, right = cv2.countNonZero(mask[:, 0]), cv2.countNonZero(mask[:, -1])
    if max(left, right) < _LEAST_WALL * rows:
        return 0, 0
    return (0, _WALL_ZONE * columns) if left >= right else ((1 - _WALL_ZONE) * columns, columns)


def _is_text(group: list[_Mark], zone: tuple[float, float], long_side: int) -> bool:
    box = _hull(group)
    if zone[0] < (box[1] + box[3]) / 2 < zone[1]:
        return len(group) >= _WALL_MARKS
    return len(group) > 1 or _is_word(group[0], long_side)


def _is_word(mark: _Mark, long_side: int) -> bool:
    """Whether a single mark can be a letter, or letters that run together when they are small."""
    short, long = mark.sides
    runs_together = short >= 3 and long >= 2 * short and mark.fill < _LINE_FILL
    return long >= _WORD * long_side and (runs_together or mark.fill < _LETTER_FILL)


def _hull(group: list[_Mark]) -> Box:
    row0, column0, row1, column1 = zip(*(mark.box for mark in group), strict=True)
    return min(row0), min(column0), max(row1), max(column1)
