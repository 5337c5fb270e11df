"""The inferer of image vectors: one tower of an image-text model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..engines import NetworkInferer

__all__ = ["ImageVectorInferer"]


class ImageVectorInferer(NetworkInferer):
    """Unit vectors ``(B, D)`` of images ``(B, 1 or 2, H, W)`` by :meth:`~mammo.networks.ImageTextModel.embed_images`.

    Args: see :class:`~mammo.pipeline.engines.NetworkInferer`.
    """

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        model: Any = network
        return super().__call__(inputs, model.embed_images, *args, **kwargs)
