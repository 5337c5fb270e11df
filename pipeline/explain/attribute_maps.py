"""Heat-maps of findings by two methods behind one face: Mammo-FActOR, and Grad-CAM of a classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...networks import ChannelMapper, FActOR, MammogramClassifier, ZeroShotClassifier, breast_places, task_place
from ...networks.frozen_maps import FrozenMaps
from .gradcam import TokenGradCAM

__all__ = ["ClassMargins", "FactorMethod", "GradCAMMethod", "Heat", "MapMethod", "Units"]

ABSENT, PRESENT = 0, 1


class Heat(NamedTuple):
    """Heat-maps of a batch.

    Attributes:
        maps: ``(B, A, h, w)``, 0 or more, on the grid of the map.
        scores: ``(B, A)`` in [0, 1]: how sure the method is that the image has the attribute, to rank boxes by.
    """

    maps: Tensor
    scores: Tensor


class Units(NamedTuple):
    """Channels of a map: their numbers, what each brings, and their maps ``(k, h, w)``."""

    numbers: list[int]
    weights: list[float]
    maps: NDArray[np.float32]


class MapMethod(Protocol):
    """A method that lights up where attributes are, for images ``(B, 2, H, W)``.

    Attributes:
        stride: pixels along the side of a place of its maps.
    """

    stride: int

    def __call__(self, images: Tensor) -> Heat: ...


class FactorMethod(nn.Module):
    """Maps of Mammo-FActOR; scores are the similarity of the best region, from [-1, 1] brought to [0, 1].

    Args:
        maps: of the frozen encoder.
        factor: trained on them.
        top: channels that make the map of a ``channel`` mapper; None takes all that speak for the attribute.
        text: ``(A, D)`` of unit length, in the place of the attributes' own vectors: a sentence about each.
    """

    def __init__(self, maps: FrozenMaps, factor: FActOR, *, top: int | None = 3, text: Tensor | None = None) -> None:
        super().__init__()
        self.maps, self.factor, self.top, self.text = maps, factor, top, text
        self.stride = maps.stride

    @torch.no_grad()
    def forward(self, images: Tensor) -> Heat:
        features, places = self.maps(images)
        heat = self.factor.maps(features, places, top=self.top, text=self.text).maps
        best = self.factor.similarities(features, places, self.text).amax(dim=1)
        return Heat(heat, ((1 + best) / 2).clamp(0, 1))

    def strongest(self, image: Tensor, attribute: int, count: int = 3) -> Units:
        """The channels that speak most for an attribute in one image ``(2, H, W)``.

        Of a ``channel`` mapper those of greatest weight; of a ``position`` mapper those that bring most, as value times
        gradient (Shrikumar et al. 2017, arXiv:1605.01713), to the similarity of the best place.
        """
        features, places = self.maps(image[None])
        if isinstance(self.factor.mapper, ChannelMapper):
            cosines = self.factor.similarities(features, places, self.text)[0, :, attribute]
            weights, numbers = cosines.topk(count)
        else:
            with torch.enable_grad():
                leaf = features.detach().requires_grad_()
                best = self.factor.similarities(leaf, places, self.text)[0, :, attribute].amax()
                (gradient,) = torch.autograd.grad(best, leaf)
            weights, numbers = (features * gradient)[0].sum(dim=(1, 2)).topk(count)
        return Units(numbers.tolist(), weights.tolist(), features[0, numbers].cpu().numpy())


class ClassMargins(nn.Module):
    """Log-odds ``(B, A)`` of the attributes from the logits of a classifier that has a task of two classes for each.

    Args:
        classifier: with logits ``(B, K)``.
        tasks: names of the attributes' tasks.

    Raises:
        ValueError: the classifier lacks one of the tasks, or it is not of two classes.
    """

    def __init__(self, classifier: MammogramClassifier | ZeroShotClassifier, tasks: Sequence[str]) -> None:
        super().__init__()
        known: Mapping[str, int] = classifier.tasks
        wrong = [name for name in tasks if known.get(name) != 2]
        if wrong:
            raise ValueError(
                f"the classifier has no task {wrong[0]!r} of two classes, but {dict(known)}; train it on these tasks "
                "together with multi_label, or leave it out: the zero-shot score is then explained"
            )
        self.encoder = classifier.encoder  # first: hooks know a layer by the first name that leads to it
        self.classifier = classifier
        places = [task_place(known, name)[1] for name in tasks]
        self.starts = [place.start for place in places]

    def forward(self, x: Tensor) -> Tensor:
        logits = self.classifier(x)
        return torch.stack([logits[:, at + PRESENT] - logits[:, at + ABSENT] for at in self.starts], dim=1)


class GradCAMMethod:
    """Grad-CAM of the log-odds of each attribute; scores are the probabilities.

    Args:
        network: left in evaluation mode.
        attributes: A, the number of log-odds.
        stage: of the encoder, see :class:`TokenGradCAM`.
    """

    def __init__(self, network: ClassMargins, attributes: int, *, stage: int = 4) -> None:
        self.network, self.attributes = network.eval(), attributes
        self.cam = TokenGradCAM(cast(MammogramClassifier, network), stage=stage, enlarge=False)
        self.stride = self.cam.stride

    def __call__(self, images: Tensor) -> Heat:
        with torch.no_grad():
            scores = self.network(images).sigmoid()
        maps = []
        for place in range(self.attributes):
            self.cam.target_class = place
            maps.append(self.cam(images))
        heat = torch.stack(maps, dim=1)
        return Heat(heat * breast_places(images[:, 1:2], heat.shape[2:], self.stride), scores)
