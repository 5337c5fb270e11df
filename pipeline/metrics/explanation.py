"""Does a saliency map point at the lesion, and how much of it lies outside the breast?

Every measure comes with the value that an uninformative map would reach, its chance level. The *plain*
chance is that of a pixel drawn from the whole image; the ``_breast`` chance is that of a pixel drawn from
the breast, the fairer rival on images with wide background or padding.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from skimage.morphology import isotropic_dilation

Measures = dict[str, NDArray[np.float64]]

IOU_LEVELS = (0.25, 0.5)
"""Overlaps that count as a hit; the column names spell them in percent."""

TOKEN_NAMES = {
    "pointing_hit": "pointing_hit_token",
    "pointing_chance": "pointing_token_chance",
    "pointing_chance_breast": "pointing_token_chance_breast",
}
"""What the pointing game and its chances are called where a lesion is grown by one token."""


def explanation_measures(
    saliency: ArrayLike | torch.Tensor,
    breast: ArrayLike | torch.Tensor,
    lesion: ArrayLike | torch.Tensor | None = None,
    *,
    tolerance_px: float = 0.0,
    token_px: float | None = None,
    top_share: float = 0.05,
) -> Measures:
    """Measure a batch of maps.

    A degenerate map (all zero, constant, or holding a value that is no number) shows nothing: it counts as a
    miss (0) where hits are counted, is NaN where energy is shared out, and is flagged in ``degenerate``.

    Args:
        saliency: ``(B, H, W)``, 0 or more; only its proportions matter.
        breast: ``(B, H, W)`` {0, 1}.
        lesion: ``(B, H, W)`` {0, 1}; an image of zeros, or ``None`` for all, is an image without a known
            lesion.
        tolerance_px: pixels by which a lesion is grown, in every direction, for the pointing game and its
            chance.
        token_px: pixels along the side of the token that a map is made of; adds ``pointing_hit_token``.
        top_share: share of the image's pixels, the hottest, that make up the region compared by IoU. Fix it
            beforehand or on validation data: choosing it on test data flatters.

    Returns:
        Name to ``(B,)`` float64, NaN where undefined (no breast; no lesion; degenerate):

        - ``background_ratio``: share of the map's energy outside the breast; chance ``background_chance``.
        - ``energy_in_roi``: share inside the lesion (Wang et al. 2020, arXiv:1910.01279); chances
          ``energy_in_roi_chance``, ``energy_in_roi_chance_breast``. With ``energy_rest``, the share in the rest of
          the breast, and ``energy_outside``, that outside breast and lesion, it sums to 1; their chances are
          ``energy_rest_chance``, ``energy_outside_chance``.
        - ``pointing_hit``: 1 where the maximum lies in the lesion (Zhang et al. 2016, arXiv:1608.00507); of
          several equal maxima, the share that does. Chances ``pointing_chance``, ``pointing_chance_breast``.
          ``pointing_hit_token``: 1 where it lies within one token of the lesion; chances ``pointing_token_chance``,
          ``pointing_token_chance_breast``.
        - ``iou``: overlap of lesion and hottest region; chance ``iou_chance``, that of as many scattered pixels;
          ``hit_iou_25``, ``hit_iou_50``: 1 where the overlap is at least 0.25, 0.5; chances ``hit_iou_25_chance``,
          ``hit_iou_50_chance``, how often the hottest region would hit wherever else in the image it lay.
        - ``heat``: mean of the map as it comes, 0 for a map of zeros; NaN where a value is no number.
        - ``degenerate``: 1 or 0.

    Raises:
        ValueError: shapes differ, a saliency is negative, or an option is out of range.
    """
    maps, inside = _array(saliency).astype(np.float64), _array(breast) > 0.5
    region = np.zeros_like(inside) if lesion is None else _array(lesion) > 0.5
    _check(maps, inside, region, min(tolerance_px, token_px or 0.0), top_share)
    finite = np.asarray(np.isfinite(maps).all(axis=(1, 2), keepdims=True))
    heat = np.where(finite.ravel(), maps.mean(axis=(1, 2)), np.nan)
    maps = np.where(finite, maps, 0.0)
    degenerate = maps.max(axis=(1, 2)) <= maps.min(axis=(1, 2))
    no_breast, no_lesion = (one.sum(axis=(1, 2)) == 0 for one in (inside, region))

    measures = _background(maps, inside, degenerate | no_breast, no_breast)
    measures |= _in_roi(maps, inside, region, degenerate)
    measures |= pointing_hits(maps, inside, grown_region(region, tolerance_px), degenerate)
    if token_px is not None:
        near = pointing_hits(maps, inside, grown_region(region, token_px), degenerate)
        measures |= {TOKEN_NAMES[name]: values for name, values in near.items()}
    measures |= _overlap(maps, region, degenerate, top_share)
    for name, values in measures.items():
        if not name.startswith("background"):
            values[no_lesion] = np.nan
        if name.endswith("_chance_breast") or name.startswith(("energy_rest", "energy_outside")):
            values[no_breast] = np.nan
    return measures | {"heat": heat, "degenerate": degenerate.astype(np.float64)}


def _background(maps: np.ndarray, inside: np.ndarray, undefined: np.ndarray, no_breast: np.ndarray) -> Measures:
    ratio = _share(maps, ~inside)
    chance = (~inside).mean(axis=(1, 2))
    ratio[undefined], chance[no_breast] = np.nan, np.nan
    return {"background_ratio": ratio, "background_chance": chance}


def _in_roi(maps: np.ndarray, inside: np.ndarray, region: np.ndarray, degenerate: np.ndarray) -> Measures:
    parts = {"energy_in_roi": region, "energy_rest": inside & ~region, "energy_outside": ~(inside | region)}
    measures = {name: np.where(degenerate, np.nan, _share(maps, part)) for name, part in parts.items()}
    measures |= {f"{name}_chance": part.mean(axis=(1, 2)) for name, part in parts.items()}
    return measures | {"energy_in_roi_chance_breast": _share(inside.astype(np.float64), region)}


def pointing_hits(maps: np.ndarray, inside: np.ndarray, region: np.ndarray, degenerate: np.ndarray) -> Measures:
    """The pointing game: share of each map's maxima that lie in the region, beside chance; 0 for a degenerate map.

    Args:
        maps: ``(B, H, W)``, 0 or more.
        inside: ``(B, H, W)`` bool, the breast.
        region: ``(B, H, W)`` bool, the lesion.
        degenerate: ``(B,)`` bool.
    """
    at_maximum = maps == maps.max(axis=(1, 2), keepdims=True)
    hit = _share(at_maximum.astype(np.float64), region)
    hit[degenerate] = 0.0
    return {
        "pointing_hit": hit,
        "pointing_chance": region.mean(axis=(1, 2)),
        "pointing_chance_breast": _share(inside.astype(np.float64), region),
    }


def _overlap(maps: np.ndarray, region: np.ndarray, degenerate: np.ndarray, top_share: float) -> Measures:
    flat = maps.reshape(len(maps), -1)
    cut = np.quantile(flat, 1 - top_share, axis=1, method="higher")[:, None]
    # A map that is mostly zero has a cut of zero; its floor is never part of the hottest region.
    hottest = (flat >= cut) & (flat > flat.min(axis=1, keepdims=True)) & ~degenerate[:, None]
    truth = region.reshape(len(maps), -1)
    union = (hottest | truth).sum(axis=1)
    iou = (hottest & truth).sum(axis=1) / np.maximum(union, 1)
    share = truth.mean(axis=1)
    measures = {"iou": iou, "iou_chance": top_share * share / (top_share + share - top_share * share)}
    hits = {f"hit_iou_{round(100 * level)}": (iou >= level).astype(np.float64) for level in IOU_LEVELS}
    return measures | hits | _hit_chances(hottest.reshape(maps.shape), region)


def _hit_chances(hottest: np.ndarray, region: np.ndarray) -> Measures:
    """Chance of each hit: the share of all places of the hottest region (its cyclic shifts) that would hit."""
    spectra = np.fft.rfft2(region) * np.conj(np.fft.rfft2(hottest))
    shared = np.fft.irfft2(spectra, s=region.shape[1:]).round()  # (B, H, W): pixels in common, for each shift
    sizes = (region.sum(axis=(1, 2)) + hottest.sum(axis=(1, 2)))[:, None, None]
    overlap = shared / np.maximum(sizes - shared, 1)
    return {f"hit_iou_{round(100 * level)}_chance": (overlap >= level).mean(axis=(1, 2)) for level in IOU_LEVELS}


def _share(energy: np.ndarray, region: np.ndarray) -> NDArray[np.float64]:
    """Share ``(B,)`` of ``energy`` inside ``region``; 0 where there is no energy at all."""
    peak = energy.max(axis=(1, 2), keepdims=True)
    scaled = energy / np.where(peak > 0, peak, 1.0)  # keeps the sum of huge values finite
    total = scaled.sum(axis=(1, 2))
    return (scaled * region).sum(axis=(1, 2)) / np.where(total > 0, total, 1.0)


def grown_region(region: np.ndarray, tolerance_px: float) -> np.ndarray:
    """Regions ``(B, H, W)`` bool, grown by so many pixels in every direction."""
    if tolerance_px == 0:
        return region
    return np.stack([isotropic_dilation(one, tolerance_px) if one.any() else one for one in region])


def _array(values: ArrayLike | torch.Tensor) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


def _check(maps: np.ndarray, inside: np.ndarray, region: np.ndarray, tolerance_px: float, top_share: float) -> None:
    if maps.ndim != 3 or not maps.shape == inside.shape == region.shape or maps.size == 0:
        raise ValueError(
            f"saliency {maps.shape}, breast {inside.shape}, lesion {region.shape}: must be the same (B, H, W)"
        )
    if (maps < 0).any():
        raise ValueError("saliency must be 0 or more; take relu or the absolute value first")
    if tolerance_px < 0 or not 0 < top_share < 1:
        raise ValueError(f"tolerance_px={tolerance_px} must be 0 or more and top_share={top_share} inside (0, 1)")
