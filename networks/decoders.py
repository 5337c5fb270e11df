"""Decoders from the maps of :class:`SwinEncoder` to one image."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from monai.networks.blocks import Convolution, UnetOutBlock, UnetrBasicBlock, UnetrUpBlock
from torch import Tensor, nn
from torch.nn import functional as F


class PublishedDecoder(nn.Module):
    """The decoder of both Swin papers: one 3 x 3 convolution, x2 transposed convolutions, 3 x 3 to one channel.

    Each convolution but the last is followed by batch norm and ReLU. What is left to the full resolution is
    bilinear (x4 for patch 4), or further x2 blocks that halve the width each with ``full_resolution``.

    Args:
        in_channels: channels of the encoder's last map.
        widths: channels of the first convolution and of each x2 block.
        stride: pixels of the image per token of the last map.
        full_resolution: up-sample to the image's resolution by x2 blocks.

    Shape:
        - maps: the encoder's maps, of which the last ``(B, in_channels, h, w)`` is used.
        - image: ``(B, C, H, W)``, only its size counts.
        - output: ``(B, 1, H, W)``, without bounds.

    Raises:
        ValueError: ``full_resolution`` and a stride that x2 blocks do not reach.
    """

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int] = (512, 256, 128, 64),
        *,
        stride: int = 32,
        full_resolution: bool = False,
    ) -> None:
        super().__init__()
        widths = list(widths)
        if full_resolution:
            widths += _widths_to_full_resolution(widths, stride)
        self.stride = stride
        layers: list[nn.Module] = [_block(in_channels, widths[0], kernel_size=3)]
        for before, after in pairwise(widths):
            layers.append(_block(before, after, kernel_size=4, strides=2, is_transposed=True, output_padding=0))
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, kernel_size=3, padding=1))

    def forward(self, maps: Sequence[Tensor], image: Tensor) -> Tensor:
        last = maps[-1]
        output = self.layers(last)
        # The tokens cover whole strides: resize to what they cover, then cut the encoder's padding away.
        covered = (last.shape[-2] * self.stride, last.shape[-1] * self.stride)
        output = F.interpolate(output, size=covered, mode="bilinear", align_corners=False)
        return output[..., : image.shape[-2], : image.shape[-1]]


class UnetrDecoder(nn.Module):
    """Decoder with skips from every resolution and from the image, as in SwinUNETR (arXiv:2201.01266).

    Built from MONAI's ``UnetrBasicBlock`` and ``UnetrUpBlock``. SwinUNETR demands sizes that are multiples of
    ``patch_size ** 5`` and stops at half size for patch 4; here skips are padded at the bottom and right, exactly
    as the encoder pads before it merges patches, and the padding is cut away at the end, so any size works.

    Args:
        map_channels: channels of the encoder's five maps; the first, second, third and last are used.
        image_channels: channels of the image.
        patch_size: pixels along the side of a token of the first map.
        width: channels at full resolution.

    Shape:
        - maps: the five maps of the encoder.
        - image: ``(B, image_channels, H, W)``, as the encoder saw it.
        - output: ``(B, 1, H, W)``, without bounds.
    """

    def __init__(
        self, map_channels: Sequence[int], *, image_channels: int = 1, patch_size: int = 4, width: int = 32
    ) -> None:
        super().__init__()
        first, second, third, _, last = map_channels
        self.image_block = _skip_block(image_channels, width)
        self.skip_blocks = nn.ModuleList(_skip_block(channels, channels) for channels in (first, second, third))
        self.up_blocks = nn.ModuleList(
            [_up_block(last, third, 2), _up_block(third, second, 2), _up_block(second, first, 2)]
        )
        self.last_up_block = _up_block(first, width, patch_size)
        self.to_image = UnetOutBlock(spatial_dims=2, in_channels=width, out_channels=1)
        self.patch_size = patch_size

    def forward(self, maps: Sequence[Tensor], image: Tensor) -> Tensor:
        x = maps[-1]
        for up, skip_block, skip in zip(self.up_blocks, reversed(self.skip_blocks), maps[2::-1], strict=True):
            x = up(x, _pad_to(skip_block(skip), x, 2))
        x = self.last_up_block(x, _pad_to(self.image_block(image), x, self.patch_size))
        return self.to_image(x)[..., : image.shape[-2], : image.shape[-1]]


def _widths_to_full_resolution(widths: Sequence[int], stride: int) -> list[int]:
    missing = math.log2(stride) - (len(widths) - 1)
    if missing < 0 or missing % 1:
        raise ValueError(
            f"{len(widths) - 1} x2 blocks cannot lead to full resolution from stride {stride}; "
            f"it must be a power of two and widths {list(widths)} at most {int(math.log2(stride)) + 1} long"
        )
    return [max(widths[-1] // 2**step, 8) for step in range(1, int(missing) + 1)]


def _block(in_channels: int, out_channels: int, **options: Any) -> Convolution:
    return Convolution(2, in_channels, out_channels, padding=1, norm="batch", act="relu", adn_ordering="NA", **options)


def _skip_block(in_channels: int, out_channels: int) -> UnetrBasicBlock:
    return UnetrBasicBlock(2, in_channels, out_channels, kernel_size=3, stride=1, norm_name="instance", res_block=True)


def _up_block(in_channels: int, out_channels: int, factor: int) -> UnetrUpBlock:
    return UnetrUpBlock(
        2, in_channels, out_channels, kernel_size=3, upsample_kernel_size=factor, norm_name="instance", res_block=True
    )


def _pad_to(skip: Tensor, coarse: Tensor, factor: int) -> Tensor:
    """Pad ``skip`` at the bottom and right to ``factor`` times the size of ``coarse``."""
    missing = [factor * coarse.shape[axis] - skip.shape[axis] for axis in (-1, -2)]
    return F.pad(skip, (0, missing[0], 0, missing[1]))
