"""The Vision Transformer of masked autoencoders, for images of any size and channel count, and its attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, cast

import torch
from monai.networks.blocks import MLPBlock
from monai.networks.layers import DropPath
from monai.utils import StrEnum, look_up_option
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .attention import build_attention
from .attention_maps import AttentionRecord, WindowGrid
from .positions import LearnedPositions, SinCosPositions

__all__ = [
    "PositionKind",
    "RolloutStart",
    "SelfAttention",
    "ViTBlock",
    "ViTEncoder",
    "ViTLayout",
    "ViTSize",
    "attention_rollout",
    "initialise_linear",
    "record_vit_attention",
    "run_block",
]


class ViTSize(StrEnum):
    """Named layouts of :class:`ViTEncoder`; ``micro`` is ours, for demonstrations on a CPU."""

    MICRO = "micro"
    TINY = "tiny"
    SMALL = "small"
    BASE = "base"
    LARGE = "large"


class PositionKind(StrEnum):
    """Where tokens get their place from: fixed sines and cosines, as in masked autoencoders, or learned vectors."""

    SINCOS = "sincos"
    LEARNED = "learned"


class RolloutStart(StrEnum):
    """Whose attention :func:`attention_rollout` follows: the class token's, or the mean over the patches."""

    CLASS = "class"
    PATCHES = "patches"


class ViTLayout(NamedTuple):
    """What makes a size.

    Attributes:
        embed_dim: width of a token.
        depth: number of blocks.
        num_heads: attention heads of each.
    """

    embed_dim: int
    depth: int
    num_heads: int


LAYOUTS = {
    ViTSize.MICRO: ViTLayout(96, 4, 4),
    ViTSize.TINY: ViTLayout(192, 12, 3),
    ViTSize.SMALL: ViTLayout(384, 12, 6),
    ViTSize.BASE: ViTLayout(768, 12, 12),
    ViTSize.LARGE: ViTLayout(1024, 24, 16),
}


class SelfAttention(nn.Module):
    """Queries, keys and values by one linear map, attention between them, and a linear map of what comes out.

    Args:
        channels: of a token, a multiple of the heads.
        heads: attention heads.
        attention: from queries, keys and values to values, each ``(B, heads, N, channels / heads)``, see
            :func:`~mammo.networks.attention.build_attention`.

    Attributes:
        maps: None, or a list that each forward pass adds its softmax map ``(B, heads, N, N)`` to; this bypasses
            ``attention``, so that it must be softmax attention. Set by :func:`record_vit_attention`.

    Shape:
        - x: ``(B, N, channels)``.
        - seen: ``(B, N)`` bool, the tokens that are looked at; None is all, and needed unless ``attention`` is softmax.
        - output: ``(B, N, channels)``.
    """

    def __init__(self, channels: int, heads: int, attention: nn.Module) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.attention = attention
        self.proj = nn.Linear(channels, channels)
        self.maps: list[Tensor] | None = None

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).transpose(1, 3).unbind(2)  # each (B, heads, N, d)
        keys = None if seen is None else seen[:, None, None]  # (B, 1, 1, N)
        if self.maps is not None:
            scores = q @ k.mT * q.shape[-1] ** -0.5
            self.maps.append((scores if keys is None else scores.masked_fill(~keys, -torch.inf)).softmax(dim=-1))
            mixed = self.maps[-1] @ v
        elif keys is not None:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=keys)
        else:
            mixed = self.attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class ViTBlock(nn.Module):
    """Pre-norm transformer block: attention, then an MLP four times as wide with GELU, LayerNorms of eps 1e-6.

    MONAI's ``TransformerBlock`` has eps 1e-5, no stochastic depth and no other attention than softmax.

    Args:
        channels: of a token, a multiple of the heads.
        heads: attention heads.
        attention: see :class:`SelfAttention`.
        drop_path: rate of stochastic depth of both halves.

    Shape:
        - x: ``(B, N, channels)``; seen: see :class:`SelfAttention`.
        - output: ``(B, N, channels)``.
    """

    def __init__(self, channels: int, heads: int, attention: nn.Module, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = SelfAttention(channels, heads, attention)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = MLPBlock(channels, 4 * channels)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x), seen))
        return x + self.drop_path(self.mlp(self.norm2(x)))


def run_block(block: nn.Module, x: Tensor, seen: Tensor | None = None, *, use_checkpoint: bool = False) -> Tensor:
    """A :class:`ViTBlock` of tokens; ``use_checkpoint`` computes its inner values again in the backward pass."""
    if use_checkpoint and torch.is_grad_enabled():
        return cast(Tensor, checkpoint(block, x, seen, use_reentrant=False))
    return cast(Tensor, block(x, seen))


class ViTEncoder(nn.Module):
    """Vision Transformer (Dosovitskiy et al. 2021, arXiv:2010.11929) as masked autoencoders lay it out.

    Patches of 16 pixels by one linear map, a class token in front, fixed positions of sines and cosines, pre-norm
    blocks and a final norm; weights start as in MAE (He et al. 2022, arXiv:2111.06377). Images of any multiple of the
    patch size are taken: each gets the positions of its own grid.

    The maps leave the class token out: :meth:`tokens` has it, first of its sequence.

    Args:
        in_channels: channels of the image, 1 for mammograms.
        image_size: rows and columns that images usually have.
        size: layout by name, see :class:`ViTSize`.
        patch_size: pixels along the side of a token.
        embed_dim: overrides the width of ``size``.
        depth: overrides its number of blocks.
        num_heads: overrides its attention heads.
        drop_path: rate of stochastic depth of the last block; earlier ones rise linearly from 0. Not for pretraining.
        final_norm: normalise the tokens behind the last block. MAE's fine-tuning does not: it pools the tokens as they
            are and has a norm behind the pooling.
        positions: ``sincos`` or ``learned``, for public weights whose positions are.
        use_checkpoint: recompute the blocks in the backward pass to save memory; gradients are the same.
        image_mean: subtracted from the image before the patch embedding.
        image_std: the image is then divided by it; (0.449, 0.226) are the grey values of ImageNet's.

    Attributes:
        grid: rows and columns of tokens at ``image_size``.
        out_channels: channels of the last map.
        map_channels: channels of each of the five maps, all the same.
        map_strides: pixels along the side of a token of each of them, all the same.
        stride: pixels along the side of a token of the last map, ``patch_size``.
        features: identity that the last map passes, the layer to name to Grad-CAM (channel-first).
        outputs: the same for the maps at a quarter, half and three quarters of the blocks.

    Shape:
        - x: ``(B, in_channels, H, W)``, multiples of the patch size.
        - kept: ``(B, 1, H, W)``, not 0 at pixels whose tokens are computed, the class token beside them; None computes
          all.
        - output: five channel-first maps ``(B, embed_dim, H / patch_size, W / patch_size)``: the patch embedding,
          after a quarter, half and three quarters of the blocks, and after all of them and the final norm. Tokens that
          are not kept are 0 in all but the first.

    Raises:
        ValueError: an unknown size, a width that the heads or 4 do not divide, or an image of other channels or of a
            size that patches do not fill.
    """

    def __init__(
        self,
        in_channels: int = 1,
        image_size: Sequence[int] = (224, 224),
        size: str = ViTSize.BASE,
        *,
        patch_size: int = 16,
        embed_dim: int | None = None,
        depth: int | None = None,
        num_heads: int | None = None,
        drop_path: float = 0.0,
        final_norm: bool = True,
        positions: str = PositionKind.SINCOS,
        use_checkpoint: bool = False,
        image_mean: float = 0.0,
        image_std: float = 1.0,
    ) -> None:
        super().__init__()
        named = LAYOUTS[look_up_option(size, ViTSize)]
        width, depth, heads = embed_dim or named.embed_dim, depth or named.depth, num_heads or named.num_heads
        if width % heads:
            raise ValueError(f"embed_dim {width} must be a multiple of num_heads {heads}")
        self.in_channels = in_channels
        self.patch_size = self.stride = patch_size
        self.grid = self._grid(*image_size)
        self.map_channels, self.map_strides = (width,) * 5, (patch_size,) * 5
        self.out_channels = width
        self.use_checkpoint = use_checkpoint
        self.image_mean = image_mean
        self.image_std = image_std
        self.patch_embed = nn.Conv2d(in_channels, width, kernel_size=patch_size, stride=patch_size)
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        learned = look_up_option(positions, PositionKind) is PositionKind.LEARNED
        self.positions = (LearnedPositions if learned else SinCosPositions)(self.grid, width)
        self.blocks = nn.ModuleList(
            ViTBlock(
                width,
                heads,
                build_attention("standard", heads=heads, head_dim=width // heads, grid=self.grid),
                drop_path * block / max(depth - 1, 1),
            )
            for block in range(depth)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6) if final_norm else nn.Identity()
        self.outputs = nn.ModuleList(nn.Identity() for _ in range(3))
        self.features = nn.Identity()
        self.apply(initialise_linear)
        nn.init.xavier_uniform_(self.patch_embed.weight.view(width, -1))
        nn.init.zeros_(cast(Tensor, self.patch_embed.bias))
        nn.init.normal_(self.class_token, std=0.02)

    def forward(self, x: Tensor, kept: Tensor | None = None) -> list[Tensor]:
        return self.encode(self.embed(x), None if kept is None else self.kept_tokens(kept))

    def tokens(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """The class token and behind it those of the last map, row by row: ``(B, 1 + N, embed_dim)``."""
        grid = self.embed(x)
        return self._states(grid, None if kept is None else self.kept_tokens(kept))[-1]

    def kept_tokens(self, pixels: Tensor) -> Tensor:
        """Tokens ``(B, 1, h, w)`` bool that hold any pixel of ``(B, 1, H, W)`` that is not 0."""
        return F.max_pool2d((pixels != 0).float(), self.patch_size) > 0

    def embed(self, x: Tensor) -> Tensor:
        """Patch embedding ``(B, embed_dim, h, w)`` of an image, without positions."""
        # A traced graph has its shape frozen and checked by then; a Python branch would only warn.
        if not torch.jit.is_tracing():
            if x.ndim != 4 or x.shape[1] != self.in_channels:
                raise ValueError(
                    f"the encoder takes images (B, {self.in_channels}, H, W), got {tuple(x.shape)}; "
                    f"build it with in_channels={x.shape[1] if x.ndim == 4 else '...'} or select the channels"
                )
            self._grid(*x.shape[-2:])
        return self.patch_embed((x - self.image_mean) / self.image_std)

    def placed(self, grid: Tensor) -> Tensor:
        """The patch embedding ``(B, embed_dim, h, w)`` as a sequence with positions ``(B, h * w, embed_dim)``."""
        shape = self.grid if torch.jit.is_tracing() else (grid.shape[-2], grid.shape[-1])
        return grid.flatten(2).mT + self.positions(shape)

    def encode(self, tokens: Tensor, kept: Tensor | None = None) -> list[Tensor]:
        """The five maps of :meth:`forward` from the patch embedding, which is the first of them.

        Args:
            tokens: ``(B, embed_dim, h, w)``.
            kept: ``(B, 1, h, w)`` bool, the tokens that are computed; None computes all.
        """
        *inner, last = (state[:, 1:].mT.unflatten(-1, tokens.shape[-2:]) for state in self._states(tokens, kept))
        passed = [output(state) for output, state in zip(self.outputs, inner, strict=True)]
        return [tokens, *passed, self.features(last)]

    def run(self, tokens: Tensor, seen: Tensor | None = None) -> list[Tensor]:
        """Sequences ``(B, 1 + n, embed_dim)`` after a quarter, half, three quarters of the blocks, and normalised.

        Args:
            tokens: ``(B, n, embed_dim)``, any tokens of an image with their positions; the class token joins them.
            seen: ``(B, n)`` bool, those that are no padding; None is all.
        """
        x = torch.cat([self.class_token.expand(tokens.shape[0], -1, -1).to(tokens.dtype), tokens], dim=1)
        seen = None if seen is None else F.pad(seen, (1, 0), value=True)
        found = []
        for block in self.blocks:
            # Recorded maps are kept anyway, and a second computation would record them twice.
            x = run_block(block, x, seen, use_checkpoint=self.use_checkpoint and not self._records())
            found.append(x)
        return [*(found[self.last_block(quarter)] for quarter in (1, 2, 3)), self.norm(x)]

    def last_block(self, quarter: int) -> int:
        """Index of the last block of a quarter, 1 to 4, of the blocks; the map of that number leaves it."""
        return max(quarter * len(self.blocks) // 4, 1) - 1

    def _states(self, grid: Tensor, kept: Tensor | None) -> list[Tensor]:
        tokens = self.placed(grid)
        if kept is None:
            return self.run(tokens)
        chosen = kept.flatten(1)
        count = chosen.sum(dim=1, keepdim=True)
        # Recorded maps show the whole grid: then all is computed, but nothing looks at what is not kept.
        width = tokens.shape[1] if self._records() else int(count.max())
        order = chosen.int().argsort(dim=1, descending=True, stable=True)[:, :width]  # the kept first, in their order
        if self._records():
            order = torch.arange(width, device=order.device).expand_as(order)
        seen = chosen.gather(1, order)
        index = order[..., None].expand(-1, -1, tokens.shape[-1])
        states = self.run(tokens.gather(1, index), seen)
        empty = torch.zeros_like(tokens)
        return [
            torch.cat([state[:, :1], empty.to(state.dtype).scatter(1, index, state[:, 1:] * seen[..., None])], dim=1)
            for state in states
        ]

    def _records(self) -> bool:
        return cast(ViTBlock, self.blocks[0]).attn.maps is not None

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        if height % self.patch_size or width % self.patch_size or min(height, width) < self.patch_size:
            raise ValueError(
                f"images are cut into patches of {self.patch_size} x {self.patch_size} pixels, which do not fill "
                f"{height} x {width}; resize or pad them to multiples of {self.patch_size}"
            )
        return height // self.patch_size, width // self.patch_size


def initialise_linear(module: nn.Module) -> None:
    """Start a linear map as masked autoencoders do: Xavier's uniform distribution, bias 0; other modules stay."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@contextmanager
def record_vit_attention(encoder: ViTEncoder) -> Iterator[AttentionRecord]:
    """Record the softmax maps of each forward pass of a ViT while the context is open.

    The record holds the most recent pass: of every block one map ``(B, heads, 1 + N, 1 + N)``, queries x keys, the
    class token first, part of the autograd graph. Each grid is one window over all patches:
    ``stitch_attention_received(map[..., 1:, 1:], grid)`` puts a map of patches in its place. The tensors outlive the
    context, and nothing is left on the encoder, after an exception neither.

    Args:
        encoder: the encoder; a network around it has it as ``network.encoder``.
    """
    record = AttentionRecord()
    attentions = [cast(ViTBlock, block).attn for block in encoder.blocks]

    def begin(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        size = (int(output.shape[-2]), int(output.shape[-1]))
        record.maps, record.grids = [], [WindowGrid(size, size, (0, 0)) for _ in attentions]
        for attention in attentions:
            attention.maps = record.maps

    handle = encoder.patch_embed.register_forward_hook(begin)
    try:
        yield record
    finally:
        handle.remove()
        for attention in attentions:
            attention.maps = None


def attention_rollout(maps: Sequence[Tensor], grid: tuple[int, int], start: str = RolloutStart.CLASS) -> Tensor:
    r"""How much of each patch reaches the last layer, if attention were all that moves it: attention roll-out.

    .. math:: R = \prod_l \tfrac{1}{2} (\bar A_l + I)

    of the head means :math:`\bar A_l` (Abnar and Zuidema 2020, arXiv:2005.00928), the last layer leftmost. Only the row
    that is wanted is multiplied.

    Args:
        maps: of every layer, first to last, ``(B, heads, 1 + N, 1 + N)`` with rows of sum 1.
        grid: rows and columns of the N patches.
        start: ``class``, the row of the class token, or ``patches``, the mean of all others.

    Returns:
        ``(B, h, w)``, non-negative; with the class token's share left out the sum is at most 1.

    Raises:
        ValueError: no maps, an unknown start, or a grid of another number of patches.
    """
    if not maps:
        raise ValueError("roll-out needs the maps of every layer, got none; record_vit_attention gives them")
    batch, tokens = maps[0].shape[0], maps[0].shape[-1]
    if tokens != 1 + grid[0] * grid[1]:
        raise ValueError(f"maps of {tokens} tokens are no class token and a grid of {grid[0]} x {grid[1]}")
    row = torch.zeros(batch, 1, tokens, dtype=maps[0].dtype, device=maps[0].device)
    if look_up_option(start, RolloutStart) is RolloutStart.CLASS:
        row[..., 0] = 1
    else:
        row[..., 1:] = 1 / (tokens - 1)
    for attention in reversed(maps):
        row = (row @ attention.mean(dim=1) + row) / 2
    return row[:, 0, 1:].unflatten(-1, grid)
