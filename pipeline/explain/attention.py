"""Attention of a classifier in image space: of the last layer of a stage, or rolled out through all layers."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from ...networks import (
    AttentionRecord,
    MammogramClassifier,
    SwinEncoder,
    ViTEncoder,
    attention_rollout,
    record_attention,
    record_vit_attention,
    stitch_attention_received,
    stitch_gradient_attention,
)
from .grid import check_stage, tokens_to_image


def attention_maps(
    network: MammogramClassifier, images: Tensor, *, target_class: int | None = 1, stage: int = 4
) -> dict[str, Tensor]:
    """Explain a batch by the last self-attention layer of a stage.

    Args:
        network: a classifier, in evaluation mode.
        images: ``(B, 2, H, W)``.
        target_class: index of the logit whose gradient weights the heads; None: each image's predicted class of the
            first task.
        stage: 1 to 4, whose last layer is taken: 4 is the network's last one, as published; before it, finer ones of
            Swin. A ViT's stages are quarters of its blocks.

    Returns:
        Maps ``(B, H, W)`` >= 0. ``attention``: the mean over the heads of the attention that each token receives
        from all others of its window, the whole picture in a ViT (windows un-shifted and stitched).
        ``attention_gradient``: heads weighted by gradient, the mean over the heads of ``relu(dy/dA * A)``, likewise
        received (Chefer et al. 2021, arXiv:2103.15679). ``rollout``, of a ViT alone: what the pooled tokens got from
        each patch through all layers up to the stage (:func:`~mammo.networks.attention_rollout`).

    Raises:
        ValueError: another stage, or an encoder without attention.
    """
    check_stage(stage)
    encoder = network.encoder
    with torch.enable_grad(), _record(encoder, stage) as record:
        logits = network(images.detach().requires_grad_())
        layers = record.maps[: encoder.last_block(stage) + 1] if isinstance(encoder, ViTEncoder) else record.maps
        attention, grid = layers[-1], record.grids[-1]
        index = predicted_class(network, logits) if target_class is None else torch.tensor(target_class)
        chosen = logits.gather(1, index.to(logits.device).expand(len(logits))[:, None])
        (gradient,) = torch.autograd.grad(chosen.sum(), attention)
    attention, found = attention.detach(), {}
    if isinstance(encoder, ViTEncoder):
        shape = grid.size
        # Mean over the patches' rows: it is their tokens that the classifier pools.
        found["rollout"] = attention_rollout([layer.detach() for layer in layers], shape, "patches")[:, None]
        attention, gradient = attention[..., 1:, 1:], gradient[..., 1:, 1:]  # without the class token
    found["attention"] = stitch_attention_received(attention, grid).mean(dim=1, keepdim=True)  # (B, 1, h, w)
    found["attention_gradient"] = stitch_gradient_attention(attention, gradient, grid)  # (B, 1, h, w)
    size, stride = images.shape[2:], encoder.map_strides[stage - 1]
    return {name: tokens_to_image(tokens, size, stride)[:, 0] for name, tokens in found.items()}


def _record(encoder: nn.Module, stage: int) -> AbstractContextManager[AttentionRecord]:
    if isinstance(encoder, ViTEncoder):
        return record_vit_attention(encoder)
    if not isinstance(encoder, SwinEncoder):
        raise ValueError(f"{type(encoder).__name__} has no attention to show: ask for gradcam or occlusion maps")
    return record_attention(encoder.stages[stage - 1], "last")


def predicted_class(network: MammogramClassifier, logits: Tensor) -> Tensor:
    """Class ``(B,)`` of the first task that each image is predicted to have."""
    return logits[:, : next(iter(network.tasks.values()))].argmax(dim=1)
