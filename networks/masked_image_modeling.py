"""Masked image modelling: hide blocks of an image, reconstruct them."""

from collections.abc import Sequence

import torch
from monai.utils import StrEnum, look_up_option
from torch import Tensor, nn
from torch.nn import functional as F

from .decoders import PublishedDecoder, UnetrDecoder
from .fast_swin import merged
from .swin import SwinEncoder, Tokens


class DecoderName(StrEnum):
    """Decoders of :class:`SwinMIM`."""

    PUBLISHED = "published"
    UNETR = "unetr"


class MaskFill(StrEnum):
    """What stands in for hidden pixels."""

    ZERO = "zero"
    TOKEN = "token"


class SwinMIM(nn.Module):
    """Encoder and decoder that reconstruct a mammogram from what is left of it.

    Args:
        encoder: the encoder to pretrain.
        decoder: ``published`` (:class:`PublishedDecoder`) or ``unetr`` (:class:`UnetrDecoder`).
        fill: hidden pixels become 0 (``zero``, as published), or tokens that hold any hidden pixel are replaced
            by one learned token behind the patch embedding (``token``; SimMIM, Xie et al. 2022, arXiv:2111.09886).
        decoder_widths: channels of the published decoder's steps; small encoders want fewer.
        full_resolution: see :class:`PublishedDecoder`; the UNETR decoder always is.
        tokens: ``all``, as published, or ``breast``: the encoder computes the tokens of what is visible of the breast
            and no others (:class:`SwinEncoder`), a fraction of the cost; the decoder finds a learned vector in place of
            the last map's others, zeros in place of the skips'. With the ``token`` fill, hidden tokens are not computed
            either: it then has no part to play and is refused.

    Shape:
        - x: ``(B, 1 or 2, H, W)``, image in [0, 1] and breast mask; without it the mask is 1. ``all`` does not look
          at it.
        - hidden: ``(B, 1, H, W)`` of {0, 1}, 1 where the image is hidden; None hides nothing.
        - output: ``(B, 1, H, W)``, the reconstruction, without bounds.

    Raises:
        ValueError: an unknown decoder, fill or choice of tokens, or a ``hidden`` of another size than the image.
    """

    def __init__(
        self,
        encoder: SwinEncoder,
        decoder: str = DecoderName.PUBLISHED,
        fill: str = MaskFill.ZERO,
        *,
        decoder_widths: Sequence[int] = (512, 256, 128, 64),
        full_resolution: bool = False,
        tokens: str = Tokens.ALL,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.tokens = look_up_option(tokens, Tokens)
        self.decoder: nn.Module
        if look_up_option(decoder, DecoderName) is DecoderName.PUBLISHED:
            self.decoder = PublishedDecoder(
                encoder.out_channels, decoder_widths, stride=encoder.stride, full_resolution=full_resolution
            )
        else:
            self.decoder = UnetrDecoder(
                encoder.map_channels, image_channels=encoder.in_channels, patch_size=encoder.patch_size
            )
        self.mask_token: nn.Parameter | None = None
        self.empty_token: nn.Parameter | None = None
        if look_up_option(fill, MaskFill) is MaskFill.TOKEN:
            if self.tokens is Tokens.BREAST:
                raise ValueError(
                    "fill: token needs tokens: all; with tokens: breast nothing is computed where it would be"
                )
            self.mask_token = _token(encoder.map_channels[0])
        if self.tokens is Tokens.BREAST:
            self.empty_token = _token(encoder.out_channels)

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        channels = self.encoder.in_channels
        image, mask = x[:, :channels], x[:, channels:]
        if hidden is not None and hidden.shape[-2:] != image.shape[-2:]:
            raise ValueError(
                f"hidden is {tuple(hidden.shape)}, the image {tuple(image.shape)}: both must have the same rows and "
                "columns; BlockMasking gives it at pixel resolution"
            )
        if hidden is not None:
            image = image * (1 - hidden)
        tokens = self.encoder.embed(image)
        if self.empty_token is not None:
            visible = torch.ones_like(image[:, :1]) if hidden is None else 1 - hidden
            visible = self.encoder.kept_tokens(visible * mask if mask.shape[1] else visible)
            *maps, last = self.encoder.encode(tokens, visible)
            empty = self.empty_token * ~_reaching(visible, last)
            return self.decoder([*maps, last + empty.to(last.dtype)], image)
        if self.mask_token is not None and hidden is not None:
            share = F.max_pool2d(hidden, self.encoder.patch_size, ceil_mode=True)  # (B, 1, h, w)
            tokens = tokens * (1 - share) + self.mask_token * share
        return self.decoder(self.encoder.encode(tokens), image)


def _token(channels: int) -> nn.Parameter:
    token = nn.Parameter(torch.empty(1, channels, 1, 1))
    nn.init.trunc_normal_(token, std=0.02)
    return token


def _reaching(kept: Tensor, last: Tensor) -> Tensor:
    """Which tokens ``(B, 1, h, w)`` bool of the last map hold any of the kept ones of the first."""
    while kept.shape[-2:] != last.shape[-2:]:
        kept = merged(kept)
    return kept
