"""The handler that lights up the attributes of every image, chooses on validation, and measures on test."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import pandas as pd
import torch
from ignite.engine import Events
from monai.engines import Workflow
from numpy.typing import NDArray
from torch import Tensor

from ..files import write_atomically
from ..handlers import ImageKey, image_key, write_table
from ..metrics.detection import BOX
from ..metrics.evaluate import RESEARCH_USE
from ..metrics.localisation import LocalisationTables, compare_localisation, evaluate_localisation
from .attribute_maps import FactorMethod, GradCAMMethod, Heat, Units
from .factor_figure import AttributePanel, Layer, factor_figure
from .map_boxes import BoxScore
from .map_localisation import Choice, LocatedImage, MapsOfMethod, choose, found_boxes, original_boxes, record
from .writer import case_names

__all__ = ["FactorWriter", "keep_maps"]

logger = logging.getLogger(__name__)

FACTOR, GRADCAM = "factor", "gradcam"
TITLES = {FACTOR: "FActOR", GRADCAM: "Grad-CAM"}


class FactorWriter:
    """Heat-maps, boxes and their measures: Mammo-FActOR beside Grad-CAM and beside chance.

    Written are ``maps/`` (arrays on the grid of the map, with the stride of a place and the matrix from the network's
    grid to original pixels), ``figures/``, ``boxes.csv`` (predicted boxes in original pixels), ``localisation.csv`` (a
    row each method, test image and attribute) and ``localisation.json``.

    Args:
        directory: the run folder.
        method: FActOR, which is also the evaluator's network.
        rivals: Grad-CAM of one or several stages of the encoder; the stage is chosen on validation, as the quantile.
        rival_name: of what Grad-CAM explains, for ``localisation.json``.
        attributes: types of findings.
        records: of the images, with located findings, see :class:`~mammo.pipeline.datasets.LocatedRecords`.
        candidates: quantiles to choose from on validation images.
        quantile: takes this one instead.
        boxes: an image and attribute has so many at most.
        largest_by: what ranks the boxes of an image, see :class:`BoxScore`.
        figures: how many test images get a figure, those with a finding first.
        draws, seed: of the patient bootstrap.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        method: FactorMethod,
        rivals: Sequence[GradCAMMethod],
        rival_name: str,
        attributes: Sequence[str],
        records: Sequence[Mapping[str, Any]],
        candidates: Sequence[float],
        quantile: float | None = None,
        boxes: int | None = 5,
        largest_by: str = BoxScore.PEAK,
        figures: int = 24,
        draws: int = 2000,
        seed: int = 0,
    ) -> None:
        self.directory = Path(directory)
        self.method, self.rivals, self.rival_name = method, list(rivals), rival_name
        self.attributes = list(attributes)
        self.records = {image_key(one): one for one in records}
        self.names = case_names(records)
        self.choosing: dict[str, Any] = {"candidates": candidates, "fixed": quantile, "largest_by": largest_by}
        self.boxes: dict[str, Any] = {"limit": boxes, "largest_by": largest_by}
        self.draws, self.seed = draws, seed
        tested = [one for one in records if one["split"] == "test"]
        ordered = sorted(tested, key=lambda one: not one["findings"])  # stable: those with a finding first
        self.drawn = {image_key(one) for one in ordered[:figures]}
        self.start()

    def start(self) -> None:
        """Forget the images of an earlier run."""
        self.images: list[LocatedImage] = []
        self.shown = {
            FACTOR: [MapsOfMethod(self.method.stride)],
            GRADCAM: [MapsOfMethod(rival.stride) for rival in self.rivals],
        }
        self.cases: dict[int, tuple[NDArray[np.float32], list[Units]]] = {}

    def attach(self, engine: Workflow) -> None:
        """Register with the evaluator ``engine``, which must not decollate its output."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda _: self.start())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.add)
        engine.add_event_handler(Events.COMPLETED, lambda _: self.write())

    def add(self, engine: Workflow) -> None:
        """Take the maps of a batch."""
        batch, output = engine.state.batch, engine.state.output
        images: Tensor = output["image"]
        _take(self.shown[FACTOR][0], output["pred"])
        for rival, shown in zip(self.rivals, self.shown[GRADCAM], strict=True):
            _take(shown, rival(images))
        for index, (dataset, name) in enumerate(zip(batch["dataset"], batch["image_id"], strict=True)):
            known = self.records[dataset, name]
            picture, breast = images[index].float().cpu().numpy()
            if (dataset, name) in self.drawn:
                units = [self.method.strongest(images[index], place) for place in range(len(self.attributes))]
                self.cases[len(self.images)] = picture, units
            self.images.append(LocatedImage.of(known, self.attributes, breast, np.asarray(batch["to_original"][index])))

    def write(self) -> None:
        """Choose, measure and write everything (the first process only)."""
        if idist.get_rank() != 0:
            return
        choices = {name: self._choices(shown) for name, shown in self.shown.items() if shown}
        tables = {
            name: record(self.images, self.shown[name], chosen, seed=self.seed, **self.boxes)
            for name, chosen in choices.items()
        }
        self._tables(tables, choices)
        self._summary(tables, choices)
        self._maps(choices)
        for number, (picture, units) in self.cases.items():
            self._figure(number, picture, units, choices)
        logger.info("%s and what lies beside it written", self.directory / "localisation.json")

    def _choices(self, variants: Sequence[MapsOfMethod]) -> dict[str, Choice]:
        return {
            name: choose(self.images, variants, place, **self.choosing) for place, name in enumerate(self.attributes)
        }

    def _tables(self, tables: Mapping[str, LocalisationTables], choices: Mapping[str, Mapping[str, Choice]]) -> None:
        measured = [one.images.assign(method=name) for name, one in tables.items()]
        write_table(pd.concat(measured), self.directory / "localisation.csv")
        rows = [row for name, chosen in choices.items() for row in self._found(name, chosen)]
        columns = ["dataset", "image_id", "patient_id", "split", "method", "class", "score", *BOX]
        write_table(pd.DataFrame(rows, columns=columns), self.directory / "boxes.csv")

    def _found(self, method: str, choices: Mapping[str, Choice]) -> list[dict[str, Any]]:
        """Rows of ``boxes.csv``, of validation and test."""
        rows = []
        for number, image in enumerate(self.images):
            for place, (name, choice) in enumerate(choices.items()):
                shown = self.shown[method][choice.variant]
                boxes = found_boxes(image, shown, number, place, choice.quantile, **self.boxes)
                for box, original in zip(boxes, original_boxes(image.matrix, boxes), strict=True):
                    said = {"method": method, "class": name, "score": box[4] * float(shown.scores[number][place])}
                    rows.append({**image.known, **said, **dict(zip(BOX, original, strict=True))})
        return rows

    def _summary(self, tables: Mapping[str, LocalisationTables], choices: Mapping[str, Mapping[str, Choice]]) -> None:
        options = {"draws": self.draws, "seed": self.seed}
        content: dict[str, Any] = {
            "notice": RESEARCH_USE,
            "chosen_on": "given" if self.choosing["fixed"] is not None else "validation",
            "methods": {name: evaluate_localisation(one, **options) for name, one in tables.items()},
        }
        for name, chosen in choices.items():
            content["methods"][name]["chosen"] = {key: self._told(name, one) for key, one in chosen.items()}
        if GRADCAM in tables:
            content["methods"][GRADCAM]["of"] = self.rival_name
            content["factor_minus_gradcam"] = compare_localisation(tables[FACTOR], tables[GRADCAM], **options)
        write_atomically(self.directory / "localisation.json", json.dumps(content, indent=1, allow_nan=False).encode())
        for name, one in content["methods"].items():
            for finding, told in one["findings"].items():
                hits = told["measures"]["hit_25"]
                words = f"{hits['value']['value']}, chance {hits['chance']['value']}"
                logger.info("%s, %s: hit rate at IoU 0.25 %s", TITLES[name], finding, words)

    def _told(self, method: str, choice: Choice) -> dict[str, Any]:
        shown = self.shown[method][choice.variant]
        return {
            "quantile": choice.quantile,
            "stride_px": shown.stride,
            "validation_hit_25": choice.hit_rate,
            "validation_iou": choice.mean_iou,
        }

    def _maps(self, choices: Mapping[str, Mapping[str, Choice]]) -> None:
        for number, image in enumerate(self.images):
            arrays = {
                f"{method}_{name}": self.shown[method][choice.variant].maps[number][place]
                for method, chosen in choices.items()
                for place, (name, choice) in enumerate(chosen.items())
            }
            strides = {
                f"stride_{method}_{name}": np.asarray(self.shown[method][choice.variant].stride)
                for method, chosen in choices.items()
                for name, choice in chosen.items()
            }
            keep_maps(self._file(image, "maps", "npz"), arrays, image.matrix, **strides)

    def _figure(
        self,
        number: int,
        picture: NDArray[np.float32],
        units: Sequence[Units],
        choices: Mapping[str, Mapping[str, Choice]],
    ) -> None:
        image = self.images[number]
        rows = [
            AttributePanel(
                name,
                units[place],
                [self._layer(method, number, place, chosen[name]) for method, chosen in choices.items()],
                image.truth[place],
            )
            for place, name in enumerate(self.attributes)
        ]
        file = self._file(image, "figures", "png")
        title = f"{file.stem}: true boxes yellow, best predicted box blue; quantiles chosen on validation images"
        factor_figure(picture, image.mask, rows, file, title=title)

    def _layer(self, method: str, number: int, place: int, choice: Choice) -> Layer:
        shown = self.shown[method][choice.variant]
        boxes = found_boxes(self.images[number], shown, number, place, choice.quantile, **self.boxes)
        title = f"{TITLES[method]}\nscore {float(shown.scores[number][place]):.2f}"
        return Layer(title, shown.maps[number][place], shown.stride, boxes)

    def _file(self, image: LocatedImage, folder: str, ending: str) -> Path:
        key: ImageKey = image_key(image.known)
        return self.directory / folder / f"{self.names[key]}.{ending}"


def keep_maps(path: Path, arrays: Mapping[str, NDArray[np.float32]], matrix: NDArray[Any], **more: Any) -> None:
    """Maps of a case as a compressed file, with the way from the network's pixels to the original's."""
    content = io.BytesIO()
    named: dict[str, Any] = {name: values.astype(np.float16) for name, values in arrays.items()}
    np.savez_compressed(content, to_original=matrix, **named, **more)
    write_atomically(path, content.getvalue())


def _take(shown: MapsOfMethod, heat: Heat) -> None:
    shown.maps += list(heat.maps.float().cpu().numpy())
    shown.scores += list(torch.as_tensor(heat.scores).float().cpu().numpy())
