"""Public Swin weights, as the official repository, timm, SimMIM and transformers name them, in our layout."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["IMAGENET", "GreyStem", "convert_swin", "export_swin", "join_projections", "plain_name"]

State = dict[str, Tensor]


class GreyStem(NamedTuple):
    """How a patch embedding of colour images takes grey ones: the same output for grey values repeated three times.

    Attributes:
        mean: of each channel, subtracted from the images that the weights were trained on.
        std: by which these were then divided.
        grey_mean: what our encoder subtracts (``image_mean``).
        grey_std: what it divides by (``image_std``).
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    grey_mean: float
    grey_std: float

    def fold(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Weight ``(embed_dim, 1, p, p)`` and bias from ``(embed_dim, 3, p, p)`` and bias."""
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        shift = (weight * ((self.grey_mean - mean) / std)).sum(dim=(1, 2, 3))
        return (weight * (self.grey_std / std)).sum(dim=1, keepdim=True), bias + shift


IMAGENET = GreyStem((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 0.449, 0.226)
"""For weights trained on ImageNet with the usual normalisation, and the bundles' ``image_mean`` and ``image_std``."""

_PREFIXES = ("module.", "model.", "backbone.", "swin.", "encoder.")
# In this order; transformers' names of versions 4 and 5 first.
_RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
        (r"^embeddings\.norm\.", "patch_embed.norm."),
        (r"^layernorm\.", "norm."),
        (r"\.layernorm_before\.", ".norm1."),
        (r"\.layernorm_after\.", ".norm2."),
        (r"\.attention\.self\.(query|key|value)\.", r".attn.\1."),
        (r"\.attention\.(q|k|v)_proj\.", r".attn.\1."),
        (r"\.attention\.(output\.dense|o_proj)\.", ".attn.proj."),
        (r"\.attention\.(self|relative_position_bias)\.relative", ".attn.relative"),
        (r"(blocks\.\d+)\.intermediate\.dense\.", r"\1.mlp.fc1."),
        (r"(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
        (r"\.mlp\.fc(\d)\.", r".mlp.linear\1."),
        (r"^layers_(\d)", r"layers.\1"),
    )
)
_DERIVED = ("relative_position_index", "attn_mask")


def convert_swin(state: State, stem: GreyStem | None = IMAGENET) -> tuple[State, list[str]]:
    """Weights of a :class:`SwinEncoder` from a public checkpoint of Swin.

    Args:
        state: names and tensors, of the network or of one that holds it.
        stem: how three input channels become one; None leaves them.

    Returns:
        The weights, without the indices that follow from the window; and the names that were left aside (heads,
        decoders, mask tokens).

    Raises:
        ValueError: if it holds no Swin, or one with other parts (Swin V2).
    """
    named = {plain_name(name, _PREFIXES, _RULES): tensor for name, tensor in state.items()}
    if "patch_embed.proj.weight" not in named or not any(name.startswith("layers.0.blocks.0.attn.") for name in named):
        raise ValueError(f"no Swin Transformer: its names begin with {', '.join(list(state)[:3])}")
    if any("logit_scale" in name or "cpb_mlp" in name for name in named):
        raise ValueError("this is Swin V2, whose attention is another; give weights of Swin (V1)")
    named = join_projections(named)
    # timm merges patches at the start of a stage, all others at the end of the one before.
    late = 0 if "layers.0.downsample.reduction.weight" in named else 1
    ours: State = {}
    left = []
    for name, tensor in named.items():
        stage = re.match(r"layers\.(\d)\.(.*)", name)
        if name.endswith(_DERIVED):
            continue
        if stage is not None:
            number = int(stage[1]) + 1 - (late if stage[2].startswith("downsample") else 0)
            ours[f"swin.layers{number}.0.{stage[2]}"] = tensor
        elif name.startswith("patch_embed."):
            ours[f"swin.{name}"] = tensor
        elif name in ("norm.weight", "norm.bias"):
            ours[name] = tensor
        else:
            left.append(name)
    weight, bias = ours["swin.patch_embed.proj.weight"], ours["swin.patch_embed.proj.bias"]
    if stem is not None and weight.shape[1] == len(stem.mean):
        ours["swin.patch_embed.proj.weight"], ours["swin.patch_embed.proj.bias"] = stem.fold(weight, bias)
    return ours, sorted(left)


def export_swin(state: State) -> State:
    """Weights of a :class:`SwinEncoder` under the official repository's names, which timm takes too.

    Raises:
        ValueError: for an encoder with a stem of convolutions, which has no such names.
    """
    if "swin.patch_embed.proj.weight" not in state:
        raise ValueError("no Swin with a linear patch embedding (size micro has a stem of convolutions)")
    official: State = {}
    for name, tensor in state.items():
        name = name.removeprefix("swin.").replace(".mlp.linear", ".mlp.fc")
        official[re.sub(r"^layers(\d)\.0\.", lambda match: f"layers.{int(match[1]) - 1}.", name)] = tensor
    return official


def plain_name(name: str, prefixes: Sequence[str], rules: Iterable[tuple[re.Pattern[str], str]]) -> str:
    """The name of a weight without any of the prefixes, by the rules one after another."""
    shortened = True
    while shortened:
        shortened = False
        for prefix in prefixes:
            if name.startswith(prefix):
                name, shortened = name.removeprefix(prefix), True
    for pattern, replacement in rules:
        name = pattern.sub(replacement, name)
    return name


def join_projections(named: State) -> State:
    """Queries, keys and values that lie apart put into one projection."""
    joined: State = {}
    for name, tensor in named.items():
        part = re.match(r"(.*\.attn\.)(query|key|value|q|k|v)\.(weight|bias)$", name)
        if part is None:
            joined[name] = tensor
        elif part[2] in ("query", "q"):
            others = ("key", "value") if part[2] == "query" else ("k", "v")
            rest = [named[f"{part[1]}{other}.{part[3]}"] for other in others]
            joined[f"{part[1]}qkv.{part[3]}"] = torch.cat([tensor, *rest])
    return joined
