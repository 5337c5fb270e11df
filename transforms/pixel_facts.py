"""What the pixels of a mammogram tell, as plain values beside the facts of its header."""

from typing import Any

import numpy as np

from .burned_in import text_regions
from .laterality import wall_is_right
from .picture import Picture
from .segmentation import Segmentation, chest_wall_reduced, reduce_rows, reduction, segment_reduced

__all__ = ["find_breast", "pixel_facts"]

_MIRRORED = {"left": "right", "right": "left"}


def find_breast(picture: Picture, laterality: str | None) -> tuple[np.ndarray, Segmentation, bool]:
    """Segment the breast with its chest wall on the left.

    Args:
        picture: as it was read.
        laterality: L, R or None; a tie-break where neither pixels nor Patient Orientation tell the wall.

    Returns:
        The reduced picture ``(H, W)``, its segmentation, and whether both are of the picture mirrored.
    """
    factor = reduction(picture.shape)
    small = reduce_rows(picture.rows, picture.shape, factor)
    flipped = wall_is_right(chest_wall_reduced(small), laterality, picture.meta["patient_orientation"])
    if flipped:
        small = reduce_rows(lambda rows: picture.rows(rows, mirrored=True), picture.shape, factor)
    return small, segment_reduced(small, factor), flipped


def pixel_facts(small: np.ndarray, found: Segmentation, flipped: bool) -> dict[str, Any]:
    """Describe a segmented picture in str, float, int and None; the arguments are what :func:`find_breast` gives.

    Returns:
        ``mask_quality`` (see :class:`~mammo.transforms.MaskQuality`); ``wall``, the side of the chest wall in the
        picture as it is stored, ``"left"``, ``"right"`` or None; ``breast_share``, area of the mask in the frame;
        ``burned_in_px``, the number of text-like regions outside the breast, and ``burned_in_share``, the area of
        their boxes in the frame.
    """
    boxes = text_regions(small, found.mask)
    area = sum((row1 - row0) * (column1 - column0) for row0, column0, row1, column1 in boxes)
    return {
        "mask_quality": str(found.quality.value),
        "wall": _MIRRORED.get(found.wall or "") if flipped else found.wall,
        "breast_share": round(float(found.mask.mean()), 4),
        "burned_in_px": len(boxes),
        "burned_in_share": round(area / small.size, 4),
    }
