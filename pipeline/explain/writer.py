"""The handler that explains every image an evaluator sees: maps, figures and measures."""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from ignite.engine import Events
from monai.engines import Workflow
from numpy.typing import NDArray
from torch import Tensor

from ...networks import MammogramClassifier
from ..files import write_atomically
from ..handlers import ImageKey, image_key, write_table
from .figure import case_figure
from .lesion import lesion_region
from .maps import DEFAULT_MAPS, Explainer, measure_maps

logger = logging.getLogger(__name__)

Maps = Mapping[str, NDArray[np.float32]]

CLASS_NAMES = {
    "pathology": ("benign", "malignant"),
    "malignant_vs_rest": ("not malignant", "malignant"),
    "density_fatty_dense": ("fatty", "dense"),
}
"""Words for the classes of tasks that clinicians have words for; others are numbered."""


class ExplanationWriter:
    """Explain a classifier's images: ``explanations.csv``, ``figures/`` and ``maps/`` in a run folder.

    Every measure in the table stands beside its chance level. Maps are kept as compressed arrays on the network's
    grid, with the matrix that takes them back to original pixels.

    Args:
        directory: the run folder.
        network: the classifier, with ``encoder``.
        records: of the images. The items of a batch name theirs by ``image_id``, and ``dataset`` where the records
            have one. Figures and maps are named after the former; after both where two data sets share an id.
        root: folder that the records' paths are relative to.
        target_class: the logit that is explained; None: the predicted class of the first task.
        stage: stage of the encoder, 1 to 4, that the maps are of; see :class:`TokenGradCAM`, :func:`attention_maps`.
        maps: which kinds of map, see :class:`MapKind`.
        occlusion_passes: at most so many patches of an image are occluded, where occlusion is asked for.
        figures: how many images get a figure; those with a known lesion come first.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        network: MammogramClassifier,
        records: Sequence[Mapping[str, Any]],
        root: str | Path,
        target_class: int | None = 1,
        stage: int = 4,
        maps: Sequence[str] = DEFAULT_MAPS,
        occlusion_passes: int = 64,
        figures: int = 24,
    ) -> None:
        self.directory = Path(directory)
        self.records = {image_key(record): record for record in records}
        self.names = case_names(records)
        self.root = Path(root)
        self.target_class = target_class
        self.task, self.classes = next(iter(network.tasks.items()))
        self.explainer = Explainer(
            network, maps=maps, target_class=target_class, stage=stage, occlusion_passes=occlusion_passes
        )
        with_lesion = [key for key, r in self.records.items() if r.get("roi_masks") or r.get("boxes")]
        known = set(with_lesion)
        self.drawn = set((with_lesion + [key for key in self.records if key not in known])[:figures])
        self.rows: list[dict[str, Any]] = []

    def attach(self, engine: Workflow) -> None:
        """Register with the evaluator ``engine``."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda _: self.rows.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.explain)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def explain(self, engine: Workflow) -> None:
        """Explain the images of one decollated batch."""
        batch, output = engine.state.batch, engine.state.output
        images = torch.stack([item["image"] for item in output]).to(engine.state.device)
        logits = torch.stack([item["pred"] for item in output])
        explained = self.explainer(images)
        maps = {name: values.cpu().numpy() for name, values in explained.items()}
        regions = [self._region(item, images.shape[2:]) for item in batch]
        lesions = np.stack([np.zeros(images.shape[2:], bool) if r is None else r for r in regions])
        measures = measure_maps(self.explainer, explained, images, lesions)
        for index, item in enumerate(batch):
            key = image_key(item)
            record = self.records[key]
            row = {
                **{name: record[name] for name in ("dataset", "image_id", "patient_id") if name in record},
                "label": int(item["label"][0]),
                "probability": self._probability(logits[index]),
            }
            for name, values in measures.items():
                self.rows.append(row | {"map": name} | {key: float(value[index]) for key, value in values.items()})
            if key in self.drawn:
                case = {name: values[index] for name, values in maps.items()}
                self._draw(self.names[key], row, images[index].cpu().numpy(), case, regions[index], item["to_original"])

    def write(self, engine: Workflow) -> None:
        """Write the table."""
        table = pd.DataFrame(self.rows)
        write_table(table, self.directory / "explanations.csv")
        for name, found in table.groupby("map")[["background_ratio", "background_chance"]].mean().iterrows():
            logger.info("%s: %.3f of the map outside the breast, by chance %.3f", name, *found)
        logger.info("%s written, %d figures", self.directory / "explanations.csv", len(self.drawn))

    def _probability(self, logits: Tensor) -> float:
        """Of class 1 of two, such as malignant; of the class that is explained where there are more."""
        scores = logits[: self.classes].softmax(dim=0)
        if self.classes == 2:
            return float(scores[1])
        return float(scores.max() if self.target_class is None else scores[self.target_class])

    def _region(self, item: Mapping[str, Any], size: Sequence[int]) -> NDArray[np.bool_] | None:
        record = self.records[image_key(item)]
        return lesion_region(record, self.root, np.asarray(item["to_original"]), size)

    def _draw(
        self,
        name: str,
        row: Mapping[str, Any],
        image: NDArray[np.float32],
        maps: Maps,
        roi: NDArray[np.bool_] | None,
        matrix: Tensor,
    ) -> None:
        words = CLASS_NAMES.get(self.task, [f"{self.task} {index}" for index in range(self.classes)])
        truth = words[row["label"]] if row["label"] >= 0 else "unknown"
        told = words[1] if self.classes == 2 else "the class explained"
        title = f"{name}: labelled {truth}, probability of {told} {row['probability']:.2f} (uncalibrated)"
        case_figure(image[0], image[1], maps, self.directory / "figures" / f"{name}.png", title=title, roi=roi)
        arrays: dict[str, Any] = {key: value.astype(np.float16) for key, value in maps.items()}
        content = io.BytesIO()
        np.savez_compressed(content, to_original=np.asarray(matrix), **arrays)
        write_atomically(self.directory / "maps" / f"{name}.npz", content.getvalue())


def case_names(records: Sequence[Mapping[str, Any]]) -> dict[ImageKey, str]:
    """What the files of each image are called: its ``image_id``, behind its data set where two share the id."""
    keys = [image_key(record) for record in records]
    images = Counter(image for _, image in keys)
    return {key: key[1] if images[key[1]] == 1 else f"{key[0]}_{key[1]}" for key in keys}
