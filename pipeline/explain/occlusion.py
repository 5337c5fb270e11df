"""Occlusion sensitivity: what a classifier loses with each patch (Zeiler and Fergus 2014, arXiv:1311.2901).

Not MONAI's: its ``OcclusionSensitivity`` takes one image at a time, would occlude the breast mask too, and indexes
tensors by lists, which newer releases of torch read differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import torch
from torch import Tensor
from torch.nn import functional as F

from .probability import Probabilities, in_batches


def patch_side(size: Sequence[int], passes: int) -> int:
    """Side in pixels of the smallest square patches of which at most ``passes`` cover an image of ``size``.

    Raises:
        ValueError: ``passes`` is less than 1.
    """
    if passes < 1:
        raise ValueError(f"occlusion_passes={passes}: at least one patch must be occluded")
    sides = range(1, max(size) + 1)
    return next(side for side in sides if ceil(size[0] / side) * ceil(size[1] / side) <= passes)


@torch.no_grad()
def occlusion_maps(
    probabilities: Probabilities, images: Tensor, classes: Tensor, *, passes: int = 64, batch: int = 16
) -> Tensor:
    """How much of a class's probability goes when a patch of the image is replaced by its mean.

    Patches are set to their own mean: black or a fixed grey would draw a new object into the breast or the air. The
    mask of the breast is left alone. Patches tile the image without overlap; the last of a row or column may be cut.

    Args:
        probabilities: from images ``(B, 2, H, W)`` to class probabilities ``(B, K)``.
        images: ``(B, 2, H, W)``.
        classes: ``(B,)`` int64, the class of each image that is explained.
        passes: at most so many patches an image, each of which costs one forward pass.
        batch: patches in one forward pass.

    Returns:
        ``(B, H, W)`` in [0, 1]; 0 where the probability stays or rises.
    """
    size = images.shape[2:]
    side = patch_side(size, passes)
    rows, columns = (torch.arange(length, device=images.device) // side for length in size)
    number = rows[:, None] * (int(columns[-1]) + 1) + columns  # (H, W), the patch of each pixel
    patches = torch.arange(int(number[-1, -1]) + 1, device=images.device)
    whole = probabilities(images).gather(1, classes[:, None])  # (B, 1)
    maps = []
    for image, mean, index in zip(images, _patch_means(images[:, :1], side), classes.tolist(), strict=True):
        grey = torch.where(number == patches[:, None, None, None], mean, image[:1])  # (patches, 1, H, W)
        occluded = torch.cat([grey, image[1:].expand_as(grey)], dim=1)
        maps.append(in_batches(probabilities, occluded, batch)[:, index][number])
    return (whole[:, :, None] - torch.stack(maps)).relu()


def _patch_means(grey: Tensor, side: int) -> Tensor:
    """The mean of its patch at every pixel of images ``(B, 1, H, W)``."""
    means = F.avg_pool2d(grey, side, ceil_mode=True)
    enlarged = means.repeat_interleave(side, dim=2).repeat_interleave(side, dim=3)
    return enlarged[..., : grey.shape[2], : grey.shape[3]]
