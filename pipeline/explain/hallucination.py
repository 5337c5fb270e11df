"""The hallucination report of an evaluation: does the classifier look at the lesion, at the breast, or elsewhere?"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from torch.utils.data import DataLoader, Subset

from ...networks import MammogramClassifier, load_network
from ..datasets.labels import Tasks, resolve_tasks
from ..files import write_atomically
from ..handlers import write_table
from ..metrics import RESEARCH_USE, ThresholdRule, choose_threshold
from ..metrics.behaviour import summarise_behaviour
from ..metrics.explanation_summary import summarise_explanations
from .cases import PairedCases
from .maps import DEFAULT_MAPS, MapKind
from .probability import first_task
from .subject import MALIGNANT, Subject

logger = logging.getLogger(__name__)


class HallucinationReport:
    """Measure the explanations and the behaviour of a classifier on its test images.

    Leaves ``explanations.csv`` (a row an image and map), ``behaviour.csv`` (a row an image) and
    ``explanations.json`` (every measure with its chance and interval) in the run folder, those of the twin in its
    folder ``twin``.

    Maps are scored as they come, never multiplied by the breast mask. The class explained is the malignant one.

    Args:
        directory: the run folder of an evaluation.
        network: the classifier.
        tasks: of the run; class 1 of the first one, of two, must be malignancy.
        task: the one that the evaluation scores, which must be the first; None: the first.
        dataset: of the evaluation: items with ``image``, ``label`` and ``to_original``, ``data`` with the records,
            whose ``split`` is validation or test.
        root: folder that the records' paths are relative to.
        twin: checkpoint of the same network, meant to be trained alike but without regularisation (beta, gamma and
            contrast weight 0), which is not checked; every measure is then given of both, and as paired difference.
            None: no twin.
        maps: kinds of map that are compared.
        stage: of the encoder, that attention and Grad-CAM are of.
        faithfulness_images: the expensive measures (occlusion, insertion and deletion, random weights) are taken of so
            many images, chosen by ``seed``, half of them malignant.
        faithfulness_steps: steps of insertion and deletion.
        occlusion_passes: at most so many patches of an image are occluded.
        batch_size: images a batch; of tampered images, which need no gradient, eight times as many.
        num_workers: that load images.
        device: of the network.
        draws: bootstrap draws of patients.
        seed: of the pairs, the sample, the random weights and the bootstrap.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        network: MammogramClassifier,
        tasks: Tasks,
        task: str | None = None,
        dataset: Any,
        root: str | Path,
        twin: str | Path | None = None,
        maps: Sequence[str] = (*DEFAULT_MAPS, MapKind.GRADCAM_PLUS_PLUS, MapKind.OCCLUSION),
        stage: int = 4,
        faithfulness_images: int = 64,
        faithfulness_steps: int = 10,
        occlusion_passes: int = 64,
        batch_size: int = 4,
        num_workers: int = 0,
        device: torch.device | str = "cpu",
        draws: int = 2000,
        seed: int = 0,
    ) -> None:
        self.directory = Path(directory)
        self.network = network
        self.task = resolve_tasks(tasks)[0]
        self.evaluated = self.task.name if task is None else task
        self.dataset = dataset
        self.root = Path(root)
        self.twin = None if twin is None else Path(twin)
        self.sample = faithfulness_images
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.device = device
        self.statistics: dict[str, int] = {"draws": draws, "seed": seed}
        self.options: dict[str, Any] = {
            "maps": [str(kind) for kind in maps],
            "stage": stage,
            "steps": faithfulness_steps,
            "occlusion_passes": occlusion_passes,
            "batch": 8 * batch_size,
            "seed": seed,
        }

    def run(self) -> dict[str, Any] | None:
        """Examine, write and return what ``explanations.json`` holds; None on all processes but the first.

        Raises:
            ValueError: as :meth:`check` raises it, or the twin is of another architecture.
        """
        if idist.get_rank() != 0:
            return None
        self.check()
        networks = {"model": self.network}
        if self.twin is not None:
            networks["twin"] = load_network(copy.deepcopy(self.network), self.twin)
        thresholds = {name: self._threshold(network) for name, network in networks.items()}
        subjects = {name: Subject(network, **self.options) for name, network in networks.items()}
        seed = self.statistics["seed"]
        cases = PairedCases(self.dataset, self._split("test"), root=self.root, seed=seed, sample=self.sample)
        for number, case in enumerate(cases.batches(self.batch_size, self.num_workers, self.device), start=1):
            for subject in subjects.values():
                subject.examine(case)
            if number % LOG_EVERY == 0:
                logger.info("%d of %d images explained", number * self.batch_size, len(cases))
        summary = self._summary(subjects, thresholds, cases)
        self._write(subjects, summary)
        return summary

    def check(self) -> None:
        """Refuse what this report cannot be made of, before anything is evaluated.

        Raises:
            ValueError: another task than the first is evaluated, the first is no decision between malignant and not,
                or there is no test image.
        """
        name, classes = self.task.name, self.task.classes
        if self.evaluated != name:
            raise ValueError(
                f"explanations: they are of the first task, {name}, and not of {self.evaluated}; evaluate that one "
                "without --explanations true, into a folder of its own"
            )
        if len(classes) != 2 or classes[1] != ("MALIGNANT",):
            second = " or ".join(map(str, classes[1]))
            found = f"{second} for class 1" if len(classes) == 2 else f"{len(classes)} classes"
            raise ValueError(
                f"explanations: the task {name} has {found}; this report measures a decision between two, of which 1 "
                "is malignant. Evaluate without --explanations true; mammo explain draws the maps of any task"
            )
        if not self._split("test"):
            raise ValueError("explanations: there is no test image to explain; evaluate a datalist with a test section")

    def _split(self, name: str) -> list[int]:
        return [index for index, record in enumerate(self.dataset.data) if record.get("split") == name]

    def _threshold(self, network: MammogramClassifier) -> float | None:
        """Youden's threshold of a network on the validation images; None where one class is missing."""
        indices = self._split("validation")
        labels = np.array([int(self.dataset.data[index]["label"][0]) for index in indices])
        known = [index for index, label in zip(indices, labels, strict=True) if label >= 0]
        if set(labels[labels >= 0].tolist()) != {0, 1}:
            return None
        loader = DataLoader(Subset(self.dataset, known), batch_size=8 * self.batch_size, num_workers=self.num_workers)
        probabilities = first_task(network.eval())
        scores = torch.cat([probabilities(batch["image"].to(self.device))[:, MALIGNANT].cpu() for batch in loader])
        return choose_threshold(labels[labels >= 0], scores.numpy(), ThresholdRule.YOUDEN)

    def _summary(
        self, subjects: Mapping[str, Subject], thresholds: Mapping[str, float | None], cases: PairedCases
    ) -> dict[str, Any]:
        explanations, behaviour = subjects["model"].tables()
        options: dict[str, Any] = {**self.statistics, "threshold": thresholds["model"]}
        rivals = None
        if "twin" in subjects:
            rivals = subjects["twin"].tables()
            options["twin_threshold"] = thresholds["twin"]
        maps = summarise_explanations(explanations, **options, twin=None if rivals is None else rivals[0])
        return {
            "notice": RESEARCH_USE,
            "threshold": {"value": thresholds["model"], "rule": "youden", "chosen_on": "validation"},
            "twin": None if rivals is None else {"checkpoint": str(self.twin), "threshold": thresholds["twin"]},
            "expensive": self._sample(cases),
            "behaviour": summarise_behaviour(behaviour, **options, twin=None if rivals is None else rivals[1]),
            **maps,
        }

    def _sample(self, cases: PairedCases) -> dict[str, Any]:
        """What the expensive measures were taken of."""
        labels = np.array([cases.row(index)["label"] for index in range(len(cases))])
        return {
            "images": int(cases.sampled.sum()),
            "malignant": int((cases.sampled & (labels == MALIGNANT)).sum()),
            "of_images": len(cases),
            "seed": self.statistics["seed"],
            "steps": self.options["steps"],
            "occlusion_passes": self.options["occlusion_passes"],
        }

    def _write(self, subjects: Mapping[str, Subject], summary: Mapping[str, Any]) -> None:
        folders = {"model": self.directory, "twin": self.directory / "twin"}
        for name, subject in subjects.items():
            explanations, behaviour = subject.tables()
            write_table(explanations, folders[name] / "explanations.csv")
            write_table(behaviour, folders[name] / "behaviour.csv")
        path = self.directory / "explanations.json"
        write_atomically(path, json.dumps(summary, indent=1, allow_nan=False).encode())
        logger.info("%s written", path)


LOG_EVERY = 25
"""Batches between two lines of the log."""
