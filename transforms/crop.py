"""Cutting away the air around the breast."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import get_track_meta
from monai.transforms import Crop, InvertibleTransform, MapTransform
from monai.utils import convert_to_tensor

__all__ = ["CropToBreast", "CropToBreastd"]

Spans = tuple[tuple[int, int] | None, tuple[int, int] | None]


class CropToBreast(InvertibleTransform):
    """Crop ``(C, H, W)`` to the bounding box of a breast mask.

    An empty mask leaves the frame as it is; its quality code says so. :meth:`inverse` puts zeros back
    around.

    Args:
        margin_px: pixels kept on each side of the box, as far as the image reaches.
    """

    def __init__(self, margin_px: int = 8) -> None:
        if margin_px < 0:
            raise ValueError(f"margin_px={margin_px}; expected 0 or more")
        self.margin_px = int(margin_px)
        self.cropper = Crop()

    def __call__(  # type: ignore[override]
        self, img: torch.Tensor | np.ndarray, mask: torch.Tensor | np.ndarray
    ) -> torch.Tensor:
        return self.crop(img, self.slices(mask))

    def slices(self, mask: torch.Tensor | np.ndarray) -> tuple[slice, slice]:
        """Rows and columns to keep for a mask ``(1, H, W)``."""
        inside = np.asarray(torch.as_tensor(mask).detach().cpu())[0] > 0.5
        spans = _span(inside.any(axis=1)), _span(inside.any(axis=0))
        return self.with_margin(spans, (inside.shape[0], inside.shape[1]))

    def with_margin(self, spans: Spans, shape: tuple[int, int]) -> tuple[slice, slice]:
        """Widen the rows and columns ``(first, last)`` of a breast by the margin; None keeps all."""
        rows, columns = (_widened(span, self.margin_px, size) for span, size in zip(spans, shape, strict=True))
        return rows, columns

    def crop(self, img: torch.Tensor | np.ndarray, slices: tuple[slice, slice]) -> torch.Tensor:
        """Crop to rows and columns that were decided before."""
        return self.cropper(convert_to_tensor(img, track_meta=get_track_meta()), slices)

    def inverse(self, data: torch.Tensor) -> torch.Tensor:
        return self.cropper.inverse(data)  # type: ignore[arg-type]


class CropToBreastd(MapTransform, InvertibleTransform):
    """Dictionary form of :class:`CropToBreast`: all ``keys`` are cropped to the mask under ``mask_key``."""

    def __init__(
        self,
        keys: KeysCollection = ("image", "mask"),
        mask_key: str = "mask",
        margin_px: int = 8,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mask_key = mask_key
        self.transform = CropToBreast(margin_px)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        slices = self.transform.slices(d[self.mask_key])
        for key in self.key_iterator(d):
            d[key] = self.transform.crop(d[key], slices)
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.transform.inverse(d[key])
        return d


def _span(occupied: np.ndarray) -> tuple[int, int] | None:
    found = np.flatnonzero(occupied)
    return (int(found[0]), int(found[-1]) + 1) if found.size else None


def _widened(span: tuple[int, int] | None, margin: int, size: int) -> slice:
    return slice(0, size) if span is None else slice(max(span[0] - margin, 0), min(span[1] + margin, size))
