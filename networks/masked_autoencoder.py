"""Masked autoencoders on a ViT: an image from a quarter of its patches, at one scale (MAE) or several (MIRAM)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from monai.utils import look_up_option
from torch import Tensor, nn

from .attention import AttentionKind, build_attention
from .positions import SinCosPositions
from .vit import ViTBlock, ViTEncoder, initialise_linear, run_block

__all__ = ["AutoencoderOutput", "MaskedAutoencoder", "ScaleDecoder", "TokenEntry", "patchify", "unpatchify"]


class AutoencoderOutput(NamedTuple):
    """What :class:`MaskedAutoencoder` gives, for N patches.

    Attributes:
        predictions: for each scale s the pixels of every patch, ``(B, s * s * N, patch_size**2 * channels)``, in the
            order of :func:`patchify`.
        hidden: ``(B, N)``, 1 where a patch was removed.
        latent: ``(B, 1 + visible, embed_dim)``, the encoder's tokens in shuffled order, the class token first.
        ids_restore: ``(B, N)``, where each patch is in the shuffled order.
    """

    predictions: list[Tensor]
    hidden: Tensor
    latent: Tensor
    ids_restore: Tensor


class TokenEntry(nn.Module):
    """From the encoder's tokens to a decoder's full grid: a linear map, and one learned token for what was removed.

    Args:
        channels: of the encoder's tokens.
        decoder_dim: of the decoder's.

    Shape:
        - latent: ``(B, 1 + visible, channels)``; ids_restore: ``(B, N)``.
        - output: ``(B, 1 + N, decoder_dim)``, class token first, patches row by row.
    """

    def __init__(self, channels: int, decoder_dim: int) -> None:
        super().__init__()
        self.projection = nn.Linear(channels, decoder_dim)
        self.mask_token = nn.Parameter(torch.empty(1, 1, decoder_dim))
        nn.init.normal_(self.mask_token, std=0.02)
        self.apply(initialise_linear)

    def forward(self, latent: Tensor, ids_restore: Tensor) -> Tensor:
        tokens = self.projection(latent)
        removed = ids_restore.shape[1] - (tokens.shape[1] - 1)
        mask_tokens = self.mask_token.to(tokens.dtype).expand(len(tokens), removed, -1)
        shuffled = torch.cat([tokens[:, 1:], mask_tokens], dim=1)
        index = ids_restore[..., None].expand(-1, -1, tokens.shape[-1])
        return torch.cat([tokens[:, :1], shuffled.gather(1, index)], dim=1)


class ScaleDecoder(nn.Module):
    """Paint an image of ``scale`` times the size from a full grid of tokens, each first copied to its children.

    Every token becomes ``scale x scale`` equal ones on the grid, which positions alone tell apart; the class token
    stays one. Blocks, norm and a linear map to the pixels of a patch follow.

    Args:
        grid: rows and columns of the tokens that come in.
        scale: children of a token along a side; patches stay as large, so that the image grows with it.
        patch_values: values of a patch, ``patch_size**2 * channels``.
        channels: of a token.
        depth: number of blocks.
        heads: attention heads of each.
        attention: see :func:`~mammo.networks.attention.build_attention`.
        attention_options: of ``attention``.

    Shape:
        - tokens: ``(B, 1 + h * w, channels)``; grid: ``(h, w)``.
        - output: ``(B, scale**2 * h * w, patch_values)``.
    """

    def __init__(
        self,
        grid: tuple[int, int],
        scale: int,
        patch_values: int,
        channels: int,
        depth: int,
        heads: int,
        attention: str = AttentionKind.STANDARD,
        attention_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.scale = scale
        fine = (scale * grid[0], scale * grid[1])
        options = dict(attention_options or {})
        self.positions = SinCosPositions(fine, channels)
        self.blocks = nn.ModuleList(
            ViTBlock(
                channels,
                heads,
                build_attention(attention, heads=heads, head_dim=channels // heads, grid=fine, **options),
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pixels = nn.Linear(channels, patch_values)
        self.apply(initialise_linear)

    def forward(self, tokens: Tensor, grid: tuple[int, int], *, use_checkpoint: bool = False) -> Tensor:
        patches = tokens[:, 1:].unflatten(1, grid)  # (B, h, w, channels)
        patches = patches.repeat_interleave(self.scale, dim=1).repeat_interleave(self.scale, dim=2)
        fine = (self.scale * grid[0], self.scale * grid[1])
        x = torch.cat([tokens[:, :1], patches.flatten(1, 2) + self.positions(fine)], dim=1)
        for block in self.blocks:
            x = run_block(block, x, use_checkpoint=use_checkpoint)
        return self.pixels(self.norm(x[:, 1:]))


class MaskedAutoencoder(nn.Module):
    """Masked autoencoder (MAE, He et al. 2022, arXiv:2111.06377), and MIRAM, which paints several scales.

    With ``scales=(1,)`` it is MAE: the encoder sees the visible patches alone, a decoder sees them and a learned token
    for each removed one. With ``(1, 2)`` it is MIRAM (Vo et al. 2025, arXiv:2503.07157): a second decoder of its own
    weights copies each token of the full grid to 2 x 2 children and paints an image of twice the size from them. Any
    other scales do the same.

    Args:
        encoder: the ViT to pretrain; with its ``use_checkpoint`` the decoders recompute their blocks too.
        decoder_dim: width of a token in the decoders.
        decoder_depth: blocks of each.
        decoder_heads: attention heads of each block.
        mask_ratio: share of the patches that is removed.
        scales: one decoder each, in rising order.
        attention: of the decoders of scales above 1, see :func:`~mammo.networks.attention.build_attention`. Linear
            kinds save nothing on a small grid: break-even is at some 400 tokens.
        low_attention: the same for scale 1.
        attention_options: of those decoders whose attention is ``attention``.
        share_projection: one linear map and mask token for all decoders, as in MIRAM's later code; otherwise each
            decoder has its own.

    Shape:
        - x: ``(B, C, H, W)``, or ``(B, C + 1, H, W)`` with a breast mask last, which is not looked at; C as the
          encoder takes it.
        - noise: ``(B, N)``, those of each image's N patches with the least stay visible; None draws it uniformly.
        - output: see :class:`AutoencoderOutput`.

    Raises:
        ValueError: scales that do not rise from 1 or more, a width that the heads or 4 do not divide, an attention that
            no decoder would have, a mask ratio that leaves or removes no patch, or noise of another shape.
    """

    def __init__(
        self,
        encoder: ViTEncoder,
        *,
        decoder_dim: int = 512,
        decoder_depth: int = 8,
        decoder_heads: int = 16,
        mask_ratio: float = 0.75,
        scales: Sequence[int] = (1,),
        attention: str = AttentionKind.STANDARD,
        low_attention: str = AttentionKind.STANDARD,
        attention_options: Mapping[str, Any] | None = None,
        share_projection: bool = True,
    ) -> None:
        super().__init__()
        if not scales or min(scales) < 1 or list(scales) != sorted(set(scales)):
            raise ValueError(f"scales must be whole numbers that rise from 1 or more, got {tuple(scales)}")
        if decoder_dim % decoder_heads:
            raise ValueError(f"decoder_dim {decoder_dim} must be a multiple of decoder_heads {decoder_heads}")
        self.encoder = encoder
        self.mask_ratio = mask_ratio
        self.scales = tuple(scales)
        self._visible(encoder.grid[0] * encoder.grid[1])
        entries = 1 if share_projection else len(self.scales)
        self.entries = nn.ModuleList(TokenEntry(encoder.out_channels, decoder_dim) for _ in range(entries))
        attention, low_attention = (look_up_option(kind, AttentionKind) for kind in (attention, low_attention))
        kinds = [low_attention if scale == 1 else attention for scale in self.scales]
        unused = {attention, low_attention} - {*kinds, AttentionKind.STANDARD}
        if unused or (attention_options and attention not in kinds):
            raise ValueError(
                f"attention {attention} is for scales above 1, low_attention {low_attention} for scale 1; with scales "
                f"{self.scales} not all of it would be used"
            )
        self.decoders = nn.ModuleList(
            ScaleDecoder(
                encoder.grid,
                scale,
                encoder.patch_size**2 * encoder.in_channels,
                decoder_dim,
                decoder_depth,
                decoder_heads,
                kind,
                attention_options if kind is attention else None,
            )
            for scale, kind in zip(self.scales, kinds, strict=True)
        )

    def forward(self, x: Tensor, noise: Tensor | None = None) -> AutoencoderOutput:
        channels = self.encoder.in_channels
        if x.ndim != 4 or x.shape[1] not in (channels, channels + 1):
            raise ValueError(
                f"the autoencoder takes (B, {channels}, H, W), or (B, {channels + 1}, H, W) with the breast mask last; "
                f"got {tuple(x.shape)}"
            )
        embedding = self.encoder.embed(x[:, :channels])
        grid = (embedding.shape[-2], embedding.shape[-1])
        tokens = self.encoder.placed(embedding)  # (B, N, embed_dim)
        if noise is None:
            noise = torch.rand(tokens.shape[:2], device=tokens.device)
        if noise.shape != tokens.shape[:2]:
            raise ValueError(f"noise must be one number a patch, {tuple(tokens.shape[:2])}; got {tuple(noise.shape)}")
        visible = self._visible(tokens.shape[1])
        # Stable: equal numbers are not rare in float32, and their order would be a matter of the device.
        ids_shuffle = noise.argsort(dim=1, stable=True)
        ids_restore = ids_shuffle.argsort(dim=1, stable=True)
        index = ids_shuffle[:, :visible, None].expand(-1, -1, tokens.shape[-1])
        latent = self.encoder.run(tokens.gather(1, index))[-1]
        hidden = (ids_restore >= visible).to(tokens.dtype)
        full = [entry(latent, ids_restore) for entry in self.entries]
        if len(full) < len(self.decoders):
            full *= len(self.decoders)
        predictions = [
            decoder(tokens, grid, use_checkpoint=self.encoder.use_checkpoint)
            for decoder, tokens in zip(self.decoders, full, strict=True)
        ]
        return AutoencoderOutput(predictions, hidden, latent, ids_restore)

    def _visible(self, patches: int) -> int:
        visible = int(patches * (1 - self.mask_ratio))
        if not 0 < visible < patches:
            raise ValueError(
                f"mask_ratio {self.mask_ratio} leaves {visible} of {patches} patches visible; "
                "it must leave one and remove one"
            )
        return visible


def patchify(image: Tensor, patch_size: int) -> Tensor:
    """Patches ``(B, N, patch_size**2 * C)`` of images ``(B, C, H, W)``, row by row, values by row, column, channel."""
    rows, columns = (side // patch_size for side in image.shape[-2:])
    if (rows * patch_size, columns * patch_size) != tuple(image.shape[-2:]):
        raise ValueError(f"patches of {patch_size} pixels do not fill an image of {tuple(image.shape[-2:])}")
    cells = image.unflatten(-2, (rows, patch_size)).unflatten(-1, (columns, patch_size))  # (B, C, rows, p, columns, p)
    return cells.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def unpatchify(patches: Tensor, grid: tuple[int, int], patch_size: int) -> Tensor:
    """Images ``(B, C, H, W)`` of a grid of patches ``(B, N, patch_size**2 * C)``; undoes :func:`patchify`."""
    if patches.shape[1] != grid[0] * grid[1] or patches.shape[2] % patch_size**2:
        raise ValueError(f"{tuple(patches.shape)} are no {grid[0]} x {grid[1]} patches of {patch_size} pixels")
    cells = patches.unflatten(1, grid).unflatten(-1, (patch_size, patch_size, -1))  # (B, rows, columns, p, p, C)
    return cells.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
