"""How well masked image modelling restores what matters: lesions against the rest of the breast."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def reconstruction_errors(pred: Tensor, target: Tensor, lesion: Tensor) -> dict[str, NDArray[np.float64]]:
    """Errors of a reconstruction over the hidden pixels of the lesions and of the rest of the breast.

    What was left visible can be copied and is not counted.

    Args:
        pred: ``(B, 1, H, W)`` the reconstruction, of images in [0, 1].
        target: ``(B, 3, H, W)`` image, breast mask and hidden pixels, as in training.
        lesion: ``(B, 1, H, W)`` of {0, 1}, pixels of known lesions; zeros where there is none.

    Returns:
        By name, ``(B,)`` each, NaN where the region holds no hidden pixel: ``lesion_l1`` and ``rest_l1``, the mean
        absolute errors; ``lesion_bias`` and ``rest_bias``, the mean of prediction minus image, negative where
        something bright was left out; and ``lesion_pixels``, how many of them were hidden.

    Raises:
        ValueError: shapes that do not fit.
    """
    b, _, h, w = pred.shape
    if target.shape != (b, 3, h, w) or lesion.shape != (b, 1, h, w):
        raise ValueError(
            f"expected pred and lesion (B, 1, H, W) and target (B, 3, H, W); got {tuple(pred.shape)}, "
            f"{tuple(lesion.shape)} and {tuple(target.shape)}"
        )
    image, mask, hidden = target.double().split(1, dim=1)
    gap = pred.double() - image
    inside = lesion.double() * hidden
    weights = {"lesion": inside, "rest": mask * hidden * (1 - lesion.double())}
    errors: dict[str, Tensor] = {}
    for name, weight in weights.items():
        area = weight.sum(dim=(1, 2, 3))
        area = torch.where(area > 0, area, torch.nan)
        errors[f"{name}_l1"] = (gap.abs() * weight).sum(dim=(1, 2, 3)) / area
        errors[f"{name}_bias"] = (gap * weight).sum(dim=(1, 2, 3)) / area
    errors["lesion_pixels"] = inside.sum(dim=(1, 2, 3))
    return {name: value.cpu().numpy() for name, value in errors.items()}
