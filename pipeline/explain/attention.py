"""Attention of a Swin classifier's last layer, in image space."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...networks import MammogramClassifier, record_attention, stitch_attention_received, stitch_gradient_attention


def attention_maps(network: MammogramClassifier, images: Tensor, *, target_class: int = 1) -> dict[str, Tensor]:
    """Explain a batch by the last self-attention layer.

    Args:
        network: a classifier with an ``encoder`` of Swin blocks, in evaluation mode.
        images: ``(B, 2, H, W)``.
        target_class: index of the logit whose gradient weights the heads.

    Returns:
        Maps ``(B, H, W)`` >= 0. ``attention``: the mean over the heads of the attention that each token receives
        (windows un-shifted and stitched). ``attention_gradient``: heads weighted by gradient, the mean over the
        heads of ``relu(dy/dA * A)``, likewise received (Chefer et al. 2021, arXiv:2103.15679).
    """
    with torch.enable_grad(), record_attention(network.encoder, "last") as record:
        logits = network(images.detach().requires_grad_())
        attention, grid = record.maps[-1], record.grids[-1]
        (gradient,) = torch.autograd.grad(logits[:, target_class].sum(), attention)
    received = stitch_attention_received(attention.detach(), grid).mean(dim=1, keepdim=True)  # (B, 1, h, w)
    weighted = stitch_gradient_attention(attention.detach(), gradient, grid)  # (B, 1, h, w)
    size, stride = images.shape[2:], network.encoder.stride
    return {
        "attention": _to_image(received, size, stride),
        "attention_gradient": _to_image(weighted, size, stride),
    }


def _to_image(tokens: Tensor, size: torch.Size, stride: int) -> Tensor:
    """Bilinear to the padded image that the tokens cover, then cut to the image."""
    covered = [side * stride for side in tokens.shape[2:]]
    image = F.interpolate(tokens, size=covered, mode="bilinear", align_corners=False)
    return image[:, 0, : size[0], : size[1]]
