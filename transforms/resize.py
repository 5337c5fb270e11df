"""Bringing a mammogram to the size of a network without losing small bright things, and back."""

from collections.abc import Collection, Hashable, Mapping
from typing import Any

import cv2
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, get_track_meta
from monai.data.utils import to_affine_nd
from monai.transforms import InvertibleTransform, MapTransform
from monai.transforms.utils import scale_affine
from monai.utils import StrEnum, TraceKeys, convert_to_tensor
from torch.nn.functional import interpolate

from .resample import nearest_indices, resample

__all__ = ["ResizeMammogram", "ResizeMammogramd", "ResizeMode"]


class ResizeMode(StrEnum):
    """How an image of another shape fills the grid."""

    PAD = "pad"
    """Keep the aspect ratio; air fills the right and the bottom, so column 0 stays column 0."""
    STRETCH = "stretch"
    """Squash both axes to the grid, as the published Swin systems do."""


class ResizeMammogram(InvertibleTransform):
    """Resize ``(C, H, W)`` to ``(C, *spatial_size)``.

    Shrinking averages over areas, so that a microcalcification dims instead of falling between samples;
    growing is bilinear. A mask is sampled at the nearest pixel centre and stays {0, 1}.

    :meth:`inverse` gives the original size back: the padding is cut off and the rest resampled, bilinear or,
    with ``Invertd(nearest_interp=True)``, at the nearest pixel centre.

    Args:
        spatial_size: rows and columns of the result.
        mode: see :class:`ResizeMode`.
    """

    def __init__(self, spatial_size: tuple[int, int] = (224, 224), mode: str = ResizeMode.PAD) -> None:
        if len(spatial_size) != 2 or min(spatial_size) < 1:
            raise ValueError(f"spatial_size={spatial_size}; expected rows and columns, both at least 1")
        self.spatial_size = (int(spatial_size[0]), int(spatial_size[1]))
        self.mode = ResizeMode(mode)

    def __call__(self, img: torch.Tensor | np.ndarray, is_mask: bool = False) -> torch.Tensor:
        image = convert_to_tensor(img, track_meta=get_track_meta())
        shape = int(image.shape[1]), int(image.shape[2])
        inner = self.inner_size(shape)
        out = np.zeros((image.shape[0], *self.spatial_size), dtype=np.float32)
        for channel, target in zip(np.asarray(image.detach().cpu()), out, strict=True):
            target[: inner[0], : inner[1]] = _shrunk(channel, inner, is_mask)
        return self.record(image, torch.from_numpy(out).to(image.device), is_mask)

    def inner_size(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the grid that an image of ``shape`` fills; the rest is padding."""
        if self.mode == ResizeMode.STRETCH:
            return self.spatial_size
        scale = min(new / old for new, old in zip(self.spatial_size, shape, strict=True))
        rows, columns = (max(round(n * scale), 1) for n in shape)
        return min(rows, self.spatial_size[0]), min(columns, self.spatial_size[1])

    def record(self, image: torch.Tensor, resized: torch.Tensor, is_mask: bool) -> torch.Tensor:
        """Give ``resized`` the metadata of ``image`` and the record of this step."""
        shape = int(image.shape[1]), int(image.shape[2])
        inner = self.inner_size(shape)
        meta = self.track_transform_meta(
            image,
            sp_size=self.spatial_size,
            affine=scale_affine(shape, inner),
            extra_info={"mode": "nearest" if is_mask else "bilinear", "inner": list(inner)},
            orig_size=shape,
            transform_info=self.get_transform_info(),
        )
        out = convert_to_tensor(resized, track_meta=get_track_meta())
        return out.copy_meta_from(meta) if isinstance(out, MetaTensor) else out

    def inverse(self, data: torch.Tensor) -> torch.Tensor:
        transform = self.pop_transform(data)
        (rows, columns), extra = transform[TraceKeys.EXTRA_INFO]["inner"], transform[TraceKeys.EXTRA_INFO]
        nearest = "nearest" in extra["mode"]
        inner = data[None, :, :rows, :columns].float()
        size = tuple(transform[TraceKeys.ORIG_SIZE])
        # "nearest-exact" samples at pixel centres; torch's "nearest" is shifted by up to half a pixel.
        out = interpolate(inner, size=size, mode="nearest-exact" if nearest else "bilinear")[0]
        if isinstance(out, MetaTensor) and isinstance(data, MetaTensor):
            step = to_affine_nd(3, scale_affine((rows, columns), size))
            out.affine = data.affine @ torch.as_tensor(step, dtype=torch.float64)
        return out


class ResizeMammogramd(MapTransform, InvertibleTransform):
    """Dictionary form of :class:`ResizeMammogram`; keys in ``mask_keys`` are resampled as masks."""

    def __init__(
        self,
        keys: KeysCollection = ("image", "mask"),
        mask_keys: Collection[str] = ("mask",),
        spatial_size: tuple[int, int] = (224, 224),
        mode: str = ResizeMode.PAD,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mask_keys = (mask_keys,) if isinstance(mask_keys, str) else tuple(mask_keys)
        self.transform = ResizeMammogram(spatial_size, mode)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.transform(d[key], is_mask=key in self.mask_keys)
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.transform.inverse(d[key])
        return d


def _shrunk(channel: np.ndarray, size: tuple[int, int], is_mask: bool) -> np.ndarray:
    rows, columns = channel.shape
    if is_mask:
        sampled = channel[nearest_indices(rows, size[0])[:, None], nearest_indices(columns, size[1])]
        return (sampled > 0.5).astype(np.float32)
    low, high, _, _ = cv2.minMaxLoc(channel)
    unit_range = low >= 0 and high <= 1
    return resample(lambda first, last: channel[first:last], (rows, columns), size, unit_range)
