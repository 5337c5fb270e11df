"""A random part of an image at the size of the whole: the augmentation of masked autoencoders."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from monai.utils import ensure_tuple_rep
from torch.nn import functional as F

__all__ = ["RandResizedCropd"]


class RandResizedCropd(MapTransform, Randomizable):
    """Cut a random rectangle of all ``keys`` and resize it, as Inception and masked autoencoders are trained.

    The rectangle's share of the image is uniform, the logarithm of its aspect ratio too; one that does not fit is drawn
    again, up to ten times, and is then the whole image (Szegedy et al. 2015, arXiv:1409.4842). MONAI's
    ``RandScaleCropd`` draws both sides alone, so that neither share nor aspect ratio are kept.

    Args:
        keys: images ``(C, H, W)`` of one size.
        spatial_size: rows and columns of the result.
        scale: least and largest share of the image.
        ratio: least and largest aspect ratio, columns to rows, of the rectangle.
        mode: of each key, ``bicubic`` or ``bilinear``, both smoothed where they shrink, or ``nearest`` for masks.
        allow_missing_keys: see :class:`monai.transforms.MapTransform`.

    Raises:
        ValueError: for shares outside (0, 1], ratios not above 0, or a pair that falls.
    """

    def __init__(
        self,
        keys: KeysCollection,
        spatial_size: Sequence[int],
        *,
        scale: Sequence[float] = (0.2, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        mode: str | Sequence[str] = "bicubic",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(
                f"scale {list(scale)} must be two shares above 0 and up to 1, the first not above the second"
            )
        if not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f"ratio {list(ratio)} must be two numbers above 0, the first not above the second")
        self.spatial_size = int(spatial_size[0]), int(spatial_size[1])
        self.scale, self.ratio = (scale[0], scale[1]), (ratio[0], ratio[1])
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        self.window = (0, 0, 0, 0)

    def randomize(self, shape: Sequence[int]) -> None:
        """Draw rows and columns ``(top, left, bottom, right)`` of the next rectangle."""
        rows, columns = shape
        for _ in range(10):
            area = rows * columns * self.R.uniform(*self.scale)
            aspect = math.exp(self.R.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            height, width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
            if 0 < height <= rows and 0 < width <= columns:
                top, left = self.R.randint(rows - height + 1), self.R.randint(columns - width + 1)
                self.window = top, left, top + height, left + width
                return
        self.window = 0, 0, rows, columns

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        present = list(self.key_iterator(d, self.mode))
        self.randomize(d[present[0][0]].shape[1:])
        top, left, bottom, right = self.window
        for key, mode in present:
            d[key] = self._resized(torch.as_tensor(d[key])[:, top:bottom, left:right], mode)
        return d

    def _resized(self, part: torch.Tensor, mode: str) -> torch.Tensor:
        smoothed = mode in ("bilinear", "bicubic")
        resized = F.interpolate(part[None], self.spatial_size, mode=mode, antialias=smoothed)[0]
        # A cubic overshoots at edges; grey values stay in their range.
        return resized.clamp(float(part.min()), float(part.max())) if mode == "bicubic" else resized
