"""Tampered images: breast or background erased, markers or the whole background taken from another patient.

All images are ``(B, 2, H, W)``: grey values in [0, 1] and breast mask in {0, 1}. The mask is never changed.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F

MARKER_CONTRAST = 0.2
"""Grey values of the background that are brighter than its median by more than this are taken for a marker."""

MARKER_MARGIN_PX = 4
"""Nearer to the breast no marker is looked for: bright pixels there are skin that the mask has missed."""


def air_level(images: Tensor) -> Tensor:
    """Median grey value ``(B, 1, 1, 1)`` of what lies outside the breast, 0 where nothing does."""
    background = images[:, :1].masked_fill(images[:, 1:] > 0.5, torch.nan)
    return background.flatten(1).nanmedian(dim=1).values.nan_to_num(0.0)[:, None, None, None]


def erase_breast(images: Tensor) -> Tensor:
    """Give the breast the grey of the air: only what surrounds it is left."""
    return _where(images[:, 1:] > 0.5, air_level(images), images)


def erase_background(images: Tensor) -> Tensor:
    """Give everything outside the breast the grey of the air, markers and all."""
    return _where(images[:, 1:] <= 0.5, air_level(images), images)


def swap_background(images: Tensor, partners: Tensor) -> Tensor:
    """Give every image the background of its partner; where the partner has its breast, the grey of its air."""
    return _where(images[:, 1:] <= 0.5, erase_breast(partners)[:, :1], images)


def markers(images: Tensor) -> Tensor:
    """Pixels ``(B, 1, H, W)`` bool of burned-in markers and film borders: bright, outside the breast, not at its edge.

    Preparing crops to the breast, so that many markers are gone before a network sees the image.
    """
    reach = 2 * MARKER_MARGIN_PX + 1
    near = F.max_pool2d(images[:, 1:], kernel_size=reach, stride=1, padding=MARKER_MARGIN_PX) > 0.5
    return (images[:, :1] > air_level(images) + MARKER_CONTRAST) & ~near


def swap_markers(images: Tensor, partners: Tensor) -> tuple[Tensor, Tensor]:
    """Take the markers away and paste those of the partner.

    Returns:
        The images, and ``(B,)`` bool: whether either image has a marker, so that anything was swapped.
    """
    own, others = markers(images), markers(partners) & (images[:, 1:] <= 0.5)
    clean = _where(own, air_level(images), images)
    return _where(others, partners[:, :1], clean), (own | others).flatten(1).any(dim=1)


def partners_of(patients: ArrayLike, seed: int) -> NDArray[np.int_]:
    """For each image the index of another one of another patient; no image is partner twice.

    The patients are put in a random order, their images together, and the list is turned by the number of images of
    the patient who has most: nobody then meets themselves unless that patient has more than half of all images.

    Args:
        patients: ``(n,)``, the patient of each image.
        seed: of the order.

    Returns:
        ``(n,)`` int, -1 where there is no image of another patient left.
    """
    names, owner, counts = np.unique(np.asarray(patients), return_inverse=True, return_counts=True)
    generator = np.random.default_rng(seed)
    place = generator.permutation(len(names))
    order = np.lexsort((generator.random(owner.size), place[owner]))
    partner = np.empty(owner.size, dtype=int)
    partner[order] = np.roll(order, -counts.max())
    return np.where(owner[partner] == owner, -1, partner)


def _where(changed: Tensor, values: Tensor, images: Tensor) -> Tensor:
    return torch.cat([torch.where(changed, values, images[:, :1]), images[:, 1:]], dim=1)
