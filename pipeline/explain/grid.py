"""From the grid of tokens to the pixels that they stand for."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F


def tokens_to_image(tokens: Tensor, size: Sequence[int], stride: int) -> Tensor:
    """Resize a map of tokens to the image; the encoder pads images to whole tokens, and that padding is cut away.

    Args:
        tokens: ``(B, C, h, w)``.
        size: rows and columns of the image.
        stride: pixels along the side of a token.

    Returns:
        ``(B, C, *size)``, bilinear.
    """
    covered = [side * stride for side in tokens.shape[2:]]
    image = F.interpolate(tokens, size=covered, mode="bilinear", align_corners=False)
    return image[..., : size[0], : size[1]]


def check_stage(stage: int) -> None:
    """Raise ValueError unless ``stage`` is one of the encoder's four."""
    if stage not in (1, 2, 3, 4):
        raise ValueError(f"the encoder has stages 1, 2, 3 and 4; stage {stage!r} cannot be explained")
