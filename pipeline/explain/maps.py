"""All explanations of a batch by name, each as its method gives it: never multiplied by the breast mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from monai.utils import StrEnum
from numpy.typing import NDArray
from torch import Tensor

from ...networks import MammogramClassifier, ViTEncoder
from ..metrics import explanation_measures
from .attention import attention_maps, predicted_class
from .gradcam import TokenGradCAM
from .occlusion import occlusion_maps, patch_side
from .probability import first_task

Measured = dict[str, dict[str, NDArray[np.float64]]]
"""Measures ``(B,)`` by kind of map and by name."""


class MapKind(StrEnum):
    """Ways to explain a decision.

    ``rollout``: attention followed through all layers, of a ViT alone. ``attention``: what each token receives in the
    last self-attention layer. ``attention_gradient``: its heads
    weighted by gradient. ``gradcam``, ``gradcam++``: see :class:`TokenGradCAM`. ``occlusion``: see
    :func:`occlusion_maps`, a forward pass for every patch.
    """

    ROLLOUT = "rollout"
    ATTENTION = "attention"
    ATTENTION_GRADIENT = "attention_gradient"
    GRADCAM = "gradcam"
    GRADCAM_PLUS_PLUS = "gradcam++"
    OCCLUSION = "occlusion"


OF_ATTENTION = frozenset({MapKind.ROLLOUT, MapKind.ATTENTION, MapKind.ATTENTION_GRADIENT})
DEFAULT_MAPS = (MapKind.ATTENTION, MapKind.ATTENTION_GRADIENT, MapKind.GRADCAM)
EXPENSIVE = frozenset({MapKind.OCCLUSION})
"""Maps that cost many forward passes an image; the others cost one pass forward and one backward."""


class Explainer:
    """Explain batches by several kinds of map.

    Args:
        network: the classifier, with ``encoder``.
        maps: names of the kinds, see :class:`MapKind`.
        target_class: the logit that is explained; None: the predicted class of the first task.
        stage: stage of the encoder, 1 to 4, that attention and Grad-CAM are of.
        occlusion_passes: at most so many patches are occluded an image.
        batch: images in one forward pass of the expensive maps.

    Raises:
        ValueError: an unknown or repeated map, roll-out of a network that has none, or another stage.
    """

    def __init__(
        self,
        network: MammogramClassifier,
        *,
        maps: Sequence[str] = DEFAULT_MAPS,
        target_class: int | None = 1,
        stage: int = 4,
        occlusion_passes: int = 64,
        batch: int = 16,
    ) -> None:
        known = [str(kind) for kind in MapKind]
        if not maps or len(set(maps)) < len(maps) or set(maps) - set(known):
            raise ValueError(f"maps {list(maps)}: give some of {', '.join(known)}, each once")
        self.maps = [kind for kind in MapKind if kind in set(maps)]
        if MapKind.ROLLOUT in self.maps and not isinstance(network.encoder, ViTEncoder):
            raise ValueError("rollout follows attention over the whole picture, as a ViT has it; Swin's is in windows")
        self.network = network
        self.target_class = target_class
        self.stage = stage
        self.occlusion_passes = occlusion_passes
        self.batch = batch
        self._cams: dict[str, TokenGradCAM] = {
            kind: TokenGradCAM(network, target_class=target_class, stage=stage, plus_plus="++" in kind)
            for kind in self.maps
            if kind in (MapKind.GRADCAM, MapKind.GRADCAM_PLUS_PLUS)
        }

    def token_px(self, kind: str, size: Sequence[int]) -> int:
        """Pixels along the side of what a kind of map tells apart, in an image of ``size`` rows and columns."""
        if kind in self._cams:
            return self._cams[kind].stride
        if kind == MapKind.OCCLUSION:
            return patch_side(size, self.occlusion_passes)
        return self.network.encoder.map_strides[self.stage - 1]

    def __call__(self, images: Tensor, kinds: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Maps ``(B, H, W)`` >= 0 by name, of all kinds or of some, for images ``(B, 2, H, W)``."""
        self.network.eval()
        wanted = self.maps if kinds is None else [kind for kind in self.maps if kind in set(kinds)]
        found: dict[str, Tensor] = {}
        if OF_ATTENTION & set(wanted):
            found |= attention_maps(self.network, images, target_class=self.target_class, stage=self.stage)
        found |= {str(kind): self._cams[kind](images) for kind in wanted if kind in self._cams}
        if MapKind.OCCLUSION in wanted:
            found[MapKind.OCCLUSION] = self._occlusion(images)
        return {str(kind): found[kind].float() for kind in wanted}

    def _occlusion(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            classes = (
                predicted_class(self.network, self.network(images))
                if self.target_class is None
                else torch.full((len(images),), self.target_class, device=images.device)
            )
        options = {"passes": self.occlusion_passes, "batch": self.batch}
        return occlusion_maps(first_task(self.network), images, classes, **options)


def measure_maps(
    explainer: Explainer, maps: Mapping[str, Tensor], images: Tensor, lesions: NDArray[np.bool_]
) -> Measured:
    """:func:`~mammo.pipeline.metrics.explanation_measures` of every kind of map, by name.

    Args:
        explainer: that gave the maps; it knows the size of their tokens.
        maps: ``(B, H, W)`` by name.
        images: ``(B, 2, H, W)``, of whose mask the breast is taken.
        lesions: ``(B, H, W)``, false everywhere for an image without a known lesion.
    """
    breast, size = images[:, 1].cpu().numpy(), images.shape[2:]
    return {
        name: explanation_measures(values, breast, lesions, token_px=explainer.token_px(name, size))
        for name, values in maps.items()
    }
