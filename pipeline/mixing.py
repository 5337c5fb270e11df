"""Mixup and CutMix of a batch: pictures and labels of two images at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..networks.losses import MixedLabels
from .engines import RandomBatches

__all__ = ["PrepareMixedBatch"]


class PrepareMixedBatch(RandomBatches):
    """Blend each image of a batch with another one (mixup), or put a rectangle of that in its place (CutMix).

    Mixup: Zhang et al. 2018, arXiv:1710.09412. CutMix: Yun et al. 2019, arXiv:1905.04899. One share is drawn for the
    whole batch, from Beta(alpha, alpha); with both, either is taken for half of the batches, as MAE fine-tunes. The
    breast mask is mixed like the image. MONAI's ``MixUp`` draws from a stream that a resumed run would not find again.

    Args:
        mixup: alpha of mixup; 0 switches it off.
        cutmix: alpha of CutMix; 0 switches it off.
        seed, repeat: see :class:`~mammo.pipeline.engines.RandomBatches`.

    Raises:
        ValueError: for a negative alpha.
    """

    def __init__(self, mixup: float = 0.0, cutmix: float = 0.0, *, seed: int = 0, repeat: bool = False) -> None:
        super().__init__(seed=seed, repeat=repeat)
        if mixup < 0 or cutmix < 0:
            raise ValueError(f"mixup {mixup} and cutmix {cutmix} must be 0 or more")
        self.mixup, self.cutmix = mixup, cutmix

    def __call__(
        self, batch: Mapping[str, Any], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[Tensor, Tensor | MixedLabels]:
        options = {"device": device, "non_blocking": non_blocking} | kwargs
        image, label = batch["image"].to(**options), batch["label"].to(**options)
        if not self.mixup and not self.cutmix:
            return image, label
        other = torch.randperm(len(image), generator=self.generator).to(image.device)
        if self.cutmix and (not self.mixup or self._uniform() < 0.5):
            image, share = self._cut(image, image[other], self._share(self.cutmix))
        else:
            share = self._share(self.mixup)
            image = share * image + (1 - share) * image[other]
        return image, MixedLabels(label, label[other], share)

    def _cut(self, image: Tensor, other: Tensor, share: float) -> tuple[Tensor, float]:
        """The images with a rectangle of the others, and the share of pixels that are still their own."""
        sides = image.shape[-2:]
        spans = []
        for side in sides:
            half, centre = side * (1 - share) ** 0.5 / 2, side * self._uniform()
            spans.append((max(0, round(centre - half)), min(side, round(centre + half))))
        (top, bottom), (left, right) = spans
        mixed = image.clone()
        mixed[..., top:bottom, left:right] = other[..., top:bottom, left:right]
        return mixed, 1 - (bottom - top) * (right - left) / (sides[0] * sides[1])

    def _uniform(self) -> float:
        return float(torch.rand((), generator=self.generator))

    def _share(self, alpha: float) -> float:
        """A draw from Beta(alpha, alpha)."""
        # torch's Beta takes no generator: NumPy's is seeded from ours.
        seed = int(torch.randint(2**31, (), generator=self.generator))
        return float(np.random.default_rng(seed).beta(alpha, alpha))
