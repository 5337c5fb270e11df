"""Regions of findings and squares around or beside them, as arrays of boxes; no image is read here.

A box is ``row0, col0, row1, col1`` in original pixels, half-open; boxes are ``(N, 4)`` float64.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import map_coordinates

from ...transforms.segmentation import Segmentation
from .schema import Finding

__all__ = ["Boxes", "finding_box", "inside_shares", "overlap_shares", "sample_squares", "seeded", "square_boxes"]

Boxes = NDArray[np.float64]

TRIES = 2000
"""Places drawn for the patches of one image; all are judged at once."""


def finding_box(finding: Finding) -> list[float] | None:
    """Box of a finding, from its ``box``, ``polygon`` or ``circle``, in this order; None where it has none of them.

    The points of a polygon and the ends of a circle's diameters are pixels that belong to the finding, so the box
    ends one pixel after the last. It is not clipped: the size of the image is not known here.
    """
    if "box" in finding:
        return list(map(float, finding["box"]))
    if "polygon" in finding:
        points = np.asarray(finding["polygon"], dtype=np.float64)
        low, high = points.min(axis=0), points.max(axis=0)
    elif "circle" in finding:
        row, column, radius = finding["circle"]
        low, high = np.array([row - radius, column - radius]), np.array([row + radius, column + radius])
    else:
        return None
    return [float(edge) for edge in (*np.floor(low), *(np.floor(high) + 1))]


def square_boxes(boxes: ArrayLike, margin: float = 0.0, min_side_px: int = 1) -> Boxes:
    """Squares around boxes, in whole pixels, centred to half a pixel; they may reach beyond the image.

    The side is ``max(height, width) * (1 + margin)``, rounded up, and ``min_side_px`` at least. Every pixel that a
    box touches is inside its square.

    Args:
        boxes: ``(N, 4)``.
        margin: share of the longer side, half of it at either end.
        min_side_px: least side.

    Raises:
        ValueError: for a negative margin, a side below 1 or an empty box.
    """
    if not margin >= 0:
        raise ValueError(f"margin={margin}; expected 0 or more, as a share of the lesion's longer side")
    if min_side_px < 1:
        raise ValueError(f"min_side_px={min_side_px}; expected 1 or more")
    given = _boxes(boxes)
    low, high = np.floor(given[:, :2]), np.ceil(given[:, 2:])
    if not (low < high).all():
        wrong = given[~(low < high).all(axis=1)][0]
        raise ValueError(f"the box {wrong.tolist()} is empty; expected [row0, col0, row1, col1]")
    longer = (high - low).max(axis=1)
    # Rounding up must not see the last bit: 10 * (1 + 0.1) is 11.000000000000002.
    side = np.maximum(np.ceil(np.round(longer * (1 + margin), 6)), min_side_px)[:, None]
    start = np.floor((low + high - side) / 2)
    return np.hstack([start, start + side])


def overlap_shares(boxes: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Area that two boxes share, as a share of the smaller of the two: ``(N, M)`` in [0, 1].

    This is the larger of "share of the patch" and "share of the lesion", as Shen et al. 2019 (arXiv:1711.05775)
    bound it for background patches.
    """
    one, two = _boxes(boxes)[:, None], _boxes(others)[None]
    sides = np.minimum(one[..., 2:], two[..., 2:]) - np.maximum(one[..., :2], two[..., :2])
    shared = np.clip(sides, 0, None).prod(axis=-1)
    areas = ((box[..., 2:] - box[..., :2]).prod(axis=-1) for box in (one, two))
    return np.asarray(shared / np.minimum(*areas))


def inside_shares(boxes: ArrayLike, found: Segmentation) -> NDArray[np.float64]:
    """Share of each box that lies on the breast: ``(N,)`` in [0, 1]; what lies beyond the image is not breast.

    Args:
        boxes: ``(N, 4)`` in original pixels.
        found: mask of the reduced picture, one element for ``factor x factor`` pixels.
    """
    given = _boxes(boxes)
    # The integral of a mask that is constant in each element is bilinear in between: areas come out exact.
    integral = np.pad(found.mask.astype(np.float64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    corners = given[:, [[0, 1], [0, 3], [2, 1], [2, 3]]] / found.factor  # (N, corner, axis)
    points = np.clip(corners, 0, found.mask.shape).reshape(-1, 2).T
    values = map_coordinates(integral, points, order=1).reshape(-1, 4)
    area = (values * [1, -1, -1, 1]).sum(axis=1) * found.factor**2
    return np.asarray(np.clip(area / (given[:, 2:] - given[:, :2]).prod(axis=1), 0, 1))


def sample_squares(
    sides_px: ArrayLike,
    found: Segmentation,
    shape: tuple[int, int],
    count: int,
    rng: np.random.Generator,
    *,
    min_breast_share: float,
    avoid: ArrayLike = (),
    max_overlap: float = 1.0,
) -> Boxes:
    """Draw squares on the breast, inside the image; fewer than ``count`` where :data:`TRIES` places give no more.

    Args:
        sides_px: sides to draw from, each as likely.
        found: the breast.
        shape: rows and columns of the image.
        count: squares wanted.
        rng: draws sides and places.
        min_breast_share: least share of a square that is breast.
        avoid: boxes ``(M, 4)`` of findings.
        max_overlap: largest :func:`overlap_shares` with any of them.

    Returns:
        ``(n, 4)`` boxes in whole pixels, n at most ``count``, in the order drawn.
    """
    side = rng.choice(np.asarray(sides_px, dtype=np.float64).ravel(), TRIES)[:, None]
    room = np.asarray(shape) - side + 1  # places of the first pixel on each axis
    start = np.floor(rng.random((TRIES, 2)) * room)
    boxes = np.hstack([start, start + side])[(room >= 1).all(axis=1)]
    clear = overlap_shares(boxes, avoid).max(axis=1, initial=0) <= max_overlap
    return boxes[clear & (inside_shares(boxes, found) >= min_breast_share)][:count]


def seeded(seed: int, *names: str) -> np.random.Generator:
    """A generator for one image: the same whatever other images there are, and in whatever order."""
    digest = hashlib.sha256("\0".join((str(seed), *names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _boxes(boxes: ArrayLike) -> Boxes:
    return np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
