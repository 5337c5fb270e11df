"""Grad-CAM and Grad-CAM++ of a classifier through ``monai.visualize``.

Selvaraju et al. 2017, arXiv:1610.02391; Chattopadhyay et al. 2018, arXiv:1710.11063.
"""

from __future__ import annotations

from typing import cast

import torch
from monai.visualize import GradCAM, GradCAMpp, ModelWithHooks
from torch import Tensor, nn

from ...networks import MammogramClassifier
from .attention import predicted_class
from .grid import check_stage, tokens_to_image


class TokenGradCAM:
    """Grad-CAM on the final feature map: ``ReLU(sum_k alpha_k F_k)`` with ``alpha_k`` the mean of ``dy_c/dF_k``.

    The target is the channel-first map behind the encoder's final norm, of patch tokens alone: MONAI's blocks are
    channels-last, on which Grad-CAM is silently wrong, and the first norm of the last block gives background-heavy maps
    (frgfm/torch-cam#412).

    Args:
        network: a classifier; its state is left in evaluation mode.
        target_class: index of the logit that is explained; None: each image's predicted class of the first task.
        stage: 1 to 4, whose outgoing map is taken: 4 the final one, as published; before it, finer ones.
        plus_plus: Grad-CAM++, which weights gradients pixel by pixel and takes only those that speak for the class.
        enlarge: bring maps to the size of the images; otherwise they are left on the grid of tokens.

    Attributes:
        stride: pixels along the side of a token of the map.

    Raises:
        ValueError: another stage.
    """

    def __init__(
        self,
        network: MammogramClassifier,
        *,
        target_class: int | None = 1,
        stage: int = 4,
        plus_plus: bool = False,
        enlarge: bool = True,
    ) -> None:
        check_stage(stage)
        self.network = network
        self.target_class = target_class
        self.stride = stride = network.encoder.map_strides[stage]
        # A Swin has outputs behind its first three stages; an EfficientNet has a fourth, of a map that is finer still.
        layer = "encoder.features" if stage == 4 else f"encoder.outputs.{stage - 4 + len(network.encoder.outputs)}"
        hooks = _ScorePerImage(network, layer, register_forward=True, register_backward=True)
        # MONAI's default normaliser turns the hottest pixel into 0: keep the map as it is. Its default upsampler would
        # squeeze the tokens' padding into the image.
        self.cam = (GradCAMpp if plus_plus else GradCAM)(
            cast(nn.Module, hooks),  # MONAI takes hooks as well as a module
            target_layers=layer,
            upsampler=lambda size: lambda cam: tokens_to_image(cam, size, stride) if enlarge else cam,
            postprocessing=lambda cam: cam,
        )

    def __call__(self, images: Tensor) -> Tensor:
        """Maps ``(B, H, W)`` >= 0, or ``(B, h, w)`` of tokens, for images ``(B, 2, H, W)``."""
        with torch.enable_grad():
            inputs = images.detach().requires_grad_()  # so that a frozen network can be explained too
            if self.target_class is not None:
                return self._explain(inputs, self.target_class)
            with torch.no_grad():
                predicted = predicted_class(self.network, self.network(inputs))
            maps: dict[int, Tensor] = {}
            for index in predicted.unique().tolist():
                chosen = (predicted == index).nonzero()[:, 0]
                maps |= zip(chosen.tolist(), self._explain(inputs[chosen], index), strict=True)
            return torch.stack([maps[place] for place in range(len(images))])

    def _explain(self, inputs: Tensor, index: int) -> Tensor:
        # One class for the whole batch: MONAI sums that logit over the images, which do not mix, so that each
        # image gets its own gradient.
        return torch.as_tensor(self.cam(inputs, class_idx=index))[:, 0].detach()


class _ScorePerImage(ModelWithHooks):
    """MONAI's hooks with scores ``(B, 1, 1, 1)``.

    Its own ``(B,)`` meet maps ``(B, C, h, w)`` in Grad-CAM++ along their last axis: an error, or a wrong map where B
    equals w.
    """

    def class_score(self, logits: Tensor, class_idx: int) -> Tensor:
        return logits[:, class_idx, None, None, None]
