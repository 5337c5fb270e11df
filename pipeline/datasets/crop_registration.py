"""Where a cropped image lies in the mammogram that it was cut from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["MIN_CORRELATION", "CropPlace", "find_crop", "register_box"]

MIN_CORRELATION = 0.9
"""A crop that correlates less with every place of its image is not found there."""

Pixels = NDArray[np.float32]

_SEARCH_SIDE_PX = 1024  # long side of the image that a crop is sought in first
_LEAST_CROP_PX = 24  # shorter side that the reduced crop keeps
_CANDIDATES = 8  # best places of the reduced search, each looked at in full
_SLACK = 0.02  # of the long side: how far a registered finding may lie from where the sizes allow it


class CropPlace(NamedTuple):
    """First row and column of a crop in its image, rows and columns, and their correlation in [-1, 1]."""

    row: int
    column: int
    shape: tuple[int, int]
    correlation: float


def find_crop(image: Pixels, crop: Pixels) -> CropPlace:
    """Find the place of ``image`` that ``crop`` was cut from; brightness and contrast may differ.

    Normalised cross-correlation on reduced copies gives a few candidates; the pixels around each decide.

    Args:
        image: ``(H, W)``.
        crop: ``(h, w)``, no larger than the image on either axis.
    """
    factor = max(1, min(round(max(image.shape) / _SEARCH_SIDE_PX), min(crop.shape) // _LEAST_CROP_PX))
    places = [
        _refined(image, crop, row * factor, column * factor, 2 * factor)
        for row, column in _peaks(_match(_reduced(image, factor), _reduced(crop, factor)))
    ]
    return max(places, key=lambda place: place.correlation)


def register_box(
    image: Pixels, crop: Pixels, box: Sequence[float], mask_shape: tuple[int, ...]
) -> tuple[list[float] | None, str]:
    """Box in ``image`` of a finding whose mask has another size, by the finding's crop.

    The crop is the bounding rectangle of the finding (Lee et al. 2017, doi 10.1038/sdata.2017.177), so both have
    one centre. It is sought as it is and at the scale of the two sizes, since it may have been cut from the image
    or from the picture that the mask was drawn on.

    Args:
        image: ``(H, W)``.
        crop: ``(h, w)``.
        box: of the finding on the mask.
        mask_shape: rows and columns of the mask.

    Returns:
        The box, or None and the reason.
    """
    ratios = np.divide(image.shape, mask_shape)
    tried = [
        (find_crop(image, pattern), scale)
        for scale in (np.ones(2), ratios)
        if (np.array((pattern := _scaled(crop, scale)).shape) <= image.shape).all()
    ]
    if not tried:
        return None, "the cropped image is larger than the image"
    place, scale = max(tried, key=lambda found: found[0].correlation)
    if place.correlation < MIN_CORRELATION:
        return None, f"the cropped image is not found in the image: correlation {place.correlation:.2f}"
    low, high = np.array(box[:2]), np.array(box[2:])
    centre = np.array([place.row, place.column]) + np.array(place.shape) / 2
    # Whether the two pictures differ by a scale or by a border, a finding moves by no more than their sizes differ.
    allowed = np.abs(np.subtract(image.shape, mask_shape)) + _SLACK * max(image.shape)
    if (np.abs(centre - (low + high) / 2 * ratios) > allowed).any():
        return None, "the cropped image is found far from the mask's place"
    half = np.minimum((high - low) * scale, place.shape) / 2
    return [float(edge) for edge in (*np.floor(centre - half), *np.ceil(centre + half))], ""


def _refined(image: Pixels, crop: Pixels, row: int, column: int, reach: int) -> CropPlace:
    """Best place of ``crop`` within ``reach`` pixels of a place."""
    rows, columns = crop.shape
    top, left = (
        min(max(first - reach, 0), size - part)
        for first, size, part in zip((row, column), image.shape, crop.shape, strict=True)
    )
    window = image[top : row + rows + reach, left : column + columns + reach]
    x, y = cv2.minMaxLoc(_match(window, crop))[3]
    return CropPlace(top + y, left + x, (rows, columns), _correlation(window[y : y + rows, x : x + columns], crop))


def _scaled(crop: Pixels, scale: NDArray[np.float64]) -> Pixels:
    rows, columns = (max(1, round(n * s)) for n, s in zip(crop.shape, scale, strict=True))
    if (rows, columns) == crop.shape:
        return crop
    shrinks = rows <= crop.shape[0] and columns <= crop.shape[1]
    return _float(cv2.resize(crop, (columns, rows), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))


def _reduced(image: Pixels, factor: int) -> Pixels:
    rows, columns = (n // factor for n in image.shape)
    whole = np.ascontiguousarray(image[: rows * factor, : columns * factor])
    return _float(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA))


def _match(image: Pixels, crop: Pixels) -> Pixels:
    scores = cv2.matchTemplate(np.ascontiguousarray(image), crop, cv2.TM_CCOEFF_NORMED)
    # Over flat ground the correlation is 0 / 0, which OpenCV gives as anything.
    return _float(np.where(np.abs(scores) <= 1.01, scores, 0))


def _peaks(scores: Pixels) -> list[tuple[int, int]]:
    left = scores.copy()
    peaks = []
    for _ in range(min(_CANDIDATES, scores.size)):
        column, row = cv2.minMaxLoc(left)[3]
        peaks.append((row, column))
        left[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = -2
    return peaks


def _correlation(one: Pixels, two: Pixels) -> float:
    parts = [part - part.mean(dtype=np.float64) for part in (one, two)]
    scale = float(np.sqrt((parts[0] ** 2).sum() * (parts[1] ** 2).sum()))
    return float((parts[0] * parts[1]).sum()) / scale if scale > 0 else -1.0


def _float(values: Any) -> Pixels:
    return np.asarray(values, dtype=np.float32)
