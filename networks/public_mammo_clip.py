"""The released Mammo-CLIP checkpoints (arXiv:2405.12255) in our layout, and their image part back."""

from __future__ import annotations

import re
from typing import NamedTuple

import torch
from torch import Tensor

from .efficientnet import EfficientNetEncoder, EfficientNetSize

__all__ = ["IMAGE_MEAN", "IMAGE_STD", "MammoClipWeights", "convert_mammo_clip", "export_mammo_clip"]

State = dict[str, Tensor]

IMAGE_MEAN = 0.3089279
"""``image_mean`` of the encoder for these weights; images in [0, 1] from their own least and greatest value."""

IMAGE_STD = 0.25053555408335154
"""``image_std`` of the encoder for these weights."""

COLOURS = 3
_IMAGE = "image_encoder."
_TEXT = "text_encoder.text_encoder."
_HEAD = "classifier.classification_head."
_PROJECTIONS = ("image_projection.", "text_projection.")
_STEM = "_conv_stem.weight"
_SIZES = {32: EfficientNetSize.B2, 48: EfficientNetSize.B5}  # by channels of the first convolution
_DERIVED = "embeddings.position_ids"


class MammoClipWeights(NamedTuple):
    """What a checkpoint of Mammo-CLIP holds, by the network that takes it.

    Attributes:
        image: of an :class:`EfficientNetEncoder` with one channel.
        text: of transformers' ``BertModel``, pooler and all; empty in a classifier's checkpoint.
        projections: ``image_projection.weight`` and so on, linear maps to the common space; empty in a classifier's.
        logit_scale: logarithm of the scale of similarities, a scalar; None in a classifier's.
        size: of the encoder, ``b2`` or ``b5``.
        classifier: ``weight`` and ``bias`` of a linear head on the pooled last map, or None.
        left: names that were left aside.
    """

    image: State
    text: State
    projections: State
    logit_scale: Tensor | None
    size: str
    classifier: State | None
    left: list[str]


def convert_mammo_clip(state: State) -> MammoClipWeights:
    """Weights of our networks from a released checkpoint, of pretraining or of a classifier.

    The first convolution takes three equal channels there and one here: its kernels are added up, which is exact.
    Build the encoder with :data:`IMAGE_MEAN` and :data:`IMAGE_STD`.

    Args:
        state: the dictionary under ``"model"`` in the file, see
            :func:`~mammo.networks.restricted_pickle.read_checkpoint`.

    Raises:
        ValueError: a detector's weights, another network's, or an encoder that is neither B2 nor B5.
    """
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    if any(name.startswith(("efficientnet.", "regressionModel.")) for name in state):
        raise ValueError(
            "these are weights of a Mammo-CLIP detector, whose encoder pads otherwise and is another network; "
            "give the checkpoint of a pretraining or a classifier"
        )
    stem = state.get(_IMAGE + _STEM)
    if stem is None:
        raise ValueError(
            f"no Mammo-CLIP weights: they have {_IMAGE}{_STEM}, these names begin with {', '.join(list(state)[:3])}; "
            'give the dictionary under "model"'
        )
    if stem.ndim != 4 or stem.shape[0] not in _SIZES:
        raise ValueError(f"the first convolution is {tuple(stem.shape)}; of B2 it has 32 channels, of B5 48")
    size = _SIZES[stem.shape[0]]
    text = _part(state, _TEXT)
    head = _part(state, _HEAD)
    taken = (_IMAGE, _TEXT, _HEAD, *_PROJECTIONS)
    return MammoClipWeights(
        image=_image(_part(state, _IMAGE), size),
        text={name: tensor for name, tensor in text.items() if name != _DERIVED},
        projections={
            name.replace(".projection.", "."): tensor for name, tensor in state.items() if name.startswith(_PROJECTIONS)
        },
        logit_scale=state.get("logit_scale"),
        size=size.value,
        classifier=head or None,
        left=sorted(name for name in state if not name.startswith(taken) and name != "logit_scale"),
    )


def export_mammo_clip(image: State) -> State:
    """Weights of an :class:`EfficientNetEncoder` under Mammo-CLIP's names, its one channel shared out to three.

    Raises:
        ValueError: for another network.
    """
    if f"network.{_STEM}" not in image:
        raise ValueError(f"no EfficientNetEncoder: its names begin with {', '.join(list(image)[:3])}")
    public = {_IMAGE + _public_name(name): tensor for name, tensor in image.items()}
    stem = public[_IMAGE + _STEM]
    if stem.shape[1] == 1:
        public[_IMAGE + _STEM] = (stem / COLOURS).repeat(1, COLOURS, 1, 1)
    return public


def _part(state: State, prefix: str) -> State:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _public_name(name: str) -> str:
    """MONAI counts the stages, the port that Mammo-CLIP uses only the blocks."""
    return re.sub(r"^(_blocks)\.\d+(\.\d+\.)", r"\1\2", name.removeprefix("network."))


def _image(state: State, size: EfficientNetSize) -> State:
    with torch.device("meta"):
        expected = EfficientNetEncoder(1, size).state_dict()
    names = {_public_name(name): name for name in expected}
    state = {name: tensor.sum(dim=1, keepdim=True) if name == _STEM else tensor for name, tensor in state.items()}
    for name in sorted({*names, *state}):
        here = tuple(expected[names[name]].shape) if name in names else "nothing"
        there = tuple(state[name].shape) if name in state else "nothing"
        if here != there:
            raise ValueError(
                f"this image encoder is no EfficientNet-{size.value.upper()} of Mammo-CLIP: {_IMAGE}{name} is {there} "
                f"there and {here} in ours"
            )
    return {ours: state[name] for name, ours in names.items()}
