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
from ..datasets.lesion_classes import LESION_CLASSES, MASS_MARGINS
from ..datasets.schema import FINDING_TYPES
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
    "lesion": tuple(name.replace("_", " ").lower() for name in LESION_CLASSES),
    **{f"finding_{name}": (f"no {name}".replace("_", " "), name.replace("_", " ")) for name in FINDING_TYPES},
    **{f"margin_{name.lower()}": ("of another margin", name.replace("_", "-").lower()) for name in MASS_MARGINS},
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
            told, probability = self._told(logits[index])
            row = {
                **{name: record[name] for name in ("dataset", "image_id", "patient_id") if name in record},
                "label": int(item["label"][0]),
                "probability": probability,
            }
            for name, values in measures.items():
                self.rows.append(row | {"map": name} | {key: float(value[index]) for key, value in values.items()})
            if key in self.drawn:
                case = {name: values[index] for name, values in maps.items()}
                title = self._title(self.names[key], row["label"], told, probability)
                shown, file = images[index].cpu().numpy(), self._file(key, "figures", "png")
                case_figure(shown[0], shown[1], case, file, title=title, roi=regions[index])
                self._keep(self._file(key, "maps", "npz"), case, item["to_original"])

    def write(self, engine: Workflow) -> None:
        """Write the table."""
        table = pd.DataFrame(self.rows)
        write_table(table, self.directory / "explanations.csv")
        for name, found in table.groupby("map")[["background_ratio", "background_chance"]].mean().iterrows():
            logger.info("%s: %.3f of the map outside the breast, by chance %.3f", name, *found)
        logger.info("%s written, %d figures", self.directory / "explanations.csv", len(self.drawn))

    def _told(self, logits: Tensor) -> tuple[int, float]:
        """The class whose probability is told, and that: class 1 of two, such as malignant; else the one explained."""
        scores = logits[: self.classes].softmax(dim=0)
        chosen = 1 if self.classes == 2 else self.target_class
        index = int(scores.argmax()) if chosen is None else int(chosen)
        return index, float(scores[index])

    def _region(self, item: Mapping[str, Any], size: Sequence[int]) -> NDArray[np.bool_] | None:
        record = self.records[image_key(item)]
        return lesion_region(record, self.root, np.asarray(item["to_original"]), size)

    def _title(self, name: str, label: int, told: int, probability: float) -> str:
        words = CLASS_NAMES.get(self.task, [f"{self.task} {index}" for index in range(self.classes)])
        truth = words[label] if label >= 0 else "unknown"
        return f"{name}: labelled {truth}, probability of {words[told]} {probability:.2f} (uncalibrated)"

    def _file(self, key: ImageKey, folder: str, ending: str) -> Path:
        return self.directory / folder / f"{self.names[key]}.{ending}"

    @staticmethod
    def _keep(path: Path, maps: Maps, matrix: Tensor) -> None:
        """The maps of a case, with the way from their pixels to the original's."""
        arrays: dict[str, Any] = {key: value.astype(np.float16) for key, value in maps.items()}
        content = io.BytesIO()
        np.savez_compressed(content, to_original=np.asarray(matrix), **arrays)
        write_atomically(path, content.getvalue())


def case_names(records: Sequence[Mapping[str, Any]]) -> dict[ImageKey, str]:
    """What the files of each image are called: its ``image_id``, behind its data set where two share the id."""
    keys = [image_key(record) for record in records]
    images = Counter(image for _, image in keys)
    return {key: key[1] if images[key[1]] == 1 else f"{key[0]}_{key[1]}" for key in keys}
