"""One network under examination: its maps and its behaviour, row by row."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from ...networks import MammogramClassifier
from ..metrics import explanation_measures
from .faithfulness import centre_order, insertion_deletion
from .grid import tokens_to_image
from .interventions import erase_background, erase_breast, swap_background, swap_markers
from .maps import EXPENSIVE, Explainer, Measured, measure_maps
from .probability import first_task, in_batches
from .randomisation import randomise

MALIGNANT = 1
"""The class that is explained."""

SHARED = ("dataset", "image_id", "patient_id", "label", "probability")
"""What both tables say of an image."""

RIVALS = ("_random", "_centre")
"""Orders of pixels that know nothing of a lesion; see :meth:`Subject.examine`."""


@dataclass(frozen=True)
class Case:
    """A batch of images with what is known of them.

    Attributes:
        rows: what the tables say of each image, ``image_id``, ``patient_id``, ``label``, ``partner_image_id``, and
            ``dataset`` and ``partner_dataset`` where they are known.
        images: ``(B, 2, H, W)``, grey values and breast mask.
        partners: the same of another patient's image for each.
        paired: ``(B,)`` bool, whether there is a partner.
        lesions: ``(B, H, W)`` bool, false everywhere without a known lesion.
        sampled: ``(B,)`` bool, whether the expensive measures are taken.
    """

    rows: Sequence[Mapping[str, Any]]
    images: Tensor
    partners: Tensor
    paired: NDArray[np.bool_]
    lesions: NDArray[np.bool_]
    sampled: NDArray[np.bool_]


@dataclass
class Subject:
    """A network, and the tables that examining it fills.

    Args:
        network: the classifier.
        maps: kinds of map.
        stage: of the encoder, that attention and Grad-CAM are of.
        steps: of insertion and deletion.
        occlusion_passes: at most so many patches an image.
        batch: images in one forward pass without gradient.
        seed: of the random weights and of the random orders.

    Attributes:
        explanations: rows of ``explanations.csv``.
        behaviour: rows of ``behaviour.csv``.
    """

    network: MammogramClassifier
    maps: Sequence[str]
    stage: int = 4
    steps: int = 10
    occlusion_passes: int = 64
    batch: int = 32
    seed: int = 0
    explanations: list[dict[str, Any]] = field(default_factory=list)
    behaviour: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        options: dict[str, Any] = {"maps": self.maps, "target_class": MALIGNANT, "stage": self.stage}
        options |= {"occlusion_passes": self.occlusion_passes, "batch": self.batch}
        other = copy.deepcopy(self.network)  # before the explainer's hooks are on the network
        self.network.eval()
        self.probabilities = first_task(self.network)
        self.explainer = Explainer(self.network, **options)
        self.random_explainer = Explainer(other, **options)  # its weights are drawn anew for every image
        self.generator = torch.Generator().manual_seed(self.seed)

    def examine(self, case: Case) -> None:
        """Add the rows of a batch."""
        behaviour = self._behave(case)
        self.behaviour += behaviour
        cheap = [kind for kind in self.explainer.maps if kind not in EXPENSIVE]
        maps = self.explainer(case.images, cheap)
        measured = measure_maps(self.explainer, maps, case.images, case.lesions)
        chosen = np.flatnonzero(case.sampled)
        extra = self._expensive(case, maps, chosen) if len(chosen) else {}
        for index, row in enumerate(behaviour):
            shared = {name: row[name] for name in SHARED if name in row}
            place = int(np.searchsorted(chosen, index)) if case.sampled[index] else None
            for kind in self.explainer.maps:
                found = {name: float(values[index]) for name, values in measured.get(kind, {}).items()}
                if place is not None:
                    found |= {name: float(values[place]) for name, values in extra[kind].items()}
                if found:
                    self.explanations.append(shared | {"map": str(kind)} | found)

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """``explanations.csv`` and ``behaviour.csv``."""
        return pd.DataFrame(self.explanations), pd.DataFrame(self.behaviour)

    def _behave(self, case: Case) -> list[dict[str, Any]]:
        """Probability of malignancy of each image as it is and tampered with, in as few forward passes as fit."""
        images, partners = case.images, case.partners
        swapped, any_marker = swap_markers(images, partners)
        variants = {
            "": images,
            "_breast_erased": erase_breast(images),
            "_background_erased": erase_background(images),
            "_marker_swapped": swapped,
            "_background_swapped": swap_background(images, partners),
        }
        scores = in_batches(self.probabilities, torch.cat(list(variants.values())), self.batch)[:, MALIGNANT]
        by_variant = scores.double().cpu().reshape(len(variants), len(images)).numpy()
        columns = {f"probability{variant}": values for variant, values in zip(variants, by_variant, strict=True)}
        columns["probability_background_swapped"][~case.paired] = np.nan
        columns["probability_marker_swapped"][~(case.paired & any_marker.cpu().numpy())] = np.nan
        return [
            {**row, **{name: float(values[index]) for name, values in columns.items()}}
            for index, row in enumerate(case.rows)
        ]

    def _expensive(self, case: Case, maps: Mapping[str, Tensor], chosen: NDArray[np.intp]) -> Measured:
        """Measures of the sampled images of a batch, by kind of map."""
        images, lesions = case.images[chosen], case.lesions[chosen]
        maps = {kind: values[chosen] for kind, values in maps.items()}
        costly = self.explainer(images, [kind for kind in self.explainer.maps if kind in EXPENSIVE])
        maps |= costly
        measured = measure_maps(self.explainer, costly, images, lesions)
        breast = images[:, 1].cpu().numpy()
        for kind, values in self._explain_at_random(images).items():
            of_random = explanation_measures(values, breast, lesions)
            measured.setdefault(kind, {})["randomised_pointing_hit"] = of_random["pointing_hit"]
            measured[kind]["randomised_correlation"] = rank_correlation(maps[kind], values)
        labels = np.array([case.rows[index]["label"] for index in chosen])
        for kind, found in self._faithfulness(images, maps, labels == MALIGNANT).items():
            measured[kind] |= found
        return measured

    def _explain_at_random(self, images: Tensor) -> dict[str, Tensor]:
        """Maps of networks with random weights, another one for each image: a single one would be a single draw."""
        single = []
        for image in images:
            randomise(self.random_explainer.network, int(torch.randint(2**31, (1,), generator=self.generator)))
            single.append(self.random_explainer(image[None]))
        return {kind: torch.cat([maps[kind] for maps in single]) for kind in single[0]}

    def _faithfulness(self, images: Tensor, maps: Mapping[str, Tensor], malignant: NDArray[np.bool_]) -> Measured:
        """Insertion and deletion of the malignant images, beside a random order and that from the breast's centre."""
        names, count = ("insertion", "deletion"), len(maps)
        scores = np.full((len(names), count + len(RIVALS), len(images)), np.nan)
        for index in np.flatnonzero(malignant):
            image = images[index]
            orders = torch.stack([*(values[index] for values in maps.values()), *self._rivals(image)])
            areas = insertion_deletion(
                self.probabilities, image, orders, steps=self.steps, batch=self.batch, generator=self.generator
            )
            scores[..., index] = torch.stack([areas.insertion, areas.deletion]).cpu()
            blank = (orders.amax(dim=(1, 2)) <= orders.amin(dim=(1, 2))).cpu().numpy()
            scores[:, blank, index] = np.nan
        rivals = {
            f"{name}{rival}": scores[n, count + r] for n, name in enumerate(names) for r, rival in enumerate(RIVALS)
        }
        return {kind: dict(zip(names, scores[:, place], strict=True)) | rivals for place, kind in enumerate(maps)}

    def _rivals(self, image: Tensor) -> list[Tensor]:
        """Two orders that know nothing of a lesion: random tokens, as smooth as a map, and the breast's centre."""
        size = image.shape[1:]
        token = self.network.encoder.map_strides[self.stage - 1]
        tokens = torch.rand(1, 1, *(-(-side // token) for side in size), generator=self.generator)
        return [tokens_to_image(tokens, size, token)[0, 0].to(image.device), centre_order(image[1])]


def rank_correlation(a: Tensor, b: Tensor) -> NDArray[np.float64]:
    """Spearman's rank correlation ``(B,)`` of maps ``(B, H, W)``.

    Where ``b`` is constant it shares nothing with ``a``: 0. Where ``a`` is, nothing can be shared: NaN.
    """
    ranks = [rankdata(values.flatten(1).double().cpu().numpy(), axis=1) for values in (a, b)]
    first, second = (values - values.mean(axis=1, keepdims=True) for values in ranks)
    varied = [(values != 0).any(axis=1) for values in (first, second)]
    spread = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    shared = (first * second).sum(axis=1)
    correlation = np.divide(shared, spread, out=np.zeros(len(shared)), where=varied[0] & varied[1])
    return np.where(varied[0], correlation, np.nan)
