"""Blocks of an image at mean 0 and variance 1, the target of masked autoencoders that must learn texture."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

EPS = 1e-6
"""Added to variances, as in masked autoencoders."""


def block_statistics(image: Tensor, weights: Tensor, block: int) -> tuple[Tensor, Tensor]:
    r"""Mean and standard deviation of the block that each pixel lies in, of the pixels that count.

    .. math:: \mu_k = \frac{\sum_{i \in k} w_i x_i}{\sum_{i \in k} w_i}, \quad
        \sigma_k = \sqrt{\frac{\sum_{i \in k} w_i (x_i - \mu_k)^2}{\sum_{i \in k} w_i - 1} + 10^{-6}}

    A block of one pixel that counts, or of none, has the deviation 0.001. Blocks at the right and at the bottom may be
    cut. With weights of one this is the norm-pixel target of masked autoencoders (He et al. 2022, arXiv:2111.06377).

    Args:
        image: ``(B, 1, H, W)``.
        weights: ``(B, 1, H, W)`` of {0, 1}, such as the breast mask.
        block: side of a block in pixels.

    Returns:
        Two maps ``(B, 1, H, W)`` float32 or higher.

    Raises:
        ValueError: for a block below 1 pixel.
    """
    if block < 1:
        raise ValueError(f"block must be 1 pixel or more, got {block}")
    image, weights = image.to(torch.promote_types(image.dtype, torch.float32)), weights.to(image.dtype)
    count = _sums(weights, block)
    mean = _spread(_sums(image * weights, block) / count.clamp(min=1), image, block)
    variance = _sums((image - mean).square() * weights, block) / (count - 1).clamp(min=1)
    return mean, (_spread(variance, image, block) + EPS).sqrt()


def _sums(values: Tensor, block: int) -> Tensor:
    bottom, right = -values.shape[-2] % block, -values.shape[-1] % block
    return F.avg_pool2d(F.pad(values, (0, right, 0, bottom)), block) * block**2


def _spread(values: Tensor, image: Tensor, block: int) -> Tensor:
    wide = values.repeat_interleave(block, dim=-2).repeat_interleave(block, dim=-1)
    return wide[..., : image.shape[-2], : image.shape[-1]]
