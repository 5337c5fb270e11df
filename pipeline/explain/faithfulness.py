"""Insertion and deletion: does the probability follow the pixels that a map calls important?

Petsiuk et al. 2018, RISE, arXiv:1806.07421.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from monai.networks.layers import GaussianFilter
from torch import Tensor

from .probability import Probabilities

BLUR_SHARE = 0.05
"""Standard deviation of the blur behind insertion, as a share of the image's longer side: masses must go under."""


class Faithfulness(NamedTuple):
    """Areas ``(K,)`` in [0, 1] under the probability while pixels appear or disappear.

    Attributes:
        insertion: high where the pixels named first bring the probability up.
        deletion: low where the pixels named first bring it down.
    """

    insertion: Tensor
    deletion: Tensor


@torch.no_grad()
def insertion_deletion(
    probabilities: Probabilities,
    image: Tensor,
    orders: Tensor,
    *,
    target_class: int = 1,
    steps: int = 10,
    batch: int = 32,
    generator: torch.Generator | None = None,
) -> Faithfulness:
    """Score several maps of one image.

    Insertion starts from the blurred image and restores pixels from the hottest to the coldest; deletion starts from
    the image and sets them to the mean grey of its breast. The breast mask stays as it is.

    Args:
        probabilities: from images ``(B, 2, H, W)`` to class probabilities ``(B, K)``.
        image: ``(2, H, W)``.
        orders: maps ``(K, H, W)``; pixels go from the highest value to the lowest, equal ones in random order.
        target_class: class whose probability is followed.
        steps: equal shares of the pixels that appear or disappear at a time; costs 2 * (steps - 1) * K + 3 passes.
        batch: images in one forward pass.
        generator: of the order among equal values; None is one seeded with 0.

    Raises:
        ValueError: fewer than two steps.
    """
    if steps < 2:
        raise ValueError(f"faithfulness_steps={steps}: a curve needs at least 2 steps")
    reached = _reached(orders, generator or torch.Generator().manual_seed(0))  # (K, H, W)
    blurred, blank = _blurred(image), _blank(image)
    shares = torch.arange(1, steps, device=image.device) / steps
    pairs = torch.cartesian_prod(torch.arange(len(orders)), torch.arange(steps - 1)).to(image.device)
    curves = {}
    for name, first, then in (("insertion", blurred, image[0]), ("deletion", image[0], blank)):
        scores = []
        for part in pairs.split(batch):
            changed = reached[part[:, 0]] < shares[part[:, 1], None, None]
            scores.append(_score(probabilities, torch.where(changed, then, first), image[1], target_class))
        ends = _score(probabilities, torch.stack([first, then]), image[1], target_class)
        middle = torch.cat(scores).reshape(len(orders), steps - 1)
        curve = torch.cat([ends[0].expand(len(orders), 1), middle, ends[1].expand(len(orders), 1)], dim=1)
        curves[name] = torch.trapezoid(curve, dx=1 / steps, dim=1)
    return Faithfulness(**curves)


def centre_order(mask: Tensor) -> Tensor:
    """Map ``(H, W)`` that is highest at the centre of the breast: the rival that knows anatomy but no lesion.

    Args:
        mask: ``(H, W)`` breast mask; an empty one has its centre in the middle of the image.
    """
    rows, columns = torch.meshgrid(*(torch.arange(side, device=mask.device) for side in mask.shape), indexing="ij")
    weight = mask if mask.any() else torch.ones_like(mask)
    centre = [(axis * weight).sum() / weight.sum() for axis in (rows, columns)]
    return -torch.hypot(rows - centre[0], columns - centre[1])


def _score(probabilities: Probabilities, grey: Tensor, mask: Tensor, target_class: int) -> Tensor:
    images = torch.stack([grey, mask.expand_as(grey)], dim=1)
    return probabilities(images)[:, target_class].double()


def _reached(orders: Tensor, generator: torch.Generator) -> Tensor:
    """Share of the pixels ``(K, H, W)`` that come before each one."""
    flat = orders.flatten(1)
    shuffle = torch.randperm(flat.shape[1], generator=generator).to(flat.device)
    order = shuffle[flat[:, shuffle].argsort(dim=1, descending=True, stable=True)]
    places = torch.arange(flat.shape[1], device=flat.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(1, order, places)
    return (rank / flat.shape[1]).reshape(orders.shape)


def _blurred(image: Tensor) -> Tensor:
    blur = GaussianFilter(2, BLUR_SHARE * max(image.shape[1:])).to(image.device)
    both = torch.stack([image[0], torch.ones_like(image[0])])[None]
    grey, inside = torch.as_tensor(blur(both))[0]
    return grey / inside  # the filter takes what lies beyond the image as black, the chest wall's side too


def _blank(image: Tensor) -> Tensor:
    """The mean grey of the breast, of the whole image where there is none."""
    grey, mask = image
    weight = mask if mask.any() else torch.ones_like(mask)
    return ((grey * weight).sum() / weight.sum()).expand_as(grey)
