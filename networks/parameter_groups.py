"""Parameters in groups for the optimiser: a learning rate that falls with depth, and what is not decayed."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from .efficientnet import EfficientNetEncoder
from .swin import SwinEncoder
from .vit import ViTEncoder

__all__ = ["parameter_groups"]

ENCODERS = (SwinEncoder, ViTEncoder, EfficientNetEncoder)
NOT_DECAYED = ("relative_position_bias_table", "mask_token", "empty_token", "class_token", "positions.weight")
"""Beside biases and everything of one dimension, the weights of norms among it."""


def parameter_groups(
    network: nn.Module,
    learning_rate: float,
    weight_decay: float,
    *,
    layer_decay: float = 1.0,
    decay_norms: bool = True,
) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser of PyTorch's, by depth and by weight decay.

    A layer's learning rate is ``learning_rate * layer_decay ** (last - layer)``: the rule of BEiT (arXiv:2106.08254),
    MAE (arXiv:2111.06377) and, for Swin, SimMIM (arXiv:2111.09886). Layer 0 is the patch embedding, with a ViT's class
    token and learned positions, each block is one layer, patch merging belongs to the last block of its stage, and the
    last layer is all the rest: the final norm, heads, decoders. Of an EfficientNet layer 0 is the stem, each block is
    one layer, and the last convolution one of its own behind them.
    (``monai.optimizers.generate_param_groups`` sets learning rates alone, and names no group.)

    Args:
        network: with one :class:`SwinEncoder`, :class:`ViTEncoder` or :class:`EfficientNetEncoder` in it, or itself
            one, where ``layer_decay`` is not 1.
        learning_rate: of the last layer.
        weight_decay: of the weights that are decayed.
        layer_decay: above 0 and at most 1; 1 gives all layers the same rate. Published: 0.8 to 0.9 for Swin-B, 0.65 for
            ViT-B.
        decay_norms: False takes weight decay from biases, norms, positions, class and mask tokens, as the papers
            above do; True decays everything, as the scripts of the two Swin papers on mammograms do.

    Returns:
        Groups with ``name``, ``params``, ``lr`` and ``weight_decay``, by layer; parameters that are frozen are in none.
        With both options left alone, a single group of all parameters, in the network's order.

    Raises:
        ValueError: for a ``layer_decay`` out of range, or a network without just one such encoder.
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay must be above 0 and at most 1, got {layer_decay}; 1 switches it off")
    layers = _layers(network) if layer_decay < 1 else {}
    last = max(layers.values(), default=0)
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        layer, decayed = layers.get(name, last), decay_norms or _is_decayed(name, parameter)
        group = groups.setdefault(
            (layer, decayed),
            {
                "name": _group_name(layer if layers else None, decayed),
                "params": [],
                "lr": learning_rate * layer_decay ** (last - layer),
                "weight_decay": weight_decay if decayed else 0.0,
            },
        )
        group["params"].append(parameter)
    return [groups[key] for key in sorted(groups, key=lambda key: (key[0], not key[1]))]


def _layers(network: nn.Module) -> dict[str, int]:
    """Layer of each parameter by its name."""
    encoders = {name: part for name, part in network.named_modules() if isinstance(part, ENCODERS)}
    if len(encoders) != 1:
        raise ValueError(
            "layer_decay needs a network with one Swin, ViT or EfficientNet encoder; "
            f"{type(network).__name__} has {len(encoders)}"
        )
    ((prefix, encoder),) = encoders.items()
    start = f"{prefix}." if prefix else ""
    names = {name: name.removeprefix(start) if name.startswith(start) else "" for name, _ in network.named_parameters()}
    if isinstance(encoder, ViTEncoder):
        return {name: _vit_layer(inner, len(encoder.blocks)) for name, inner in names.items()}
    if isinstance(encoder, EfficientNetEncoder):
        blocks = sum(len(stage) for stage in encoder.stages)
        return {name: _efficientnet_layer(inner, blocks) for name, inner in names.items()}
    depths = [len(stage.blocks) for stage in encoder.stages]
    return {name: _swin_layer(inner, depths) for name, inner in names.items()}


def _swin_layer(name: str, depths: list[int]) -> int:
    if name.startswith("swin.patch_embed."):
        return 0
    found = re.match(r"swin\.layers(\d)\.0\.(?:blocks\.(\d+)|downsample)\.", name)
    if found is None:
        return sum(depths) + 1
    stage = int(found[1]) - 1
    return sum(depths[:stage]) + int(found[2]) + 1 if found[2] else sum(depths[: stage + 1])


def _vit_layer(name: str, depth: int) -> int:
    if name.startswith(("patch_embed.", "class_token", "positions.")):
        return 0
    found = re.match(r"blocks\.(\d+)\.", name)
    return depth + 1 if found is None else int(found[1]) + 1


def _efficientnet_layer(name: str, blocks: int) -> int:
    if name.startswith(("network._conv_stem.", "network._bn0.")):
        return 0
    if name.startswith(("network._conv_head.", "network._bn1.")):
        return blocks + 1
    found = re.match(r"network\._blocks\.\d+\.(\d+)\.", name)  # MONAI counts the blocks over all stages
    return blocks + 2 if found is None else int(found[1]) + 1


def _is_decayed(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim > 1 and not name.endswith((".bias", *NOT_DECAYED))


def _group_name(layer: int | None, decayed: bool) -> str:
    kind = "decayed" if decayed else "not decayed"
    return kind if layer is None else f"layer {layer}, {kind}"
