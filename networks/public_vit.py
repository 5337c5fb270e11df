"""Public ViT weights, as MAE's repository, timm and transformers name them, in our layout and back."""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor
from torch.nn import functional as F

from .positions import sincos_positions
from .public_swin import IMAGENET, GreyStem, join_projections, plain_name

__all__ = ["convert_masked_autoencoder", "convert_vit", "export_vit"]

State = dict[str, Tensor]

_PREFIXES = ("module.", "model.", "backbone.", "vit.", "encoder.")
# In this order; transformers' names of versions 4 and 5 first, then ours.
_RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^embeddings\.position_embeddings$", "pos_embed"),
        (r"^embeddings\.", ""),
        (r"^patch_embeddings\.projection\.", "patch_embed.proj."),
        (r"^layernorm\.", "norm."),
        (r"^layers?\.(\d)", r"blocks.\1"),
        (r"^decoder\.(decoder_|mask_token)", r"\1"),
        (r"^decoder_layers\.", "decoder_blocks."),
        (r"\.layernorm_before\.", ".norm1."),
        (r"\.layernorm_after\.", ".norm2."),
        (r"\.attention\.attention\.(query|key|value)\.", r".attn.\1."),
        (r"\.attention\.(q|k|v)_proj\.", r".attn.\1."),
        (r"\.attention\.(output\.dense|o_proj)\.", ".attn.proj."),
        (r"(blocks\.\d+)\.intermediate\.dense\.", r"\1.mlp.fc1."),
        (r"(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
        (r"\.mlp\.fc(\d)\.", r".mlp.linear\1."),
        (r"^cls_token$", "class_token"),
        (r"^patch_embed\.proj\.", "patch_embed."),
        (r"^decoder_blocks\.", "decoders.0.blocks."),
        (r"^decoder_norm\.", "decoders.0.norm."),
        (r"^decoder_pred\.", "decoders.0.pixels."),
        (r"^decoder_embed\.", "entries.0.projection."),
        (r"^mask_token$", "entries.0.mask_token"),
    )
)
_BLOCK = re.compile(r"(.*\.)?blocks\.\d+\.(norm1|norm2|attn\.qkv|attn\.proj|mlp\.linear1|mlp\.linear2)\.(weight|bias)")
_ENCODER = re.compile(r"class_token|(patch_embed|norm|blocks\.\d+\..*)\.(weight|bias)")


def convert_vit(
    state: State, stem: GreyStem | None = IMAGENET, *, grid: tuple[int, int] | None = None
) -> tuple[State, list[str]]:
    """Weights of a :class:`ViTEncoder` from a public checkpoint of a ViT.

    Positions that are MAE's sines and cosines are left out, since the encoder computes them. Others are learned: they
    become ``positions.weight``, for an encoder of ``positions="learned"``, and the class token's is added to it.

    Args:
        state: names and tensors, of the network or of one that holds it: encoder alone, with a decoder, fine-tuned.
        stem: how three input channels become one; None leaves them.
        grid: rows and columns of tokens that learned positions are resized to, bicubically; None leaves them. They are
            taken from a square grid where their number is a square, otherwise from this one.

    Returns:
        The weights, and the names that were left aside (heads, decoders, mask tokens).

    Raises:
        ValueError: if it holds no ViT, or one with other parts (layer scale, registers, a distillation token), or
            positions of no known grid.
    """
    named = join_projections({plain_name(name, _PREFIXES, _RULES): tensor for name, tensor in state.items()})
    if "patch_embed.weight" not in named or "class_token" not in named or "blocks.0.attn.qkv.weight" not in named:
        raise ValueError(f"no Vision Transformer with a class token: its names begin with {', '.join(list(state)[:3])}")
    other = [name for name in named if _is_other_part(name)]
    if other:
        raise ValueError(f"this ViT has parts that ours has not, such as {other[0]}; give weights of a plain ViT")
    ours = {name: tensor for name, tensor in named.items() if _ENCODER.fullmatch(name)}
    if "pos_embed" in named:
        ours |= _placed(named["pos_embed"], ours["class_token"], grid)
    weight, bias = ours["patch_embed.weight"], ours["patch_embed.bias"]
    if stem is not None and weight.shape[1] == len(stem.mean):
        ours["patch_embed.weight"], ours["patch_embed.bias"] = stem.fold(weight, bias)
    taken = {name: plain_name(name, _PREFIXES, _RULES) for name in state}
    return ours, sorted(name for name, plain in taken.items() if not _is_taken(plain))


def convert_masked_autoencoder(state: State) -> State:
    """Weights of a :class:`MaskedAutoencoder` of one scale from a public MAE with its decoder, channels as they are.

    Raises:
        ValueError: as :func:`convert_vit`; no decoder, or one whose positions are not MAE's sines and cosines.
    """
    encoder, _ = convert_vit(state, stem=None)
    named = join_projections({plain_name(name, _PREFIXES, _RULES): tensor for name, tensor in state.items()})
    decoder = {name: tensor for name, tensor in named.items() if name.startswith(("entries.", "decoders."))}
    if not decoder:
        raise ValueError("this checkpoint holds an encoder alone; convert_vit takes it")
    if "decoder_pos_embed" in named and not _is_sincos(named["decoder_pos_embed"][:, 1:]):
        raise ValueError("the decoder's positions are not sines and cosines on a square grid, which ours are")
    return {f"encoder.{name}": tensor for name, tensor in encoder.items()} | decoder


def export_vit(state: State, grid: tuple[int, int] = (14, 14)) -> State:
    """Weights of a :class:`ViTEncoder` under the names of MAE's repository, which timm takes too.

    Args:
        state: of the encoder.
        grid: rows and columns of tokens to write sines and cosines for; learned positions keep their grid.

    Raises:
        ValueError: for another network.
    """
    if "patch_embed.weight" not in state or "class_token" not in state:
        raise ValueError(f"no ViTEncoder: its names begin with {', '.join(list(state)[:3])}")
    official: State = {}
    for name, tensor in state.items():
        if name == "positions.weight":
            continue
        name = re.sub(r"^patch_embed\.", "patch_embed.proj.", name).replace(".mlp.linear", ".mlp.fc")
        official["cls_token" if name == "class_token" else name] = tensor
    token = state["class_token"]
    learned = state.get("positions.weight")
    positions = sincos_positions(*grid, token.shape[-1]).to(token) if learned is None else learned.flatten(2).mT
    official["pos_embed"] = torch.cat([torch.zeros_like(token), positions], dim=1)
    return official


def _is_taken(name: str) -> bool:
    return name == "pos_embed" or _ENCODER.fullmatch(name) is not None


def _is_other_part(name: str) -> bool:
    if name.startswith("blocks."):
        return not _BLOCK.fullmatch(name)
    return name in ("dist_token", "distillation_token", "reg_token", "register_tokens") or name.startswith("norm_pre.")


def _placed(positions: Tensor, class_token: Tensor, grid: tuple[int, int] | None) -> State:
    """The class token with its position, and the learned positions of the patches, if they are."""
    found = {"class_token": class_token + positions[:, :1]}
    patches = positions[:, 1:]
    if _is_sincos(patches):
        return found
    side = math.isqrt(patches.shape[1])
    rows, columns = (side, side) if side**2 == patches.shape[1] or grid is None else grid
    if rows * columns != patches.shape[1]:
        raise ValueError(
            f"{patches.shape[1]} positions are neither a square grid nor {grid}; give the rows and columns they are of"
        )
    weight = patches.mT.unflatten(-1, (rows, columns))  # (1, C, rows, columns)
    if grid is not None and grid != (rows, columns):
        weight = F.interpolate(weight.float(), size=grid, mode="bicubic").to(weight.dtype)
    return found | {"positions.weight": weight}


def _is_sincos(positions: Tensor) -> bool:
    """Whether positions ``(1, N, C)`` are MAE's on a square grid, to the rounding of their type."""
    side = math.isqrt(positions.shape[1])
    if side**2 != positions.shape[1] or positions.shape[2] % 4:
        return False
    tolerance = max(1e-5, 4 * torch.finfo(positions.dtype).eps)
    return bool((positions.float() - sincos_positions(side, side, positions.shape[2])).abs().max() <= tolerance)
