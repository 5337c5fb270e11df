"""The model that a hospital runs: weights, what shapes their input, thresholds, and the stamp of every result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose
from torch import Tensor

from ... import __version__
from ...networks import MammogramClassifier
from ...transforms.geometry import to_original_box
from ..evidence.hashes import sha256_of
from ..evidence.run_files import read_json
from ..explain import Explainer, MapKind, boxes_of_map, enlarge_map
from ..inference import read_operating_points
from ..metrics import apply_temperature
from ..predict import bundle_of, find_operating_points, training_options
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
        self.map_kind, self.quantile, self.most_regions = str(map_kind), quantile, most_regions
        self.explainer = Explainer(network, maps=[self.map_kind], stage=stage)

    @classmethod
    def load(
        cls, checkpoint: Path, *, operating_points: Path | None = None, device: str = "cpu", **options: Any
    ) -> HospitalModel:
        """The model of a finetune run.

        Args:
            checkpoint: ``checkpoints/best.pt``, in whose run folder ``config.yaml`` tells the network.
            operating_points: see :func:`~mammo.pipeline.predict.find_operating_points`.
            device: where the network runs.
            options: of the explanation, as in the class.

        Raises:
            ValueError: no classifier of benign against malignant, a broken run folder, or foreign operating points.
        """
        run = training_options(checkpoint)
        if run["tasks"] != ["pathology"] or run.get("multi_label"):
            raise ValueError(f"{checkpoint} tells {run['tasks']}; results for a hospital need --tasks '[pathology]'")
        root = bundle_of(checkpoint)
        configuration = ConfigParser(ConfigParser.load_config_file(str(root / "configs" / "inference.json")))
        configuration.update(run | {"checkpoint": str(checkpoint), "device": device})
        network = configuration.get_parsed_content("network")
        if list(network.tasks.values()) != [2]:
            raise ValueError(f"{checkpoint} tells {network.tasks}; results for a hospital need two classes")
        found = find_operating_points(checkpoint, operating_points, task="pathology")
        points = None if found is None else read_operating_points(found)
        about = read_json(root / "configs" / "metadata.json")
        settings = run | options | {"rule": f"{LEVEL}, {RULE}"}
        settings |= {} if found is None else {"operating_points_sha256": sha256_of(found)}
        stamp = ModelStamp(about["name"], root.name, about["version"], __version__, sha256_of(checkpoint), settings)
        return cls(network, Compose(configuration.get_parsed_content("load")), stamp, points=points, **options)

    def score(self, items: Sequence[Mapping[str, Any]]) -> list[Scored]:
        """Score and explain prepared images, one by one: memory does not grow with the study."""
        return [self._score(item) for item in items]

    def _score(self, item: Mapping[str, Any]) -> Scored:
        image = torch.cat([item["image"], item["mask"]])[None]
        image = image.to(next(self.network.parameters()).device)
        with torch.no_grad():
            probability = float(self.network(image)[0, :2].softmax(dim=0)[1])
        heat = self.explainer(image)[self.map_kind][0].cpu()
        calibrated = None
        if self.temperature is not None:
            calibrated = float(apply_temperature([probability], self.temperature)[0])
        return Scored(probability, calibrated, heat, self._regions(heat, item))

    def _regions(self, heat: Tensor, item: Mapping[str, Any]) -> tuple[Region, ...]:
        size, mask = item["image"].shape[1:], item["mask"][0]
        greatest = float(heat.max())
        boxes = boxes_of_map(heat, self.quantile, size=size, mask=mask, limit=self.most_regions)
        return tuple(
            Region(to_original_box((r0, c0, r1, c1), item["to_original"]), peak / greatest)
            for r0, c0, r1, c1, peak in boxes
        )


def heat_on_frame(heat: Tensor, matrix: Tensor, shape: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """A map of the network's grid on a small copy of the whole frame, in [0, 1]; 0 where the network saw nothing.

    Args:
        heat: ``(H, W)`` >= 0.
        matrix: ``(3, 3)`` from the centres of the grid's pixels to those of the original ones.
        shape: rows and columns of the original.
        size: rows and columns of the copy.
    """
    values = enlarge_map(heat, heat.shape).astype(np.float32)
    values /= max(float(values.max()), np.finfo(np.float32).tiny)
    scale = [old / new for old, new in zip(shape, size, strict=True)]
    # From a pixel of the copy to the original (centres at half pixels), from there to the grid.
    to_original = np.array([[scale[0], 0, scale[0] / 2 - 0.5], [0, scale[1], scale[1] / 2 - 0.5], [0, 0, 1]])
    to_grid = np.linalg.inv(np.asarray(matrix, dtype=np.float64)) @ to_original
    rows_first = to_grid[[1, 0]][:, [1, 0, 2]].astype(np.float32)  # cv2 has columns first
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    frame = cv2.warpAffine(values, rows_first, size[::-1], flags=flags, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(frame)
