"""The classifier whose Grad-CAM stands beside Mammo-FActOR: of a run, or zero-shot by sentences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from torch import nn

from ...networks import ImageTextModel, load_network
from ...networks.named_encoder import named_encoder
from ..predict import bundle_of, training_options
from ..text import TextTokenizer, load_tokenizer
from .batches import text_encoder
from .zero_shot import zero_shot_classifier

__all__ = ["classifier_of_run", "image_text_model", "rival_classifier"]


def rival_classifier(
    classifier: str | Path | None,
    *,
    checkpoint: str | Path,
    tasks: Mapping[str, int],
    towers: Mapping[str, Any],
    prompts: str | Path = "ensemble",
) -> nn.Module:
    """A classifier of the tasks: of a run where one is named, else zero-shot by the sentences of ``prompts``.

    Only the latter needs a text encoder, and so the extra ``clip``.

    Args:
        classifier: ``checkpoints/best.pt`` of a run of finetune or linear_probe; None is zero-shot.
        checkpoint: of image-text pretraining, for zero-shot.
        tasks: number of classes of each task, for zero-shot.
        towers: see :func:`image_text_model`, for zero-shot.
        prompts: for zero-shot.

    Raises:
        ValueError: texts are needed and cannot be read without an extra; or as :func:`classifier_of_run`, or
            :func:`~mammo.pipeline.image_text.zero_shot_classifier`.
    """
    if classifier is not None:
        return classifier_of_run(classifier)
    try:
        model, words = image_text_model(**towers)
    except ImportError as error:
        raise ValueError(
            f"the zero-shot score has texts: {error}; or name a --classifier, or leave --gradcam false"
        ) from error
    length = towers["text_length"]
    return zero_shot_classifier(
        model, checkpoint=checkpoint, tokenizer=words, tasks=tasks, prompts=prompts, length=length
    )


def classifier_of_run(checkpoint: str | Path) -> nn.Module:
    """The classifier that a run left, made by its bundle's ``inference.json`` with the options of the run.

    Args:
        checkpoint: ``RUN/checkpoints/best.pt``.

    Raises:
        ValueError: there is no such run folder, or the weights are of another network.
    """
    options = training_options(Path(checkpoint))
    parser = ConfigParser()
    parser.read_config(bundle_of(Path(checkpoint)) / "configs" / "inference.json")
    parser.update({name: value for name, value in options.items() if name in parser})
    network: nn.Module = parser.get_parsed_content("network_def")
    return load_network(network, checkpoint)


def image_text_model(
    *,
    encoder: str,
    size: str,
    image_size: tuple[int, int],
    image_mean: float,
    image_std: float,
    text_folder: str | Path | None,
    tokenizer: str | Path,
    text_pooling: str,
    text_length: int,
    text_width: int,
    text_depth: int,
    text_heads: int,
    embed_dim: int,
    projection: str,
    pooling: str,
    head_norm: str,
    objective: str,
) -> tuple[ImageTextModel, TextTokenizer]:
    """The two towers of image-text pretraining, without their weights, and the tokenizer; the options are its knobs."""
    words = load_tokenizer(tokenizer)
    layout = {"length": text_length, "width": text_width, "depth": text_depth, "heads": text_heads}
    images = named_encoder(encoder, size=size, image_size=image_size, image_mean=image_mean, image_std=image_std)
    texts = text_encoder(text_folder, words, pooling=text_pooling, **layout)
    bias = -10.0 if objective == "siglip" else None
    model = ImageTextModel(
        images, texts, embed_dim, pooling=pooling, head_norm=head_norm, projection=projection, bias=bias
    )
    return model, words
