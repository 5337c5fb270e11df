"""The pectoral muscle of an oblique mammogram, on the reduced picture that the breast's mask is made of.

The muscle fills the upper corner at the chest wall, and its border runs from the upper end of the breast down to the
wall. All straight borders are tried at once; the best is the one across which most of its length is brighter on the
muscle's side. Each of its points is then moved to the steepest place nearby, and a parabola is laid through them. A
border that is not clear, or not smooth, is none: the answer is an empty mask and a code, never a guess.

All lengths are shares of the long side of the reduced picture, unless they say otherwise.
"""

from typing import NamedTuple

import cv2
import numpy as np
from monai.utils import StrEnum

from .breast_region import pixels
from .segmentation import Segmentation, brightness
from .view import View

__all__ = ["Pectoral", "PectoralMuscle", "PectoralQuality", "pectoral_muscle", "without_pectoral"]


class PectoralMuscle(StrEnum):
    """Whether the pectoral muscle belongs to the mask of the breast."""

    KEEP = "keep"
    EXCLUDE = "exclude"


class PectoralQuality(StrEnum):
    """Whether the pectoral muscle was found."""

    FOUND = "found"
    NOT_OBLIQUE = "not_oblique"
    """The view is one without the muscle, such as CC; it was not looked for."""
    NO_WALL = "no_wall"
    """The side of the chest wall is not known; the mask of the breast is not ``ok``."""
    NO_CORNER = "no_corner"
    """The upper corner at the chest wall is not part of the breast."""
    NO_EDGE = "no_edge"
    """No border is clear and smooth enough."""


class Pectoral(NamedTuple):
    """The muscle in a reduced picture: uint8 {0, 1} ``(H, W)``, zero unless ``quality`` is ``found``."""

    mask: np.ndarray
    quality: PectoralQuality


class _Corner(NamedTuple):
    """Upper corner of the breast at the chest wall, on the left, in pixels of the reduced picture."""

    top: int
    wall: int
    height: int  # of the breast
    width: int  # of its upper end


class _Border(NamedTuple):
    """A border as points ``(K,)`` from the top down, the normal that points out of the muscle, and its clearness."""

    rows: np.ndarray
    columns: np.ndarray
    normal: tuple[float, float]
    contrast: float


_VIEWS = (View.MLO, View.ML, View.LM, View.LMO, View.SIO, View.ISO)
_WALL_TOLERANCE = 0.012
_CORNER = 0.06  # width of the corner that must be breast
_CORNER_HEIGHT = 0.125  # of the height of the breast
_CORNER_FILL = 0.8
_UPPER_END = 0.05  # of the height of the breast
_BLUR = 0.008
_HALF_STEP = 0.016  # the levels compared are this far to either side of a border
_STARTS = np.linspace(0.35, 1.0, 24)  # of the width of the upper end of the breast
_ENDS = np.linspace(0.35, 1.0, 26)  # of the height of the breast
_FLATTEST = 1.2  # columns a row
_ALONG = np.linspace(0.04, 0.8, 48)  # of a border: where it meets the wall it is faint
_CLEAR_PART = 0.7  # of a border that has at least its contrast
_STEP_CAP = 20.0  # levels; a vessel or a clip must not decide
_MEAN_WEIGHT = 0.25
_LEAST_CONTRAST = 8.0  # levels of 255, after the square root
_REACH = 0.05  # from the straight border to the curved one
_REACH_COST = 0.15  # levels a pixel
_LARGEST_RESIDUAL = 0.015


def pectoral_muscle(small: np.ndarray, mask: np.ndarray, wall: str | None) -> Pectoral:
    """Find the pectoral muscle in a picture that :func:`.segmentation.reduce_rows` has averaged down.

    Args:
        small: ``(H, W)`` float32 from 0, air, upwards.
        mask: ``(H, W)`` uint8 {0, 1}, the breast.
        wall: side of the chest wall, ``"left"`` or ``"right"``; None where it is not known.

    Raises:
        ValueError: for a mask of another shape, or another word for a side.
    """
    if small.shape != mask.shape:
        raise ValueError(f"mask of shape {mask.shape} on a picture of {small.shape}; expected the same shape")
    if wall is None:
        return Pectoral(np.zeros_like(mask), PectoralQuality.NO_WALL)
    if wall not in ("left", "right"):
        raise ValueError(f"wall={wall!r}; expected left, right or None")
    if wall == "right":
        found = pectoral_muscle(cv2.flip(small, 1), cv2.flip(mask, 1), "left")
        return Pectoral(cv2.flip(found.mask, 1), found.quality)
    corner = _corner(mask)
    if corner is None:
        return Pectoral(np.zeros_like(mask), PectoralQuality.NO_CORNER)
    level = cv2.GaussianBlur(brightness(small), (0, 0), max(_BLUR * max(mask.shape), 0.5)).astype(np.float32)
    muscle = _inside(_straight_border(level, corner), level, mask, corner)
    return Pectoral(np.zeros_like(mask), PectoralQuality.NO_EDGE) if muscle is None else muscle


def without_pectoral(
    small: np.ndarray, found: Segmentation, view: str | None = None
) -> tuple[Segmentation, PectoralQuality]:
    """Take the pectoral muscle out of a segmented breast.

    Args:
        small: the reduced picture ``(H, W)`` that was segmented.
        found: its segmentation.
        view: abbreviation of the projection (:class:`~mammo.transforms.View`); the muscle is not looked for in one
            that does not show it. None: the picture decides.

    Returns:
        The segmentation with the muscle's part of the mask at zero, and whether the muscle was found; where it was
        not, the segmentation as it came.
    """
    if view is not None and view not in _VIEWS:
        return found, PectoralQuality.NOT_OBLIQUE
    muscle = pectoral_muscle(small, found.mask, found.wall)
    return found._replace(mask=found.mask & (1 - muscle.mask)), muscle.quality


def _corner(mask: np.ndarray) -> _Corner | None:
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return None
    top, height = int(rows[0]), int(rows[-1] - rows[0] + 1)
    near = pixels(mask, _WALL_TOLERANCE)
    # The wall is where most rows begin, not where the first one does.
    ends = np.convolve(np.bincount(mask[rows].argmax(axis=1), minlength=near + 1), np.ones(near + 1), "valid")
    wall = int(ends.argmax())
    part = mask[top : top + max(round(_CORNER_HEIGHT * height), 2), wall : wall + max(pixels(mask, _CORNER), 2)]
    if part.mean() < _CORNER_FILL:
        return None
    upper = mask[top : top + max(round(_UPPER_END * height), 1), wall:].any(axis=0)
    return _Corner(top, wall, height, int(np.flatnonzero(upper)[-1]) + 1)


def _straight_border(level: np.ndarray, corner: _Corner) -> _Border:
    """Best of all straight borders that start along the upper end and end at the wall."""
    width, height = (part.ravel() for part in np.meshgrid(_STARTS * corner.width, _ENDS * corner.height))
    steep = width <= _FLATTEST * height
    width, height = width[steep, None], height[steep, None]  # (N, 1)
    rows, columns = corner.top + height * _ALONG, corner.wall + width * (1 - _ALONG)  # (N, K)
    length = np.hypot(width, height)
    normal = width / length, height / length
    steps = _steps(level, rows, columns, normal)
    rank = int((1 - _CLEAR_PART) * (steps.shape[1] - 1))
    contrast = np.partition(steps, rank, axis=1)[:, rank]
    best = int((contrast + _MEAN_WEIGHT * np.minimum(steps, _STEP_CAP).mean(axis=1)).argmax())
    direction = float(normal[0][best, 0]), float(normal[1][best, 0])
    return _Border(rows[best], columns[best], direction, float(contrast[best]))


def _inside(border: _Border, level: np.ndarray, mask: np.ndarray, corner: _Corner) -> Pectoral | None:
    """Bend the border to the steepest places nearby, and fill what it cuts off; None where it is not good enough."""
    side = max(mask.shape)
    reach = np.linspace(-_REACH, _REACH, 33) * side
    down, across = border.normal
    rows, columns = border.rows[:, None] + reach * down, border.columns[:, None] + reach * across
    steps = _steps(level, rows, columns, border.normal) - _REACH_COST * np.abs(reach)
    moved = reach[steps.argmax(axis=1)]
    bend = np.polynomial.Polynomial.fit(_ALONG, moved, 2, w=np.maximum(steps.max(axis=1), 0.5))
    residual = float(np.median(np.abs(bend(_ALONG) - moved)))
    if border.contrast < _LEAST_CONTRAST or residual > _LARGEST_RESIDUAL * side:
        return None
    # Beyond the points that were looked at the border goes on straight.
    along = np.linspace(-0.05, 1.05, 60)
    offset = np.clip(bend(np.clip(along, _ALONG[0], _ALONG[-1])), -_REACH * side, _REACH * side)
    share = (along - _ALONG[0]) / (_ALONG[-1] - _ALONG[0])
    edge_rows = border.rows[0] + share * (border.rows[-1] - border.rows[0]) + offset * down
    edge_columns = border.columns[0] + share * (border.columns[-1] - border.columns[0]) + offset * across
    outline = np.stack(
        [
            np.concatenate([edge_columns, [-1, -1, edge_columns[0]]]),
            np.concatenate([edge_rows, [edge_rows[-1], corner.top - 1, corner.top - 1]]),
        ],
        axis=1,
    )
    filled = cv2.fillPoly(np.zeros_like(mask), [np.rint(outline).astype(np.int32)], 1)
    return Pectoral(filled & mask, PectoralQuality.FOUND)


def _steps(
    level: np.ndarray, rows: np.ndarray, columns: np.ndarray, normal: tuple[np.ndarray | float, np.ndarray | float]
) -> np.ndarray:
    """How much brighter ``level`` is on the near side of each point than on the far side, along ``normal``."""
    half = _HALF_STEP * max(level.shape)
    down, across = half * normal[0], half * normal[1]
    return _at(level, rows - down, columns - across) - _at(level, rows + down, columns + across)


def _at(level: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    inside = (
        np.clip(np.rint(part).astype(np.intp), 0, n - 1) for part, n in zip((rows, columns), level.shape, strict=True)
    )
    return level[tuple(inside)]
