"""Which pixels are breast, with a verdict that travels with them."""

from collections.abc import Hashable, Mapping
from typing import Any

import cv2
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, get_track_meta
from monai.transforms import MapTransform, Transform
from monai.utils import convert_to_tensor

from .segmentation import MaskQuality, Segmentation, segment_breast

__all__ = ["BreastMask", "BreastMaskd"]


class BreastMask(Transform):
    """Mask of the breast in one mammogram ``(1, H, W)`` with values from 0, air, upwards.

    Returns the mask, float32 {0, 1} of the same shape, and its :class:`MaskQuality`; both always, because a
    mask that nobody judged is worth nothing. The way is described in ``transforms/segmentation.py``.

    Raises:
        ValueError: for an image that is not ``(1, H, W)``.
    """

    def __call__(self, img: torch.Tensor | np.ndarray) -> tuple[torch.Tensor, MaskQuality]:
        image = convert_to_tensor(img, track_meta=get_track_meta())
        if image.ndim != 3 or image.shape[0] != 1:
            raise ValueError(f"image of shape {tuple(image.shape)}; expected (1, rows, columns)")
        found = segment_breast(np.asarray(image[0].detach().cpu(), dtype=np.float32))
        mask = torch.from_numpy(_full_size(found, tuple(image.shape[1:])))[None].to(image.device)
        if isinstance(image, MetaTensor):
            mask = MetaTensor(mask, meta=image.meta, applied_operations=image.applied_operations)
        return mask, found.quality


class BreastMaskd(MapTransform):
    """Dictionary form of :class:`BreastMask`.

    Args:
        keys: key of the image; one.
        mask_key: where the mask goes.
        quality_key: where the quality goes, as plain text. Whoever trains on masks counts what is not
            ``"ok"``.
        allow_missing_keys: see :class:`monai.transforms.MapTransform`.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        mask_key: str = "mask",
        quality_key: str = "mask_quality",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if len(self.keys) != 1:
            raise ValueError(f"keys={self.keys}; expected one image, since there is one mask_key")
        self.mask_key = mask_key
        self.quality_key = quality_key
        self.transform = BreastMask()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[self.mask_key], quality = self.transform(d[key])
            d[self.quality_key] = quality.value
        return d


def _full_size(found: Segmentation, shape: tuple[int, ...]) -> np.ndarray:
    """Repeat each element ``factor`` times; the rest of a division belongs to the last one."""
    factor = found.factor
    small = found.mask.astype(np.float32)
    if factor == 1:
        return small
    rows, columns = small.shape[0] * factor, small.shape[1] * factor
    full = np.empty(shape, dtype=np.float32)
    cv2.resize(small, (columns, rows), dst=full[:rows, :columns], interpolation=cv2.INTER_NEAREST)
    full[rows:, :columns] = full[rows - 1, :columns]
    full[:, columns:] = full[:, columns - 1 : columns]
    return full
