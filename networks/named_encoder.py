"""The image encoder that a configuration names, where it may hold no expression that would choose one."""

from __future__ import annotations

from collections.abc import Sequence

from monai.utils import StrEnum, look_up_option

from .efficientnet import EfficientNetEncoder
from .swin import SwinEncoder
from .vit import ViTEncoder

__all__ = ["EncoderName", "named_encoder"]


class EncoderName(StrEnum):
    """Kinds of image encoder."""

    EFFICIENTNET = "efficientnet"
    SWIN = "swin"
    VIT = "vit"


def named_encoder(
    name: str,
    *,
    size: str,
    image_size: Sequence[int],
    drop_path: float = 0.0,
    use_checkpoint: bool = False,
    image_mean: float = 0.0,
    image_std: float = 1.0,
) -> EfficientNetEncoder | SwinEncoder | ViTEncoder:
    """An encoder of one channel, untrained.

    Args:
        name: see :class:`EncoderName`.
        size: of its kind: ``b0`` to ``b7`` of EfficientNet, ``micro`` to ``large`` of the others.
        image_size: rows and columns in pixels, which a ViT's positions are laid over; the others take any.
        drop_path: rate of stochastic depth of the last block, 0 to below 1; EfficientNet calls it drop-connect.
        use_checkpoint: compute blocks again in the backward pass, to save memory.
        image_mean: subtracted from the image.
        image_std: the image is then divided by it.

    Raises:
        ValueError: an unknown name, or as the encoder raises it.
    """
    kind = look_up_option(name, EncoderName)
    if kind is EncoderName.EFFICIENTNET:
        return EfficientNetEncoder(
            size=size,
            drop_connect=drop_path,
            use_checkpoint=use_checkpoint,
            image_mean=image_mean,
            image_std=image_std,
        )
    if kind is EncoderName.SWIN:
        return SwinEncoder(
            size=size, drop_path=drop_path, use_checkpoint=use_checkpoint, image_mean=image_mean, image_std=image_std
        )
    return ViTEncoder(
        image_size=image_size,
        size=size,
        drop_path=drop_path,
        use_checkpoint=use_checkpoint,
        image_mean=image_mean,
        image_std=image_std,
    )
