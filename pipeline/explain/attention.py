"""Attention of the last layer of a Swin classifier, or of one of its stages, in image space."""

from __future__ import annotations

import torch
from torch import Tensor

from ...networks import MammogramClassifier, record_attention, stitch_attention_received, stitch_gradient_attention
from .grid import check_stage, tokens_to_image


def attention_maps(
    network: MammogramClassifier, images: Tensor, *, target_class: int | None = 1, stage: int = 4
) -> dict[str, Tensor]:
    """Explain a batch by the last self-attention layer of a stage.

    Args:
        network: a classifier with an ``encoder`` of Swin blocks, in evaluation mode.
        images: ``(B, 2, H, W)``.
        target_class: index of the logit whose gradient weights the heads; None: each image's predicted class of the
            first task.
        stage: 1 to 4, whose last layer is taken: 4 is the network's last one, as published; before it, finer ones.

    Returns:
        Maps ``(B, H, W)`` >= 0. ``attention``: the mean over the heads of the attention that each token receives
        (windows un-shifted and stitched). ``attention_gradient``: heads weighted by gradient, the mean over the
        heads of ``relu(dy/dA * A)``, likewise received (Chefer et al. 2021, arXiv:2103.15679).

    Raises:
        ValueError: another stage.
    """
    check_stage(stage)
    with torch.enable_grad(), record_attention(network.encoder.stages[stage - 1], "last") as record:
        logits = network(images.detach().requires_grad_())
        attention, grid = record.maps[-1], record.grids[-1]
        index = predicted_class(network, logits) if target_class is None else torch.tensor(target_class)
        chosen = logits.gather(1, index.to(logits.device).expand(len(logits))[:, None])
        (gradient,) = torch.autograd.grad(chosen.sum(), attention)
    received = stitch_attention_received(attention.detach(), grid).mean(dim=1, keepdim=True)  # (B, 1, h, w)
    weighted = stitch_gradient_attention(attention.detach(), gradient, grid)  # (B, 1, h, w)
    size, stride = images.shape[2:], network.encoder.patch_size * 2 ** (stage - 1)
    return {
        "attention": tokens_to_image(received, size, stride)[:, 0],
        "attention_gradient": tokens_to_image(weighted, size, stride)[:, 0],
    }


def predicted_class(network: MammogramClassifier, logits: Tensor) -> Tensor:
    """Class ``(B,)`` of the first task that each image is predicted to have."""
    return logits[:, : next(iter(network.tasks.values()))].argmax(dim=1)
