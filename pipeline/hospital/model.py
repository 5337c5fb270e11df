"""The model that a hospital runs: weights, what shapes their input, thresholds, and the stamp of every result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...networks import MammogramClassifier
from ...networks.explained import ExplainedClassifier
from ...networks.swin import Tokens
from ...transforms.geometry import to_original_box
from ..explain import Explainer, MapKind, boxes_of_map
from ..metrics import apply_temperature
from .result import ModelStamp, Region

__all__ = ["HospitalModel", "Scored"]

RULE = "youden"
LEVEL = "breast_mean"


@dataclass(frozen=True)
class Scored:
    """What the network says of one image.

    Attributes:
        probability: in [0, 1], as the network gives it.
        calibrated: after temperature scaling, None without.
        heat: ``(H, W)`` float32 >= 0 on the network's grid.
        regions: hottest first, in original rows and columns.
    """

    probability: float
    calibrated: float | None
    heat: Tensor
    regions: tuple[Region, ...]


class HospitalModel:
    """A classifier of benign against malignant with everything that a result needs.

    Args:
        network: the classifier, its weights loaded.
        transform: from ``{"image": path or picture}`` to ``image``, ``mask`` and ``to_original``.
        stamp: what made the results.
        points: ``operating_points.json`` of an evaluation of the same weights, or None.
        map_kind: of the explanation, see :class:`~mammo.pipeline.explain.MapKind`.
        stage: of the encoder, 1 to 4, that is explained.
        quantile: of the map within the breast, above which it is a region.
        most_regions: of an image.

    Raises:
        ValueError: a classifier of anything but two classes.
    """

    def __init__(
        self,
        network: MammogramClassifier,
        transform: Any,
        stamp: ModelStamp,
        *,
        points: Mapping[str, Any] | None = None,
        map_kind: str = MapKind.GRADCAM,
        stage: int = 4,
        quantile: float = 0.95,
        most_regions: int = 3,
    ) -> None:
        self.network, self.transform, self.stamp = network.eval(), transform, stamp
        self.temperature = None if points is None else points["temperature"]
        thresholds = {} if points is None else points["thresholds"].get(LEVEL, {})
        self.threshold: float | None = thresholds.get(RULE)
        self.quantile, self.most_regions = quantile, most_regions
        self.answer = _answerer(network, str(map_kind), stage)

    @classmethod
    def load(cls, path: Path, **options: Any) -> HospitalModel:
        """See :func:`~mammo.pipeline.hospital.loading.load_model`."""
        from .loading import load_model

        return load_model(path, **options)

    def score(self, item: Mapping[str, Any]) -> Scored:
        """Score and explain one prepared image."""
        image = torch.cat([item["image"], item["mask"]])[None]
        logits, heat = self.answer(image.to(next(self.network.parameters()).device))
        probability = float(logits[0, :2].softmax(dim=0)[1])
        calibrated = None
        if self.temperature is not None:
            calibrated = float(apply_temperature([probability], self.temperature)[0])
        heat = heat[0].cpu()
        return Scored(probability, calibrated, heat, self._regions(heat, item))

    def _regions(self, heat: Tensor, item: Mapping[str, Any]) -> tuple[Region, ...]:
        size, mask = item["image"].shape[1:], item["mask"][0]
        greatest = float(heat.max())
        boxes = boxes_of_map(heat, self.quantile, size=size, mask=mask, limit=self.most_regions)
        return tuple(
            Region(to_original_box((r0, c0, r1, c1), item["to_original"]), peak / greatest)
            for r0, c0, r1, c1, peak in boxes
        )


def _answerer(network: MammogramClassifier, kind: str, stage: int) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Logits ``(B, K)`` and map ``(B, H, W)`` of images: in one pass forward, where the map allows it."""
    if kind == MapKind.GRADCAM and stage == 4 and network.tokens is Tokens.ALL:
        explained = ExplainedClassifier(network)
        return torch.inference_mode()(explained.forward)
    explainer = Explainer(network, maps=[kind], stage=stage)

    def answer(images: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            logits = network(images)
        return logits, explainer(images)[kind]

    return answer
