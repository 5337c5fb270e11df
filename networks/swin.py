"""The Swin Transformer encoder in its official layout, for images of any size and channel count."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, cast

import torch
from monai.data import MetaTensor
from monai.networks.blocks import Convolution
from monai.networks.nets.swin_unetr import BasicLayer, SwinTransformer
from monai.utils import StrEnum, look_up_option
from torch import Tensor, nn
from torch.nn import functional as F

from .fast_swin import merged, run_stage


class SwinSize(StrEnum):
    """Named layouts of :class:`SwinEncoder`; ``micro`` is ours, for demonstrations on a CPU."""

    MICRO = "micro"
    TINY = "tiny"
    SMALL = "small"
    BASE = "base"


class Stem(StrEnum):
    """How the image becomes tokens: one linear map a patch, as published, or a few small convolutions."""

    PATCH = "patch"
    CONV = "conv"


class Tokens(StrEnum):
    """Which tokens a network computes: all, or only those of the breast (in pretraining: what is visible of it)."""

    ALL = "all"
    BREAST = "breast"


class SwinLayout(NamedTuple):
    """What makes a size.

    Attributes:
        embed_dim: width of the tokens of the first stage; it doubles with every stage.
        depths: blocks of each of the four stages.
        num_heads: attention heads of each stage.
        window_size: tokens along the side of an attention window.
        stem: how the image becomes tokens.
        patch_size: pixels along the side of a token of the first stage.
        xavier: start linear maps from Xavier's uniform distribution instead of a normal one of 0.02.
    """

    embed_dim: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]
    window_size: int = 7
    stem: Stem = Stem.PATCH
    patch_size: int = 4
    xavier: bool = False


LAYOUTS = {
    SwinSize.MICRO: SwinLayout(
        24, (2, 2, 2, 2), (2, 4, 8, 16), window_size=4, stem=Stem.CONV, patch_size=8, xavier=True
    ),
    SwinSize.TINY: SwinLayout(96, (2, 2, 6, 2), (3, 6, 12, 24)),
    SwinSize.SMALL: SwinLayout(96, (2, 2, 18, 2), (3, 6, 12, 24)),
    SwinSize.BASE: SwinLayout(128, (2, 2, 18, 2), (4, 8, 16, 32)),
}


class SwinEncoder(nn.Module):
    """Swin Transformer (Liu et al. 2021, arXiv:2103.14030) from MONAI's blocks, laid out as published.

    MONAI's ``SwinTransformer`` leaves out the final LayerNorm and merges patches after the last stage too;
    here the last map is what Swin-B's classifier sees: after all blocks and the final norm, 1024 x 7 x 7 for
    a 224 x 224 image. Weights start as published (truncated normal of 0.02, biases 0), but for ``micro``.

    Images of any size are taken: like MONAI's blocks, patches and windows are padded at the bottom and right.
    Where a map is smaller than a window, MONAI shrinks the window and reads the first rows of the relative
    position table, so weights trained below ``window_size * stride`` pixels do not carry over to larger images
    in that stage. Where it is as narrow in one direction only, windows are shifted in the other, as in timm; the
    official code and transformers then shift in neither.

    Stages run by :func:`~mammo.networks.fast_swin.run_stage`, in about half of the activation memory of MONAI's own
    forward pass, with the same outputs to rounding. Where only some tokens are kept, the others cost nothing behind the
    patch embedding: attention does not see them, and they enter patch merging as zeros.

    Args:
        in_channels: channels of the image, 1 for mammograms.
        size: layout by name, see :class:`SwinSize`.
        embed_dim: overrides the width of ``size``.
        depths: overrides the blocks of each of the four stages.
        num_heads: overrides the attention heads of each stage.
        window_size: tokens along the side of an attention window; None: that of ``size`` (7, and 4 for ``micro``).
        stem: ``patch`` or ``conv``; None: that of ``size``. Convolutions in place of the linear patch embedding
            make small transformers learn from few images (Xiao et al. 2021, arXiv:2106.14881): ``micro`` has them,
            the published sizes do not.
        patch_size: pixels along the side of a token of the first stage, a power of 2 with a ``conv`` stem; None: that
            of ``size`` (4, and 8 for ``micro``, whose convolutions see what a linear map of such patches would lose).
        drop_path: rate of stochastic depth of the last block; earlier ones rise linearly from 0.
        use_checkpoint: recompute the blocks in the backward pass to save memory; gradients are the same.
        image_mean: subtracted from the image before the patch embedding.
        image_std: the image is then divided by it. Images in [0, 1] that are not centred are learnt slowly or not
            at all, since the norm behind the patch embedding sees little but their brightness; (0.449, 0.226) are
            the grey values of ImageNet's.

    Attributes:
        out_channels: channels of the last map.
        map_channels: channels of each of the five maps.
        map_strides: pixels along the side of a token of each of them.
        stride: pixels along the side of a token of the last map.
        features: identity that the last map passes, the layer to name to Grad-CAM (channel-first).
        outputs: the same for the maps that leave stages 1, 2 and 3.

    Shape:
        - x: ``(B, in_channels, H, W)``.
        - kept: ``(B, 1, H, W)``, not 0 at pixels whose tokens are computed; None computes all.
        - output: five channel-first maps: the patch embedding, after patch merging 1, 2 and 3, and the last
          stage normalised. With stride s, map i is ``ceil(H / s) x ceil(W / s)``; for Swin-B at 224:
          128 x 56 x 56, 256 x 28 x 28, 512 x 14 x 14, 1024 x 7 x 7, 1024 x 7 x 7. Tokens that are not kept are 0 in all
          but the first.

    Raises:
        ValueError: an unknown size, a layout that has not four stages or whose widths the heads do not
            divide, or an input with other channels.
    """

    def __init__(
        self,
        in_channels: int = 1,
        size: str = SwinSize.BASE,
        *,
        embed_dim: int | None = None,
        depths: Sequence[int] | None = None,
        num_heads: Sequence[int] | None = None,
        window_size: int | None = None,
        stem: str | None = None,
        patch_size: int | None = None,
        drop_path: float = 0.0,
        use_checkpoint: bool = False,
        image_mean: float = 0.0,
        image_std: float = 1.0,
    ) -> None:
        super().__init__()
        layout = LAYOUTS[look_up_option(size, SwinSize)]
        layout = SwinLayout(
            embed_dim or layout.embed_dim,
            tuple(depths or layout.depths),
            tuple(num_heads or layout.num_heads),
            window_size or layout.window_size,
            layout.stem if stem is None else look_up_option(stem, Stem),
            patch_size or layout.patch_size,
            layout.xavier,
        )
        _check_layout(layout)
        self.in_channels = in_channels
        self.image_mean = image_mean
        self.image_std = image_std
        self.patch_size = layout.patch_size
        self.stride = 8 * layout.patch_size
        self.map_channels = tuple(layout.embed_dim * factor for factor in (1, 2, 4, 8, 8))
        self.map_strides = tuple(self.patch_size * factor for factor in (1, 2, 4, 8, 8))
        self.out_channels = self.map_channels[-1]
        self.swin = SwinTransformer(
            in_chans=in_channels,
            embed_dim=layout.embed_dim,
            window_size=(layout.window_size, layout.window_size),
            patch_size=(layout.patch_size, layout.patch_size),
            depths=layout.depths,
            num_heads=layout.num_heads,
            drop_path_rate=drop_path,
            patch_norm=True,
            use_checkpoint=use_checkpoint,
            spatial_dims=2,
        )
        # MONAI merges behind every stage; the published network does not behind the last one.
        self.stages[-1].register_module("downsample", None)
        if layout.stem is Stem.CONV:
            self.swin.add_module("patch_embed", _conv_stem(in_channels, layout.embed_dim, layout.patch_size))
        self.norm = nn.LayerNorm(self.out_channels)
        self.outputs = nn.ModuleList(nn.Identity() for _ in range(3))
        self.features = nn.Identity()
        self.apply(partial(_initialise, xavier=layout.xavier))

    def forward(self, x: Tensor, kept: Tensor | None = None) -> list[Tensor]:
        return self.encode(self.embed(x), None if kept is None else self.kept_tokens(kept))

    def kept_tokens(self, pixels: Tensor) -> Tensor:
        """Tokens ``(B, 1, h, w)`` bool that hold any pixel of ``(B, 1, H, W)`` that is not 0."""
        return F.max_pool2d((_plain(pixels) != 0).float(), self.patch_size, ceil_mode=True) > 0

    def embed(self, x: Tensor) -> Tensor:
        """Patch embedding ``(B, embed_dim, ceil(H / patch_size), ceil(W / patch_size))`` of an image."""
        # A traced graph has its shape frozen and checked by then; a Python branch would only warn.
        if not torch.jit.is_tracing() and (x.ndim != 4 or x.shape[1] != self.in_channels):
            raise ValueError(
                f"the encoder takes images (B, {self.in_channels}, H, W), got {tuple(x.shape)}; "
                f"build it with in_channels={x.shape[1] if x.ndim == 4 else '...'} or select the channels"
            )
        return self.swin.pos_drop(self.swin.patch_embed((_plain(x) - self.image_mean) / self.image_std))

    def encode(self, tokens: Tensor, kept: Tensor | None = None) -> list[Tensor]:
        """The five maps of :meth:`forward` from the patch embedding, which is the first of them.

        Args:
            tokens: ``(B, embed_dim, h, w)``.
            kept: ``(B, 1, h, w)`` bool, the tokens that are computed; None computes all.
        """
        *stages, last = self.stages
        maps = [tokens]
        for stage, output in zip(stages, self.outputs, strict=True):
            maps.append(output(run_stage(stage, maps[-1], kept)))
            kept = kept if kept is None else merged(kept)
        normalised = self.norm(run_stage(last, maps[-1], kept).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # (B, C, h, w)
        return [*maps, self.features(normalised if kept is None else normalised * kept)]

    @property
    def stages(self) -> tuple[BasicLayer, BasicLayer, BasicLayer, BasicLayer]:
        """The four stages: blocks, and patch merging behind all but the last."""
        first, second, third, last = (cast(BasicLayer, getattr(self.swin, f"layers{i}")[0]) for i in (1, 2, 3, 4))
        return first, second, third, last


def _plain(x: Tensor) -> Tensor:
    """A tensor without MONAI's metadata, which a loader collates and which every operation would carry along."""
    return x.as_tensor() if isinstance(x, MetaTensor) else x


def _conv_stem(in_channels: int, embed_dim: int, patch_size: int) -> nn.Module:
    """Convolutions to as many tokens as the linear patch embedding gives, ``(B, embed_dim, h, w)``."""
    halvings = patch_size.bit_length() - 1
    if patch_size < 2 or patch_size != 2**halvings:
        raise ValueError(f"a conv stem halves the image step by step: patch_size must be 2, 4, 8 ..., got {patch_size}")
    widths = [in_channels, *[2 * embed_dim // 3] * (halvings - 1), embed_dim, embed_dim]
    strides = [*[2] * halvings, 1]
    layers = [
        Convolution(2, given, width, strides=stride, kernel_size=3, act="RELU", norm="BATCH", bias=False)
        for given, width, stride in zip(widths[:-1], widths[1:], strides, strict=True)
    ]
    return nn.Sequential(*layers, nn.Conv2d(embed_dim, embed_dim, kernel_size=1))


def _check_layout(layout: SwinLayout) -> None:
    if len(layout.depths) != 4 or len(layout.num_heads) != 4:
        raise ValueError(f"a Swin encoder has four stages, got depths {layout.depths}, heads {layout.num_heads}")
    widths = [layout.embed_dim * 2**stage for stage in range(4)]
    if any(width % heads for width, heads in zip(widths, layout.num_heads, strict=True)):
        raise ValueError(f"stage widths {widths} must be multiples of their attention heads {layout.num_heads}")


def _initialise(module: nn.Module, xavier: bool) -> None:
    if isinstance(module, nn.Linear):
        # The published 0.02 suits widths from 96 up; in a narrow network it leaves next to nothing of the signal.
        if xavier:
            nn.init.xavier_uniform_(module.weight)
        else:
            nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
