"""Which pixels are breast, with a verdict that travels with them."""

from collections.abc import Hashable, Mapping
from typing import Any

import cv2
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, get_track_meta
from monai.transforms import MapTransform, Transform
from monai.utils import convert_to_tensor, look_up_option

from .pectoral import PectoralMuscle, PectoralQuality, without_pectoral
from .segmentation import MaskQuality, Segmentation, reduce_picture, segment_reduced

__all__ = ["BreastMask", "BreastMaskd"]


class BreastMask(Transform):
    """Mask of the breast in one mammogram ``(1, H, W)`` with values from 0, air, upwards.

    Returns the mask, float32 {0, 1} of the same shape, and its :class:`MaskQuality`; both always, because a
    mask that nobody judged is worth nothing. The way is described in ``transforms/segmentation.py``.

    Args:
        pectoral: ``keep`` the pectoral muscle in the mask, or ``exclude`` it where it is found, see
            ``transforms/pectoral.py``. Lesions of the axillary tail lie on it; a measure of density is spoilt by it.

    Raises:
        ValueError: for an image that is not ``(1, H, W)``, or an unknown ``pectoral``.
    """

    def __init__(self, pectoral: str = PectoralMuscle.KEEP) -> None:
        self.pectoral = look_up_option(pectoral, PectoralMuscle)

    def __call__(self, img: torch.Tensor | np.ndarray, view: str | None = None) -> tuple[torch.Tensor, MaskQuality]:
        mask, quality, _ = self.find(img, view)
        return mask, quality

    def find(
        self, img: torch.Tensor | np.ndarray, view: str | None = None
    ) -> tuple[torch.Tensor, MaskQuality, PectoralQuality | None]:
        """Mask, its quality, and whether the muscle was found; None where it is kept.

        ``view`` is the projection, such as ``"MLO"``; the muscle is looked for in all but those without it.
        """
        image = convert_to_tensor(img, track_meta=get_track_meta())
        if image.ndim != 3 or image.shape[0] != 1:
            raise ValueError(f"image of shape {tuple(image.shape)}; expected (1, rows, columns)")
        small, factor = reduce_picture(np.asarray(image[0].detach().cpu(), dtype=np.float32))
        found, muscle = segment_reduced(small, factor), None
        if self.pectoral is PectoralMuscle.EXCLUDE:
            found, muscle = without_pectoral(small, found, view)
        mask = torch.from_numpy(_full_size(found, tuple(image.shape[1:])))[None].to(image.device)
        if isinstance(image, MetaTensor):
            mask = MetaTensor(mask, meta=image.meta, applied_operations=image.applied_operations)
        return mask, found.quality, muscle


class BreastMaskd(MapTransform):
    """Dictionary form of :class:`BreastMask`.

    Args:
        keys: key of the image; one.
        mask_key: where the mask goes.
        quality_key: where the quality goes, as plain text. Whoever trains on masks counts what is not
            ``"ok"``.
        allow_missing_keys: see :class:`monai.transforms.MapTransform`.
        pectoral: see :class:`BreastMask`.
        pectoral_key: where :class:`~mammo.transforms.pectoral.PectoralQuality` goes, as plain text, if the muscle is
            excluded.
        view_key: key of the projection; without it the picture decides.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        mask_key: str = "mask",
        quality_key: str = "mask_quality",
        allow_missing_keys: bool = False,
        *,
        pectoral: str = PectoralMuscle.KEEP,
        pectoral_key: str = "pectoral_quality",
        view_key: str = "view",
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if len(self.keys) != 1:
            raise ValueError(f"keys={self.keys}; expected one image, since there is one mask_key")
        self.mask_key = mask_key
        self.quality_key = quality_key
        self.pectoral_key = pectoral_key
        self.view_key = view_key
        self.transform = BreastMask(pectoral)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[self.mask_key], quality, muscle = self.transform.find(d[key], d.get(self.view_key))
            d[self.quality_key] = quality.value
            if muscle is not None:
                d[self.pectoral_key] = muscle.value
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
