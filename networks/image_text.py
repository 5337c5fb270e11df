"""Images and texts as vectors of one space, as CLIP and Mammo-CLIP are trained."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol, cast

import torch
from monai.utils import StrEnum, look_up_option
from torch import Tensor, nn
from torch.nn import functional as F

from .classifier import HeadNorm, Pooling, pool_over, pooled_norm
from .gradient_cache import in_chunks
from .text_encoder import TextEncoder

__all__ = ["ImageTextModel", "ImageTextOutput", "MapEncoder", "Projection"]


class Projection(StrEnum):
    """How features come into the common space: by one linear map, or by a small MLP around it."""

    LINEAR = "linear"
    MLP = "mlp"


class MapEncoder(Protocol):
    """An image encoder such as :class:`SwinEncoder` or :class:`ViTEncoder`, a module whose last map is looked at.

    Attributes:
        in_channels: channels of the image.
        out_channels: channels of the last map.
        stride: pixels along the side of a token of the last map.
    """

    in_channels: int
    out_channels: int
    stride: int

    def __call__(self, x: Tensor) -> list[Tensor]: ...


class ImageTextOutput(NamedTuple):
    """What :class:`ImageTextModel` gives for B pairs; vectors are of unit length, ``(B, D)``.

    Attributes:
        image: of the image.
        text: of its text.
        scale: scalar that cosines are multiplied with, one by the temperature.
        other_image: of the other view, or None.
        other_text: of the other text, or None.
        bias: scalar that is added to scaled cosines, or None.
    """

    image: Tensor
    text: Tensor
    scale: Tensor
    other_image: Tensor | None = None
    other_text: Tensor | None = None
    bias: Tensor | None = None


class ImageTextModel(nn.Module):
    r"""Two towers (CLIP: Radford et al. 2021, arXiv:2103.00020; Mammo-CLIP: Ghosh et al. 2024, arXiv:2405.12255).

    The last map is pooled, as in :class:`MammogramClassifier`; norm, dropout, projection, unit length follow. Texts are
    projected likewise. One call takes all that a loss needs, so that it fits MONAI's trainers and
    DistributedDataParallel. Two views, and two texts, go through their tower one after the other, as in the authors'
    code: batch norm takes the statistics of one view at a time, and counts two batches.

    The scale is learnt as its logarithm, ``logit_scale``. It is used between 1 and ``max_scale``; a gradient that
    would lead further out stops there. It is one number, so that :func:`parameter_groups` with ``decay_norms=False``
    does not decay it.

    Args:
        encoder: see :class:`MapEncoder`.
        text_encoder: None for the use of images alone, such as zero-shot with vectors of texts that are known.
        embed_dim: D.
        pooling: ``average`` over the whole map, as published, or ``mask``, over the breast.
        head_norm: of pooled image features: ``none``, as published, ``batch`` or ``layer``. Features of an untrained
            encoder are nearly the same for all images; without a norm it starts slowly.
        dropout: rate on pooled image features (published: 0.3 for EfficientNet-B2, 0.4 for B5).
        projection: ``linear``, as released, or ``mlp``: linear map, GELU, linear map and dropout of 0.1, added to the
            first one's outcome, and LayerNorm.
        temperature: at the start; SigLIP takes 0.1.
        max_scale: greatest scale, 100 in CLIP.
        bias: start of the learnt bias of :class:`SigmoidLoss` (SigLIP: -10); None has none, as other losses need.

    Shape:
        - x, other: ``(B, C or C + 1, H, W)``, image and, last, its breast mask; without it the mask is 1.
        - tokens, other_tokens: ``(B, L)`` int64; mask, other_mask: ``(B, L)``, see :class:`TextEncoder`. Both texts may
          differ in length.
        - chunk: images, or texts, that are held at a time, see :func:`in_chunks`; None is the whole batch.
        - output: see :class:`ImageTextOutput`.

    Raises:
        ValueError: an unknown pooling, norm or projection, a temperature out of range, images of other channels, a text
            without its mask, or texts where there is no text encoder.
    """

    def __init__(
        self,
        encoder: MapEncoder,
        text_encoder: TextEncoder | None,
        embed_dim: int = 512,
        *,
        pooling: str = Pooling.AVERAGE,
        head_norm: str = HeadNorm.NONE,
        dropout: float = 0.0,
        projection: str = Projection.LINEAR,
        temperature: float = 0.07,
        max_scale: float = 100.0,
        bias: float | None = None,
    ) -> None:
        super().__init__()
        if not 0 < 1 / max_scale <= temperature <= 1:
            raise ValueError(
                f"temperature {temperature} must lie between 1 / max_scale, here 1 / {max_scale}, and 1, such as 0.07"
            )
        kind = look_up_option(projection, Projection)
        self.encoder = encoder
        self.text_encoder = text_encoder
        self.pooling = look_up_option(pooling, Pooling)
        self.head_norm = pooled_norm(head_norm, encoder.out_channels)
        self.dropout = nn.Dropout(dropout)
        self.image_projection = _projection(kind, encoder.out_channels, embed_dim)
        self.text_projection = None if text_encoder is None else _projection(kind, text_encoder.out_channels, embed_dim)
        self.max_scale = max_scale
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / temperature)))
        self.logit_bias = None if bias is None else nn.Parameter(torch.tensor(float(bias)))

    @property
    def scale(self) -> Tensor:
        """Scalar that cosines are multiplied with, between 1 and ``max_scale``."""
        bounded: Tensor = _Bounded.apply(self.logit_scale, 0.0, math.log(self.max_scale))
        return bounded.exp()

    def forward(
        self,
        x: Tensor,
        other: Tensor | None = None,
        *,
        tokens: Tensor,
        mask: Tensor,
        other_tokens: Tensor | None = None,
        other_mask: Tensor | None = None,
        chunk: int | None = None,
    ) -> ImageTextOutput:
        if (other_tokens is None) is not (other_mask is None):
            raise ValueError("other_tokens and other_mask go together: give both or none")
        return ImageTextOutput(
            image=self._images(x, chunk),
            text=self._texts(tokens, mask, chunk),
            scale=self.scale,
            other_image=None if other is None else self._images(other, chunk),
            other_text=None if other_tokens is None else self._texts(other_tokens, cast(Tensor, other_mask), chunk),
            bias=self.logit_bias,
        )

    def embed_images(self, x: Tensor) -> Tensor:
        """Unit vectors ``(B, D)`` of images ``(B, C or C + 1, H, W)``.

        An image without breast has, with ``mask`` pooling, the vector of the projection's bias.
        """
        channels = self.encoder.in_channels
        if not torch.jit.is_tracing() and (x.ndim != 4 or x.shape[1] not in (channels, channels + 1)):
            raise ValueError(
                f"the model takes (B, {channels}, H, W), or (B, {channels + 1}, H, W) with the breast mask last; "
                f"got {tuple(x.shape)}"
            )
        image = x[:, :channels]
        features = self.encoder(image)[-1]
        if self.pooling is Pooling.AVERAGE:
            pooled = features.mean(dim=(-2, -1))
        else:
            breast = x[:, channels:] if x.shape[1] > channels else torch.ones_like(image[:, :1])
            pooled = pool_over(features, breast, self.encoder.stride)
        return _unit(self.image_projection(self.dropout(self.head_norm(pooled))))

    def embed_texts(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Unit vectors ``(B, D)`` of texts, tokens and mask ``(B, L)``."""
        if self.text_encoder is None or self.text_projection is None:
            raise ValueError("this model has no text encoder: build it with one to embed texts")
        return _unit(self.text_projection(self.text_encoder(input_ids, attention_mask)))

    def _images(self, x: Tensor, chunk: int | None) -> Tensor:
        return self.embed_images(x) if chunk is None else in_chunks(self, self.embed_images, chunk, x)

    def _texts(self, tokens: Tensor, mask: Tensor, chunk: int | None) -> Tensor:
        if chunk is None:
            return self.embed_texts(tokens, mask)
        return in_chunks(self, self.embed_texts, chunk, tokens, mask)


class _ResidualProjection(nn.Module):
    """Linear map with a small MLP around it: the ``mlp`` projection."""

    def __init__(self, channels: int, embed_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, embed_dim)
        self.mlp = nn.Sequential(nn.GELU(), nn.Linear(embed_dim, embed_dim), nn.Dropout(0.1))
        self.norm = nn.LayerNorm(embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        projected = self.linear(x)
        return cast(Tensor, self.norm(projected + self.mlp(projected)))


class _Bounded(torch.autograd.Function):
    # torch.clamp gives no gradient beyond its bounds: a scale that once stepped over one could never come back.

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bounds = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        low, high = ctx.bounds
        outward = (x >= high) & (gradient < 0) | (x <= low) & (gradient > 0)  # descent goes against the gradient
        return gradient.masked_fill(outward, 0.0), None, None


def _projection(kind: Projection, channels: int, embed_dim: int) -> nn.Module:
    return nn.Linear(channels, embed_dim) if kind is Projection.LINEAR else _ResidualProjection(channels, embed_dim)


def _unit(vectors: Tensor) -> Tensor:
    # In float32, whatever autocast made of the projection: cosines are told apart in their third digit.
    return F.normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=-1)
