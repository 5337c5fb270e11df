"""Where a sentence is seen in images that nobody labelled: the handler that draws and boxes it."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ignite.engine import Events
from monai.engines import Workflow
from torch import Tensor

from ..files import write_atomically
from ..handlers import write_table
from ..inference import InferenceImages
from ..metrics.detection import BOX
from ..metrics.evaluate import RESEARCH_USE
from ..text.vocabulary import KINDS
from .attribute_maps import FactorMethod
from .factor_figure import AttributePanel, Layer, factor_figure
from .factor_writer import keep_maps
from .map_boxes import BoxScore, boxes_of_map
from .map_localisation import original_boxes

__all__ = ["SentenceWriter", "sentence_images"]

logger = logging.getLogger(__name__)


def sentence_images(paths: str | Path | Sequence[str | Path] | None, **options: Any) -> InferenceImages:
    """The images to look at, see :class:`~mammo.pipeline.inference.InferenceImages`.

    Raises:
        ValueError: none is named, or none can be used.
    """
    if not paths:
        raise ValueError("there is no image to look at; give --images FILE, a folder, or a list of them")
    images = InferenceImages(paths, **options)
    if not len(images):
        told = "; ".join(f"{one['image']}: {one['message']}" for one in images.quarantine[:3])
        raise ValueError(f"none of {len(images.quarantine)} images can be used: {told}")
    return images


class SentenceWriter:
    """Maps, figures and boxes of a sentence: ``maps/``, ``figures/``, ``boxes.csv`` and ``sentence.json`` in a folder.

    The sentence stands in the place of the vector of the one finding that it names, else of the nearest finding, whose
    mapper reads the image: mappers know the findings that they were trained for, and a sentence about another one
    lights up what is nearest.

    Args:
        directory: the output folder.
        method: FActOR with the sentence as text, which is also the evaluator's network.
        sentence: its words.
        vector: its unit vector ``(D,)``.
        attributes: findings of the mappers.
        images: usable ones, and those that are not, with their reasons.
        quantile: from which a pixel of the breast is hot.
        boxes: an image has so many at most.
        largest_by: what ranks them, see :class:`BoxScore`.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        method: FactorMethod,
        sentence: str,
        vector: Tensor,
        attributes: Sequence[str],
        images: InferenceImages,
        quantile: float = 0.95,
        boxes: int | None = 5,
        largest_by: str = BoxScore.PEAK,
    ) -> None:
        self.directory, self.method, self.sentence = Path(directory), method, str(sentence)
        own = method.factor.text.to(vector)
        self.likeness = dict(zip(attributes, (own @ vector).tolist(), strict=True))
        named = [n for n, name in enumerate(attributes) if _names(self.sentence, name)]
        self.place = named[0] if len(named) == 1 else int((own @ vector).argmax())
        self.attribute = list(attributes)[self.place]
        self.images, self.quantile, self.limit, self.largest_by = images, quantile, boxes, largest_by
        self.names = file_names([record["image_id"] for record in images])
        self.rows: list[dict[str, Any]] = []
        self.scores: dict[str, float] = {}

    def attach(self, engine: Workflow) -> None:
        """Register with the evaluator ``engine``, which must not decollate its output."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.add)
        engine.add_event_handler(Events.COMPLETED, lambda _: self.write())

    def add(self, engine: Workflow) -> None:
        """Draw and box the images of a batch."""
        batch, output = engine.state.batch, engine.state.output
        for index, name in enumerate(batch["image_id"]):
            picture, breast = output["image"][index].float().cpu().numpy()
            heat = output["pred"].maps[index, self.place].float().cpu().numpy()
            score = float(output["pred"].scores[index, self.place])
            boxes = boxes_of_map(
                heat,
                self.quantile,
                size=breast.shape,
                mask=breast if breast.any() else None,
                largest_by=self.largest_by,
                limit=self.limit,
                stride=self.method.stride,
            )
            matrix = np.asarray(batch["to_original"][index], dtype=np.float64)
            file = self.names[name]
            keep_maps(
                self.directory / "maps" / f"{file}.npz",
                {"sentence": heat},
                matrix,
                stride=np.asarray(self.method.stride),
            )
            layer = Layer(f"FActOR, {self.attribute}\nscore {score:.2f}", heat, self.method.stride, boxes)
            units = self.method.strongest(output["image"][index], self.place)
            row = AttributePanel("image", units, [layer], None)
            figure = self.directory / "figures" / f"{file}.png"
            factor_figure(picture, breast, [row], figure, title=f'"{self.sentence}"\n{file}')
            self.scores[name] = score
            for box, original in zip(boxes, original_boxes(matrix, boxes), strict=True):
                self.rows.append({"image": name, "score": box[4] * score, **dict(zip(BOX, original, strict=True))})

    def write(self) -> None:
        """Write the table and what was asked."""
        write_table(pd.DataFrame(self.rows, columns=["image", "score", *BOX]), self.directory / "boxes.csv")
        content = {
            "notice": RESEARCH_USE,
            "sentence": self.sentence,
            "read_by_the_mapper_of": self.attribute,
            "cosine_with_findings": self.likeness,
            "quantile": self.quantile,
            "scores": self.scores,
            "not_used": [{"image": one["image"], "reason": one["message"]} for one in self.images.quarantine],
        }
        write_atomically(self.directory / "sentence.json", json.dumps(content, indent=1, allow_nan=False).encode())
        logger.info(
            "%r is read by the mapper of %s; %d images, %s",
            self.sentence,
            self.attribute,
            len(self.scores),
            self.directory,
        )


def _names(sentence: str, attribute: str) -> bool:
    """Whether a sentence has a word for a finding, singular or plural."""
    nouns = KINDS[attribute].nouns if attribute in KINDS else (attribute.replace("_", " "),)
    stems = [noun if noun.endswith("ss") else noun.removesuffix("s") for noun in nouns]
    return any(re.search(rf"\b{re.escape(stem)}", sentence.lower()) for stem in stems)


def file_names(images: Sequence[str]) -> dict[str, str]:
    """A file name for each path: its stem, and a number behind it where another has the same."""
    names: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for path in images:
        stem = re.sub(r"[^\w.-]", "_", Path(path).stem)
        seen[stem] += 1
        names[path] = stem if seen[stem] == 1 else f"{stem}_{seen[stem]}"
    return names
