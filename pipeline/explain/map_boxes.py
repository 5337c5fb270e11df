"""Boxes around the hottest parts of a heat-map, and the share of hot pixels chosen on validation images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.utils import StrEnum, look_up_option
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from ..metrics.explanation import IOU_LEVELS
from ..metrics.localisation import best_overlap
from .grid import tokens_to_image

__all__ = ["BoxScore", "QuantileChoice", "boxes_of_map", "choose_quantile", "enlarge_map"]

FLAT = 1e-6
"""Values that differ by less, in proportion to the greatest, are alike but for rounding."""

TOUCHING = np.ones((3, 3), dtype=bool)
"""Pixels that share a side or a corner are of one component."""

Box = tuple[int, int, int, int, float]
"""row0, col0, row1, col1 (half-open) and score."""


class BoxScore(StrEnum):
    """What a component's box scores: its hottest pixel, or the sum of its pixels."""

    PEAK = "peak"
    SUM = "sum"


@dataclass(frozen=True)
class QuantileChoice:
    """What was chosen, and how all candidates did.

    Attributes:
        quantile: the best one.
        candidates: all, in the order given.
        hit_rates: of each, the share of images whose best-scored box overlaps a true one by 0.25.
        mean_ious: of each, the mean overlap of that box.
    """

    quantile: float
    candidates: tuple[float, ...]
    hit_rates: tuple[float, ...]
    mean_ious: tuple[float, ...]


def enlarge_map(saliency: ArrayLike | Tensor, size: Sequence[int], stride: int | None = None) -> NDArray[np.float64]:
    """A map ``(h, w)`` at the pixels of its image, bilinear.

    Args:
        saliency: ``(h, w)``.
        size: rows and columns of the image.
        stride: pixels along the side of a place of the map, where the map covers whole strides and may reach beyond
            the image, as encoders' maps do; None: the map covers the image and no more.

    Raises:
        ValueError: the map has no two axes, holds a value that is no number, or covers less than the image.
    """
    values = torch.as_tensor(np.asarray(saliency) if not isinstance(saliency, Tensor) else saliency.detach().cpu())
    if values.ndim != 2 or not bool(values.isfinite().all()):
        raise ValueError(f"a map must be finite numbers (H, W), got {tuple(values.shape)}; explain the image anew")
    grid = values.double()[None, None]
    if stride is None:
        enlarged = F.interpolate(grid, size=list(size), mode="bilinear", align_corners=False)
    else:
        enlarged = tokens_to_image(grid, size, stride)
    if tuple(enlarged.shape[2:]) != tuple(size):
        raise ValueError(
            f"a map {tuple(values.shape)} of stride {stride} covers less than the image {tuple(size)}; leave stride out"
        )
    return enlarged[0, 0].numpy()


def boxes_of_map(
    saliency: ArrayLike | Tensor,
    quantile: float,
    *,
    size: Sequence[int],
    mask: ArrayLike | Tensor | None = None,
    largest_by: str = BoxScore.PEAK,
    limit: int | None = None,
    stride: int | None = None,
) -> list[Box]:
    """Boxes of the connected parts of a map that are as hot as its ``quantile``.

    The quantile is that of the pixels in the breast: background takes no part, whatever the image's framing. The least
    value is never hot, so that a map which is mostly 0 gives no box of its zeros, and a constant one none at all.

    Args:
        saliency: ``(h, w)``, at the image's size or smaller.
        quantile: in (0, 1); choose it on validation images, see :func:`choose_quantile`.
        size: rows and columns of the image.
        mask: ``(rows, columns)``, above 0 in the breast; None takes the whole image.
        largest_by: see :class:`BoxScore`.
        limit: so many boxes at most, the best; None gives all.
        stride: see :func:`enlarge_map`.

    Returns:
        ``(row0, col0, row1, col1, score)`` half-open, in pixels of the image, highest score first.

    Raises:
        ValueError: a quantile outside (0, 1), a limit below 1, an unknown score, or see :func:`enlarge_map`.
    """
    _check(quantile, limit)
    kind = look_up_option(largest_by, BoxScore)
    values, inside = _surface(saliency, size, mask, stride)
    cut = _cuts(values, inside, [quantile])[0]
    return _boxes(values, _hot(values, inside, cut), kind)[:limit]


def choose_quantile(
    maps: Sequence[ArrayLike | Tensor],
    truths: Sequence[ArrayLike],
    candidates: Sequence[float],
    *,
    sizes: Sequence[Sequence[int]],
    masks: Sequence[ArrayLike | Tensor] | None = None,
    largest_by: str = BoxScore.PEAK,
    stride: int | None = None,
) -> QuantileChoice:
    """The quantile whose best-scored boxes hit most true ones by an overlap of 0.25; of equals, with most overlap.

    A share of hot pixels fixed beforehand caps the overlap with small lesions. Use validation images: chosen on test
    images, it flatters.

    Args:
        maps: one each image.
        truths: true boxes ``(N, 4)`` of each; images without any are left out.
        candidates: quantiles to try, in (0, 1); of equally good ones the first is taken.
        sizes: rows and columns of each image.
        masks: breast of each, see :func:`boxes_of_map`.
        largest_by: see :class:`BoxScore`.
        stride: see :func:`enlarge_map`.

    Raises:
        ValueError: no candidate, no image with a true box, or as many maps as truths, sizes and masks are not given.
    """
    if not len(candidates):
        raise ValueError("there is no candidate; give quantiles such as (0.9, 0.95, 0.99)")
    for quantile in candidates:
        _check(quantile, None)
    kind = look_up_option(largest_by, BoxScore)
    breasts = [None] * len(maps) if masks is None else list(masks)
    cases = zip(maps, truths, sizes, breasts, strict=True)
    overlaps = np.array(
        [
            _overlaps(*_surface(saliency, size, mask, stride), boxes, candidates, kind)
            for saliency, truth, size, mask in cases
            if len(boxes := np.asarray(truth, dtype=np.float64).reshape(-1, 4))
        ]
    )  # (images, candidates)
    if not len(overlaps):
        raise ValueError("no image has a true box: the quantile cannot be chosen on these images")
    hits, ious = (overlaps >= IOU_LEVELS[0]).mean(axis=0), overlaps.mean(axis=0)
    best = max(range(len(candidates)), key=lambda place: (hits[place], ious[place]))
    return QuantileChoice(float(candidates[best]), tuple(candidates), tuple(hits.tolist()), tuple(ious.tolist()))


def _overlaps(
    values: NDArray[np.float64],
    inside: NDArray[np.bool_],
    truth: NDArray[np.float64],
    candidates: Sequence[float],
    kind: BoxScore,
) -> list[float]:
    """Of each candidate, how well the best-scored box overlaps a true one."""
    cuts = _cuts(values, inside, candidates)
    return [best_overlap(_boxes(values, _hot(values, inside, cut), kind), truth) for cut in cuts]


def _surface(
    saliency: ArrayLike | Tensor, size: Sequence[int], mask: ArrayLike | Tensor | None, stride: int | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The map at the image's pixels, and which of them are breast."""
    values = enlarge_map(saliency, size, stride)
    if mask is None:
        return values, np.ones(values.shape, dtype=bool)
    inside = (mask.detach().cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)) > 0
    if inside.shape != values.shape:
        raise ValueError(f"the mask is {inside.shape} and the image {values.shape}: both must be (rows, columns)")
    return values, inside


def _cuts(values: NDArray[np.float64], inside: NDArray[np.bool_], quantiles: Sequence[float]) -> NDArray[np.float64]:
    """The value at each quantile in the breast; without a breast infinite, which nothing reaches."""
    if not inside.any():
        return np.full(len(quantiles), np.inf)
    return np.asarray(np.quantile(values[inside], quantiles, method="higher"))


def _hot(values: NDArray[np.float64], inside: NDArray[np.bool_], cut: float) -> NDArray[np.bool_]:
    breast = values[inside]
    if not breast.size:
        return np.zeros_like(inside)
    least, greatest = breast.min(), breast.max()
    # Enlarging a constant leaves differences of rounding, which must not look like heat.
    above = values - least > FLAT * max(abs(greatest), abs(least))
    return np.asarray(inside & above & (values >= cut))


def _boxes(values: NDArray[np.float64], hot: NDArray[np.bool_], kind: BoxScore) -> list[Box]:
    parts, count = ndimage.label(hot, structure=TOUCHING)
    measure = ndimage.maximum if kind is BoxScore.PEAK else ndimage.sum_labels
    scores = np.asarray(measure(values, parts, index=np.arange(1, count + 1)), dtype=np.float64)
    found = [
        (rows.start, columns.start, rows.stop, columns.stop, float(score))
        for (rows, columns), score in zip(ndimage.find_objects(parts), scores, strict=True)
    ]
    return sorted(found, key=lambda box: -box[4])


def _check(quantile: float, limit: int | None) -> None:
    if not 0 < quantile < 1:
        raise ValueError(f"quantile {quantile} must be inside (0, 1), such as 0.95")
    if limit is not None and limit < 1:
        raise ValueError(f"limit {limit} must be 1 or more, or None for all boxes")
