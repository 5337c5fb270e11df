"""MoCo-v3: a ViT that tells the views of an image from those of others, by keys of a slower copy of itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .momentum import follow, frozen_copy, image_of_view
from .vit import ViTEncoder

__all__ = ["MoCoOutput", "MoCoV3"]


class MoCoOutput(NamedTuple):
    """What :class:`MoCoV3` gives for two views of B images.

    Attributes:
        queries: ``(2, B, out_dim)``, what the predictor makes of each view.
        keys: ``(2, B, out_dim)``, what the momentum network makes of each view; no gradient flows through them.
        features: ``(B, embed_dim)``, the encoder's class token of the first view, detached.
    """

    queries: Tensor
    keys: Tensor
    features: Tensor


class MoCoV3(nn.Module):
    """Contrastive learning with a ViT (MoCo-v3: Chen, Xie and He 2021, arXiv:2104.02057).

    The class token passes a projector of three linear maps and a predictor of two, with batch norm behind each map and
    ReLU between them. Keys come from a momentum encoder and projector, see :meth:`update_momentum`. The state has
    the trained encoder under ``encoder``.

    Args:
        encoder: of both views; the momentum encoder starts as its copy.
        hidden_dim: width within projector and predictor.
        out_dim: width of queries and keys.
        freeze_patches: leave the patch embedding as it starts: the paper's trick against unstable training.
        synchronise: batch norms take the statistics of all processes, as published; PyTorch does that on GPUs alone.

    Shape:
        - x, other: ``(B, C, H, W)`` of the encoder's channels, or one more with the breast mask, which is not used.
        - output: see :class:`MoCoOutput`.

    Raises:
        ValueError: for views of other channels or of different sizes.
    """

    def __init__(
        self,
        encoder: ViTEncoder,
        *,
        hidden_dim: int = 4096,
        out_dim: int = 256,
        freeze_patches: bool = True,
        synchronise: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        encoder.patch_embed.requires_grad_(not freeze_patches)
        self.projector = _normed_mlp((encoder.out_channels, hidden_dim, hidden_dim, out_dim), synchronise)
        self.predictor = _normed_mlp((out_dim, hidden_dim, out_dim), synchronise)
        self.momentum_encoder = frozen_copy(encoder)
        self.momentum_projector = frozen_copy(self.projector)

    def forward(self, x: Tensor, other: Tensor) -> MoCoOutput:
        if x.shape != other.shape:
            raise ValueError(f"both views must be of one size, got {tuple(x.shape)} and {tuple(other.shape)}")
        views = image_of_view(torch.cat([x, other]), self.encoder.in_channels)
        features = self.encoder.tokens(views)[:, 0]  # (2 B, embed_dim)
        # Batch norm sees one view at a time: in their joint statistics a query could read its own key.
        queries = [self.predictor(self.projector(view)) for view in features.chunk(2)]
        with torch.no_grad():
            slow = self.momentum_encoder.tokens(views)[:, 0]
            keys = [self.momentum_projector(view) for view in slow.chunk(2)]
        return MoCoOutput(torch.stack(queries), torch.stack(keys), features[: len(x)].detach())

    def update_momentum(self, momentum: float) -> None:
        """Let the momentum network follow by one step; its running means of batch norm are its own."""
        follow(self.momentum_encoder, self.encoder, momentum)
        follow(self.momentum_projector, self.projector, momentum)


def _normed_mlp(widths: Sequence[int], synchronise: bool) -> nn.Sequential:
    """Linear maps without bias, batch norm behind each and ReLU between them; the last norm has no weights."""
    norm = nn.SyncBatchNorm if synchronise else nn.BatchNorm1d
    layers: list[nn.Module] = []
    for before, after in pairwise(widths[:-1]):
        layers += [nn.Linear(before, after, bias=False), norm(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1], bias=False), norm(widths[-1], affine=False))
