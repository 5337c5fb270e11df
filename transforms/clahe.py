"""Contrast-limited adaptive histogram equalisation."""

from collections.abc import Hashable, Mapping
from typing import Any

import cv2
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, get_track_meta
from monai.transforms import MapTransform, Transform
from monai.utils import convert_to_tensor

__all__ = ["CLAHE", "CLAHEd"]

_LEVELS = 65535


class CLAHE(Transform):
    """Equalise local contrast (Zuiderveld 1994) by OpenCV, on 16 bits.

    Images are ``(C, H, W)`` in [0, 1]; values outside are clipped. Each channel is equalised by itself and
    comes back in [0, 1] as float32.

    Args:
        clip_limit: how far a histogram bin may exceed the mean before it is cut.
        tiles: tiles along rows and columns.
    """

    def __init__(self, clip_limit: float = 3.0, tiles: tuple[int, int] = (8, 8)) -> None:
        if clip_limit <= 0 or min(tiles) < 1:
            raise ValueError(f"clip_limit={clip_limit}, tiles={tiles}; expected a positive limit and tiles >= 1")
        self.clip_limit = float(clip_limit)
        self.tiles = (int(tiles[0]), int(tiles[1]))

    def __call__(self, img: torch.Tensor | np.ndarray) -> torch.Tensor:
        image = convert_to_tensor(img, track_meta=get_track_meta())
        # Made here: OpenCV's object cannot be pickled to a worker process. Its grid is (columns, rows).
        equaliser = cv2.createCLAHE(clipLimit=self.clip_limit, tileGridSize=self.tiles[::-1])
        channels = [equaliser.apply(_to_uint16(channel)) for channel in np.asarray(image.detach().cpu())]
        out = torch.from_numpy(np.stack(channels).astype(np.float32) / _LEVELS).to(image.device)
        return out if not isinstance(image, MetaTensor) else MetaTensor(
            out, meta=image.meta, applied_operations=image.applied_operations
        )  # fmt: skip


class CLAHEd(MapTransform):
    """Dictionary form of :class:`CLAHE`."""

    def __init__(
        self,
        keys: KeysCollection = "image",
        clip_limit: float = 3.0,
        tiles: tuple[int, int] = (8, 8),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = CLAHE(clip_limit, tiles)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.transform(d[key])
        return d


def _to_uint16(channel: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(channel, 0, 1) * _LEVELS).astype(np.uint16)
