"""The EfficientNet encoder, for images of any size and channel count."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from monai.networks.nets.efficientnet import EfficientNetBN, MBConvBlock
from monai.utils import StrEnum, look_up_option
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

__all__ = ["EfficientNetEncoder", "EfficientNetSize"]


class EfficientNetSize(StrEnum):
    """Named sizes of :class:`EfficientNetEncoder`, from 4 to 64 million parameters."""

    B0 = "b0"
    B1 = "b1"
    B2 = "b2"
    B3 = "b3"
    B4 = "b4"
    B5 = "b5"
    B6 = "b6"
    B7 = "b7"


class EfficientNetEncoder(nn.Module):
    """EfficientNet (Tan and Le 2019, arXiv:1905.11946) of MONAI's modules, without its classifier.

    It takes images of any size. Strided convolutions are padded as TensorFlow's "SAME" pads the square that a size was
    published for (260 pixels for b2, 456 for b5), whatever the image, as in MONAI and in the port that Mammo-CLIP was
    trained with. So every halving of rows and columns rounds down where the square's own rows are even at that depth,
    and up where they are odd: for b2 down, down, up, up, up, for b5 down, down, down, up, up. Multiples of 32 give maps
    of ``H / stride x W / stride``.

    Args:
        in_channels: channels of the image, 1 for mammograms.
        size: layout by name, ``b0`` to ``b7``, see :class:`EfficientNetSize`.
        drop_connect: rate of stochastic depth that blocks rise to, linearly from 0 (Huang et al. 2016,
            arXiv:1603.09382).
        image_mean: subtracted from the image before the first convolution, whose padding is 0 after it.
        image_std: the image is then divided by it.
        use_checkpoint: recompute the blocks in the backward pass to save memory; gradients and the running statistics
            of batch norms are the same.

    Attributes:
        out_channels: channels of the last map, 1408 for b2 and 2048 for b5.
        map_channels: channels of each of the five maps.
        map_strides: pixels along the side of a token of each of them: 4, 8, 16, 32, 32.
        stride: pixels along the side of a token of the last map, 32.
        features: identity that the last map passes, the layer to name to Grad-CAM (channel-first).
        outputs: the same for the four others.

    Shape:
        - x: ``(B, in_channels, H, W)``, 32 pixels or more along each side.
        - output: five channel-first maps: the last ones of the strides 4, 8, 16 and 32, and the head's (the map that is
          pooled); the two last have the same rows and columns. For b2 at 1520 x 912: 24 x 380 x 228, 48 x 190 x 114,
          120 x 95 x 57, 352 x 48 x 29, 1408 x 48 x 29.

    Raises:
        ValueError: an unknown size, a rate out of range, an input with other channels or too small, or ``kept`` tokens,
            which a convolution cannot leave out.
    """

    def __init__(
        self,
        in_channels: int = 1,
        size: str = EfficientNetSize.B2,
        *,
        drop_connect: float = 0.2,
        image_mean: float = 0.0,
        image_std: float = 1.0,
        use_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= drop_connect < 1:
            raise ValueError(f"drop_connect must be from 0 to below 1, got {drop_connect}; 0 switches it off")
        name = f"efficientnet-{look_up_option(size, EfficientNetSize).value}"
        self.in_channels = in_channels
        self.image_mean = image_mean
        self.image_std = image_std
        self.use_checkpoint = use_checkpoint
        self.network = EfficientNetBN(name, pretrained=False, in_channels=in_channels, num_classes=1)
        self.network.add_module("_fc", nn.Identity())
        blocks = [block for stage in self.stages for block in stage]
        for index, block in enumerate(blocks):
            block.drop_connect_rate = drop_connect * index / len(blocks)
        # A map leaves before each stage that halves it, and at the end; the first, of half the image's rows, is none.
        strides = [stage[0].stride for stage in self.stages]
        self._ends = [i for i in range(1, len(strides)) if i + 1 == len(strides) or strides[i + 1] > 1]
        head = self.network._conv_head.out_channels
        self.map_channels = (*(self.stages[i][-1].out_channels for i in self._ends), head)
        self.map_strides = (4, 8, 16, 32, 32)
        self.out_channels = head
        self.stride = self.map_strides[-1]
        self.outputs = nn.ModuleList(nn.Identity() for _ in self._ends)
        self.features = nn.Identity()

    def forward(self, x: Tensor, kept: Tensor | None = None) -> list[Tensor]:
        if kept is not None:
            raise ValueError(
                "an EfficientNet computes the whole image, since convolutions see all of it; leave kept out"
            )
        # A traced graph has its shape frozen and checked by then; a Python branch would only warn.
        if not torch.jit.is_tracing():
            self._check(x)
        net = self.network
        x = net._conv_stem(net._conv_stem_padding((x - self.image_mean) / self.image_std))
        x = net._swish(net._bn0(x))  # (B, C, H / 2, W / 2)
        maps: list[Tensor] = []
        for index, stage in enumerate(self.stages):
            for block in stage:
                x = self._run(block, x)
            if index in self._ends:
                x = self.outputs[len(maps)](x)
                maps.append(x)
        head = net._swish(net._bn1(net._conv_head(net._conv_head_padding(x))))
        return [*maps, self.features(head)]

    @property
    def stages(self) -> list[list[MBConvBlock]]:
        """The blocks of each of the seven stages."""
        return [[cast(MBConvBlock, block) for block in stage.children()] for stage in self.network._blocks]

    def _run(self, block: MBConvBlock, x: Tensor) -> Tensor:
        if not self.use_checkpoint or not torch.is_grad_enabled():
            return cast(Tensor, block(x))

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), _StatisticsAside(block)

        return cast(Tensor, checkpoint(block, x, use_reentrant=False, context_fn=contexts))

    def _check(self, x: Tensor) -> None:
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"the encoder takes images (B, {self.in_channels}, H, W), got {tuple(x.shape)}; "
                f"build it with in_channels={x.shape[1] if x.ndim == 4 else '...'} or select the channels"
            )
        if min(x.shape[-2:]) < self.stride:
            raise ValueError(
                f"an image of {x.shape[-2]} x {x.shape[-1]} pixels is smaller than a token of the last map; "
                f"pad it to {self.stride} or more along each side"
            )


class _StatisticsAside(AbstractContextManager[None]):
    """While open, batch norms count on copies of their running statistics: a second computation moves them no more."""

    def __init__(self, module: nn.Module) -> None:
        norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
        self.kept = [(norm, name, buffer) for norm in norms for name, buffer in norm.named_buffers(recurse=False)]

    def __enter__(self) -> None:
        for norm, name, buffer in self.kept:
            setattr(norm, name, buffer.clone())

    def __exit__(self, *raised: object) -> None:
        for norm, name, buffer in self.kept:
            setattr(norm, name, buffer)
