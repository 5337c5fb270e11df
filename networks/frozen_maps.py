"""The maps of a frozen encoder, of one level or of several joined, and where they show breast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .factor import breast_places
from .image_text import MapEncoder

__all__ = ["FrozenMaps", "MapLayout"]


class LevelledEncoder(MapEncoder, Protocol):
    """An encoder of maps that tells how many pixels wide a place is in each."""

    map_strides: tuple[int, ...]


class MapLayout(NamedTuple):
    """Channels, rows and columns of a map, and the pixels along the side of one of its places."""

    channels: int
    rows: int
    columns: int
    stride: int


class FrozenMaps(nn.Module):
    """Look at an encoder's maps without training it: in evaluation whatever :meth:`train` says, and without gradient.

    Several levels make a hypercolumn (Hariharan et al. 2015, arXiv:1411.5752): each is brought to the finest one's
    grid, bilinear, and they are joined along the channels. Each place of a level is then normalised over its channels,
    since levels differ in scale; of one level alone the map is left as it comes, as published.

    Args:
        encoder: gives channel-first maps, such as Swin, ViT and EfficientNet are.
        levels: of the maps, 0 to 4; 4 is the last, the one that is pooled. Finer ones see less far.

    Attributes:
        stride: pixels along the side of a place, of the finest level.

    Shape:
        - x: ``(B, C + 1, H, W)``, image and breast mask.
        - output: features ``(B, K, h, w)`` and, bool, whether a place sees a pixel of the breast ``(B, 1, h, w)``.

    Raises:
        ValueError: no level, one twice, or one that the encoder has not; an image without its mask.
    """

    def __init__(self, encoder: LevelledEncoder, levels: Sequence[int] = (4,)) -> None:
        super().__init__()
        strides = encoder.map_strides
        if not levels or len(set(levels)) < len(levels) or not set(levels) <= set(range(len(strides))):
            raise ValueError(
                f"map levels {list(levels)} must be different ones of 0 to {len(strides) - 1}, whose places are "
                f"{list(strides)} pixels wide"
            )
        self.encoder = encoder
        self.levels = sorted(levels)
        self.stride = strides[self.levels[0]]
        cast(nn.Module, encoder).requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> FrozenMaps:
        super().train(False)
        return self

    @torch.no_grad()
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        channels = self.encoder.in_channels
        if x.ndim != 4 or x.shape[1] != channels + 1:
            raise ValueError(f"expected (B, {channels + 1}, H, W), the image and its breast mask; got {tuple(x.shape)}")
        maps = self.encoder(x[:, :channels])
        finest = maps[self.levels[0]]
        size = finest.shape[2:]
        if len(self.levels) > 1:
            strides = self.encoder.map_strides
            factors = {level: strides[level] // self.stride for level in self.levels}
            joined = [_on_grid(_normalised(maps[level]), factor, size) for level, factor in factors.items()]
            finest = torch.cat(joined, dim=1)
        return finest, breast_places(x[:, channels:], size, self.stride)

    def layout(self, image_size: Sequence[int]) -> MapLayout:
        """Of the maps of images of ``(rows, columns)`` pixels."""
        parameter = next(cast(nn.Module, self.encoder).parameters())
        features, _ = self(parameter.new_zeros(1, self.encoder.in_channels + 1, *image_size))
        _, channels, rows, columns = features.shape
        return MapLayout(channels, rows, columns, self.stride)


def _normalised(features: Tensor) -> Tensor:
    return F.layer_norm(features.movedim(1, -1), features.shape[1:2]).movedim(-1, 1)


def _on_grid(features: Tensor, factor: int, size: Sequence[int]) -> Tensor:
    """Bilinear, so that places lie over the same pixels; a coarse map may reach beyond the fine one, or end before."""
    if factor > 1:
        features = F.interpolate(features, scale_factor=factor, mode="bilinear", align_corners=False)
    short = [max(side - own, 0) for side, own in zip(size, features.shape[2:], strict=True)]
    if any(short):
        features = F.pad(features, (0, short[1], 0, short[0]), mode="replicate")
    return features[..., : size[0], : size[1]]
