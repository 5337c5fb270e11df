"""``mammo convert``: public weights into a file for ``--pretrained``, and ours into one for other tools."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from ..networks import encoder_state, read_state
from ..networks.public_mammo_clip import IMAGE_MEAN, IMAGE_STD, convert_mammo_clip
from ..networks.public_swin import IMAGENET, convert_swin, export_swin
from ..networks.public_vit import convert_vit, export_vit
from ..networks.restricted_pickle import read_checkpoint
from ..networks.swin import LAYOUTS
from ..networks.vit import LAYOUTS as VIT_LAYOUTS
from .files import write_atomically

__all__ = ["convert", "export"]

logger = logging.getLogger(__name__)


_MODELS = ("model", "state_dict")
PATCH = 16
"""Pixels along the side of a ViT's patch, in the bundles."""


def convert(weights: Path, out: Path, *, colour: bool = False, image_size: Sequence[int] | None = None) -> Path:
    """Write the encoder of a public Swin, ViT or EfficientNet checkpoint in our layout.

    Of Mammo-CLIP's released ``.tar`` the whole model is written: image and text tower, projections and temperature. Of
    a ``.pth`` of its classifiers the encoder and the head, for a :class:`MammogramClassifier`: a head of one logit
    becomes one of two classes with the same probability.

    Args:
        weights: ``.pt``, ``.pth`` or ``.safetensors`` with the names of the official repositories (Swin, MAE), timm,
            SimMIM or transformers, or a ``.tar`` or ``.pth`` of Mammo-CLIP; no code from it is run.
        out: the ``.safetensors`` file to write.
        colour: leave three input channels; otherwise they become one, for ``image_mean`` 0.449 and ``image_std`` 0.226.
        image_size: rows and columns of the images to come, to which a ViT's learned positions are resized; None leaves
            them. Swin and MAE have none to resize.

    Raises:
        ValueError: for another kind of file or network, or an ``out`` of another kind.
    """
    _check_ending(out)
    stem = None if colour else IMAGENET
    public = _model_of(weights) if weights.suffix in (".tar", ".pth") else read_state(weights)
    with _naming(weights):
        if any(name.startswith("image_encoder.") for name in public):
            state, left = _image_text_state(public, colour)
        elif _is_vit(public):
            grid = None if image_size is None else (image_size[0] // PATCH, image_size[1] // PATCH)
            state, left = convert_vit(public, stem, grid=grid)
        else:
            state, left = convert_swin(public, stem)
    write_atomically(out, save({name: tensor.contiguous() for name, tensor in state.items()}))
    logger.info("%s: %d tensors, %s", out, len(state), _describe(state))
    if left:
        logger.info("left aside: %s", ", ".join(left[:8]) + (f" and {len(left) - 8} more" if len(left) > 8 else ""))
    return out


def export(checkpoint: Path, out: Path) -> Path:
    """Write the encoder of a checkpoint of ours under the official names, for other tools.

    Raises:
        ValueError: for another kind of file or network, or an ``out`` of another kind.
    """
    _check_ending(out)
    ours = encoder_state(checkpoint)
    with _naming(checkpoint):
        state = export_vit(ours) if _is_vit(ours) else export_swin(ours)
    write_atomically(out, save({name: tensor.contiguous() for name, tensor in state.items()}))
    logger.info("%s: %d tensors under the names of the official repositories and timm", out, len(state))
    return out


@contextmanager
def _naming(weights: Path) -> Iterator[None]:
    """Say in an error which file it is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{weights}: {error}") from error


def _check_ending(out: Path) -> None:
    if out.suffix != ".safetensors":
        raise ValueError(f"{out}: weights are written as .safetensors; name such a file")


def _is_vit(state: dict[str, Tensor]) -> bool:
    return any(name.endswith(("cls_token", "class_token")) for name in state)


def _model_of(weights: Path) -> dict[str, Tensor]:
    """The weights of a file that holds scores and settings beside them."""
    content = read_checkpoint(weights)
    model: dict[str, Tensor] = next((content[name] for name in _MODELS if isinstance(content.get(name), dict)), content)
    if not model or not all(isinstance(tensor, Tensor) for tensor in model.values()):
        raise ValueError(f"{weights} holds no weights of a network, neither bare nor under {' or '.join(_MODELS)}")
    return model


def _image_text_state(public: dict[str, Tensor], colour: bool) -> tuple[dict[str, Tensor], list[str]]:
    """A checkpoint of Mammo-CLIP as the state of an :class:`ImageTextModel`, or of a :class:`MammogramClassifier`."""
    if colour:
        raise ValueError("Mammo-CLIP's three input channels are the same picture: they become one, leave out --colour")
    found = convert_mammo_clip(public)
    state = {f"encoder.{name}": tensor for name, tensor in found.image.items()}
    if found.classifier is not None:
        return state | {f"head.{name}": _two_classes(tensor) for name, tensor in found.classifier.items()}, found.left
    kept = {name: tensor for name, tensor in found.text.items() if not name.startswith("pooler.")}
    state |= {f"text_encoder.model.{name}": tensor for name, tensor in kept.items()} | found.projections
    if found.logit_scale is not None:
        state["logit_scale"] = found.logit_scale
    return state, found.left


def _two_classes(tensor: Tensor) -> Tensor:
    """Weight or bias of a head: one logit z is told by two classes of logits 0 and z, since softmax is then sigmoid."""
    return torch.cat([torch.zeros_like(tensor), tensor]) if len(tensor) == 1 else tensor


def _describe(state: dict[str, Tensor]) -> str:
    if "encoder.network._conv_stem.weight" in state:
        named = "b2" if len(state["encoder.network._conv_stem.weight"]) == 32 else "b5"
        said = f"--encoder efficientnet --size {named} --image_mean {IMAGE_MEAN} --image_std {IMAGE_STD}"
        if "head.weight" not in state:
            return said
        return f"{said} --pooling average --head_norm none, one task of {len(state['head.weight'])} classes"
    if "class_token" in state:
        return _describe_vit(state)
    weight = state["swin.patch_embed.proj.weight"]
    found = {match.groups() for name in state if (match := re.match(r"swin\.layers(\d)\.0\.blocks\.(\d+)\.", name))}
    counts = Counter(stage for stage, _ in found)
    depths = tuple(counts[stage] for stage in sorted(counts))
    tables = [state[f"swin.layers{stage}.0.blocks.0.attn.relative_position_bias_table"] for stage in sorted(counts)]
    heads = tuple(table.shape[1] for table in tables)
    window = (round(len(tables[0]) ** 0.5) + 1) // 2
    size = next((name for name, layout in LAYOUTS.items() if layout[:3] == (len(weight), depths, heads)), None)
    kind = f"--size {size}" if size else f"embed_dim {len(weight)}, depths {depths}, heads {heads}"
    return f"{weight.shape[1]} input channel(s), {kind}, window {window}"


def _describe_vit(state: dict[str, Tensor]) -> str:
    weight = state["patch_embed.weight"]
    depth = len({match[1] for name in state if (match := re.match(r"blocks\.(\d+)\.", name))})
    layouts = ((name, layout) for name, layout in VIT_LAYOUTS.items() if layout[:2] == (len(weight), depth))
    kind = next((f"--size {name}" for name, _ in layouts), f"embed_dim {len(weight)}, depth {depth}")
    positions = "--positions learned" if "positions.weight" in state else "positions sincos"
    return f"{weight.shape[1]} input channel(s), {kind}, {positions}"
