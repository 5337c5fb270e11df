"""Classes told by sentences: an image is of the class whose sentences its vector is nearest to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .image_text import ImageTextModel, MapEncoder

__all__ = ["ZeroShotClassifier", "blank_zero_shot", "prompt_vectors"]


class ZeroShotClassifier(nn.Module):
    """Scores of classes that are sentences (CLIP: Radford et al. 2021, arXiv:2103.00020).

    The texts are in it as vectors: once built, it needs no text encoder, and is used, explained and exported as a
    :class:`MammogramClassifier` is.

    Args:
        model: whose images are embedded; its text tower is not kept.
        prompts: of each task ``(K, D)`` unit vectors of its classes, see :func:`prompt_vectors`.

    Attributes:
        tasks: number of classes of each task, by name.
        encoder: of the images.

    Shape:
        - x: ``(B, C or C + 1, H, W)``, see :class:`ImageTextModel`.
        - output: logits ``(B, K)`` of the classes of all tasks in order: cosines times the model's scale.

    Raises:
        ValueError: no task, or vectors that are not of unit length.
    """

    vectors: Tensor

    def __init__(self, model: ImageTextModel, prompts: Mapping[str, Tensor]) -> None:
        super().__init__()
        if not prompts:
            raise ValueError("a zero-shot classifier needs at least one task with prompts")
        joined = torch.cat(list(prompts.values()))
        if not bool(((joined.norm(dim=-1) - 1).abs() < 1e-3).all()):
            raise ValueError("the vectors of classes must be of unit length; prompt_vectors makes them so")
        self.tasks = {name: len(vectors) for name, vectors in prompts.items()}
        model.text_encoder = model.text_projection = None
        self.model = model
        self.register_buffer("vectors", joined.detach().clone())

    @property
    def encoder(self) -> MapEncoder:
        """The encoder of the images."""
        return self.model.encoder

    def forward(self, x: Tensor) -> Tensor:
        return self.model.scale * self.model.embed_images(x) @ self.vectors.mT


def blank_zero_shot(
    model: ImageTextModel, classes: Mapping[str, Sequence[str]], embed_dim: int = 512
) -> ZeroShotClassifier:
    """A classifier that says nothing yet, to be filled with the state of another: images alone need no sentences.

    Args:
        model: as it was trained, with or without its text tower.
        classes: names of the classes of each task, in the order of the filling state's vectors.
        embed_dim: length of the model's vectors.
    """
    anywhere = torch.eye(1, embed_dim)
    return ZeroShotClassifier(model, {task: anywhere.expand(len(names), -1) for task, names in classes.items()})


@torch.no_grad()
def prompt_vectors(
    model: ImageTextModel,
    tokenize: Callable[[Sequence[str]], tuple[Tensor, Tensor]],
    classes: Mapping[str, Sequence[str]],
) -> Tensor:
    """One unit vector ``(K, D)`` for each class: the mean of its sentences' unit vectors, made unit again.

    Args:
        model: with its text tower; it is used as in evaluation and left as it was.
        tokenize: from sentences to tokens and mask ``(n, L)``.
        classes: sentences of each class.

    Raises:
        ValueError: a class without a sentence.
    """
    empty = [name for name, sentences in classes.items() if not sentences]
    if empty or not classes:
        raise ValueError(f"class {empty[0]!r} has no sentence" if empty else "there is no class")
    device, training = model.logit_scale.device, model.training
    model.eval()
    try:
        vectors = []
        for sentences in classes.values():
            tokens, mask = tokenize(sentences)
            vectors.append(model.embed_texts(tokens.to(device), mask.to(device)).mean(dim=0))
    finally:
        model.train(training)
    return F.normalize(torch.stack(vectors), dim=-1)
