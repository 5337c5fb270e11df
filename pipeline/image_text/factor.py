"""Mammo-FActOR in a run: the records it learns from, the vectors of its texts, its mapper, and what validates it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from monai.utils import StrEnum, look_up_option
from torch import Tensor

from ...networks import ChannelMapper, FActOR, ImageTextModel, PositionMapper, attribute_embeddings
from ...networks.frozen_maps import FrozenMaps
from ..text import TextTokenizer, load_prompts
from .zero_shot import prompts_of_tasks

__all__ = [
    "MapperKind",
    "attribute_vectors",
    "factor_network",
    "projected_texts",
    "sentence_vector",
    "unnamed_text",
    "whole_loss",
    "with_attribute",
]

PRESENT = 1
"""The class of an attribute whose sentences speak of it."""


class MapperKind(StrEnum):
    """What a mapper weighs: places of the map, or whole channels as published."""

    POSITION = "position"
    CHANNEL = "channel"


def with_attribute(records: Sequence[Mapping[str, Any]], negatives: bool) -> list[Mapping[str, Any]]:
    """Records with ``label``: all, or, without negatives, those with any of the attributes, as published.

    Raises:
        ValueError: no record has an attribute.
    """
    found = [record for record in records if PRESENT in record["label"]]
    if not found:
        raise ValueError(f"none of {len(records)} images has one of the attributes; choose others, or another datalist")
    return list(records) if negatives else found


@torch.no_grad()
def attribute_vectors(
    model: ImageTextModel,
    tokenizer: TextTokenizer,
    tasks: Mapping[str, int],
    *,
    prompts: str | Path = "ensemble",
    length: int = 256,
) -> Tensor:
    """Unit vectors ``(A, D)`` of the attributes, each from the sentences that say it is there.

    Args:
        model: with its text tower, in evaluation afterwards.
        tokenizer: of its texts.
        tasks: number of classes of each attribute's task, 2.
        prompts: see :func:`~mammo.pipeline.text.load_prompts`.
        length: most tokens of a sentence.

    Raises:
        ValueError: a model without text tower, or a task without prompts.
    """
    asked = prompts_of_tasks(load_prompts(prompts), tasks)
    return attribute_embeddings(
        [projected_texts(model, tokenizer, list(classes.values())[PRESENT], length) for classes in asked.values()]
    )


@torch.no_grad()
def projected_texts(model: ImageTextModel, tokenizer: TextTokenizer, texts: Sequence[str], length: int) -> Tensor:
    """``(n, D)`` of texts, projected and not yet of unit length; the model is in evaluation afterwards.

    Raises:
        ValueError: a model without text tower.
    """
    if model.text_encoder is None or model.text_projection is None:
        raise ValueError("this model has no text encoder; take the checkpoint of image-text pretraining as a whole")
    model.eval()
    tokens, mask = tokenizer(texts, length)
    device = model.logit_scale.device
    return cast(Tensor, model.text_projection(model.text_encoder(tokens.to(device), mask.to(device)))).float()


def factor_network(
    maps: FrozenMaps,
    image_size: Sequence[int],
    text: Tensor,
    *,
    mapper: str = MapperKind.POSITION,
    hidden: int | None = None,
    temperature: float = 0.07,
) -> FActOR:
    """A mapper for the maps of images of one size, and the texts that it is measured by.

    Args:
        maps: of the frozen encoder.
        image_size: rows and columns; a ``channel`` mapper takes no other size afterwards.
        text: ``(A, D)``, see :func:`attribute_vectors`.
        mapper: see :class:`MapperKind`.
        hidden: units of the mapper, see :class:`ChannelMapper` and :class:`PositionMapper`.
        temperature: divides cosines.

    Raises:
        ValueError: another mapper.
    """
    layout, (attributes, length) = maps.layout(image_size), text.shape
    if look_up_option(mapper, MapperKind) is MapperKind.POSITION:
        part: ChannelMapper | PositionMapper = PositionMapper(layout.channels, attributes, length, hidden=hidden)
    else:
        part = ChannelMapper(layout.channels, layout.rows * layout.columns, attributes, length, hidden=hidden)
    return FActOR(part, text.cpu(), temperature)


def whole_loss(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], float]:
    """The loss of all validation images as one batch, for ignite's EpochMetric: however they were batched."""

    def compute(scores: Tensor, labels: Tensor) -> float:
        # EpochMetric makes (B,) of (B, 1).
        return float(loss(scores.reshape(len(scores), -1), labels.reshape(len(labels), -1)))

    return compute


def unnamed_text(attributes: int, embed_dim: int) -> Tensor:
    """Unit vectors ``(A, D)`` that only have the right shape: a checkpoint brings the attributes' own."""
    return torch.full((attributes, embed_dim), embed_dim**-0.5)


def sentence_vector(
    model: ImageTextModel, tokenizer: TextTokenizer, sentence: str | None, *, length: int = 256
) -> Tensor:
    """Unit vector ``(D,)`` of a sentence.

    Args:
        model: with its text tower.
        tokenizer: of its texts.
        sentence: in the words of reports.
        length: most tokens.

    Raises:
        ValueError: no sentence, or a model without text tower.
    """
    if not sentence or not str(sentence).strip():
        raise ValueError('there is no sentence to look for; give --sentence "a spiculated mass is seen"')
    return attribute_embeddings([projected_texts(model, tokenizer, [str(sentence)], length)])[0]
