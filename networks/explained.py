"""A classifier that gives its explanation with its answer, in one pass forward: what can be traced and exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .classifier import MammogramClassifier, PooledNorm, Pooling, Tokens, pool_over

__all__ = ["ExplainedClassifier"]


class ExplainedClassifier(nn.Module):
    """Logits, and Grad-CAM of the last map without a pass backward.

    Pooled features are linear in the last map ``F``; so the gradient of a logit is ``g_k m(p) / sum m`` at token p with
    breast share m, ``g`` being its gradient by the pooled features. The mean over the N tokens, Grad-CAM's weight, is
    ``g_k / N`` (Selvaraju et al. 2017, arXiv:1610.02391, section 3.1), and the map ``ReLU(sum_k g_k F_k) / N``, for
    pooling over the mask as over everything. ``g`` is the head's row, stretched by the norm before it.

    Args:
        network: the classifier; put into evaluation.
        target_class: index of the logit that is explained.

    Shape:
        - x: ``(B, 2, H, W)``, image in [0, 1] and breast mask of {0, 1}.
        - output: logits ``(B, K)`` and the map ``(B, H, W)`` >= 0.

    Raises:
        ValueError: ``tokens="breast"``, which has no fixed graph.
    """

    def __init__(self, network: MammogramClassifier, target_class: int = 1) -> None:
        super().__init__()
        if network.tokens is not Tokens.ALL:
            raise ValueError("tokens='breast' computes other tokens for every image: no fixed graph; train with 'all'")
        self.network = network.eval()
        self.target_class = target_class

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        network = self.network
        channels = network.encoder.in_channels
        image, mask = x[:, :channels], x[:, channels:]
        features = network.encoder(image)[-1]
        stride, (rows, columns) = network.encoder.stride, features.shape[-2:]
        pooled = pool_over(features, mask, stride) if network.pooling is Pooling.MASK else features.mean(dim=(-2, -1))
        logits = network.head(network.head_norm(pooled))
        heat = torch.einsum("bchw,bc->bhw", features, self._gradient(pooled)).relu() / (rows * columns)
        covered = [rows * stride, columns * stride]
        enlarged = F.interpolate(heat[:, None], size=covered, mode="bilinear", align_corners=False)
        return logits, enlarged[:, 0, : x.shape[-2], : x.shape[-1]]

    def _gradient(self, pooled: Tensor) -> Tensor:
        """Of the explained logit by the pooled features ``(B, C)``."""
        norm, row = self.network.head_norm, self.network.head.weight[self.target_class]
        if isinstance(norm, PooledNorm):
            row = row * norm.scale()
        elif isinstance(norm, nn.LayerNorm):
            row = row * norm.weight
            centred = pooled - pooled.mean(dim=1, keepdim=True)
            deviation = (centred.square().mean(dim=1, keepdim=True) + norm.eps).sqrt()
            normalised = centred / deviation
            along = (row * normalised).mean(dim=1, keepdim=True)
            return (row - row.mean() - normalised * along) / deviation
        return row.expand_as(pooled)
