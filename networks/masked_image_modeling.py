"""Masked image modelling: hide blocks of an image, reconstruct them."""

from collections.abc import Sequence

import torch
from monai.utils import StrEnum, look_up_option
from torch import Tensor, nn
from torch.nn import functional as F

from .decoders import PublishedDecoder, UnetrDecoder
from .swin import SwinEncoder


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

    Shape:
        - x: ``(B, 1 or 2, H, W)``, image in [0, 1] and breast mask; the mask is not looked at.
        - hidden: ``(B, 1, H, W)`` of {0, 1}, 1 where the image is hidden; None hides nothing.
        - output: ``(B, 1, H, W)``, the reconstruction, without bounds.

    Raises:
        ValueError: an unknown decoder or fill, or a ``hidden`` of another size than the image.
    """

    def __init__(
        self,
        encoder: SwinEncoder,
        decoder: str = DecoderName.PUBLISHED,
        fill: str = MaskFill.ZERO,
        *,
        decoder_widths: Sequence[int] = (512, 256, 128, 64),
        full_resolution: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
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
        if look_up_option(fill, MaskFill) is MaskFill.TOKEN:
            self.mask_token = nn.Parameter(torch.empty(1, encoder.map_channels[0], 1, 1))
            nn.init.trunc_normal_(self.mask_token, std=0.02)

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        image = x[:, : self.encoder.in_channels]
        if hidden is None:
            return self.decoder(self.encoder(image), image)
        if hidden.shape[-2:] != image.shape[-2:]:
            raise ValueError(
                f"hidden is {tuple(hidden.shape)}, the image {tuple(image.shape)}: both must have the same rows and "
                "columns; BlockMasking gives it at pixel resolution"
            )
        image = image * (1 - hidden)
        tokens = self.encoder.embed(image)
        if self.mask_token is not None:
            share = F.max_pool2d(hidden, self.encoder.patch_size, ceil_mode=True)  # (B, 1, h, w)
            tokens = tokens * (1 - share) + self.mask_token * share
        return self.decoder(self.encoder.encode(tokens), image)
