"""Two images of one breast and its report, as multi-view image-text learning takes them (arXiv:2405.12255)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from ignite.engine import Events
from monai.data import Dataset
from monai.engines import Workflow
from monai.transforms import Randomizable
from torch.utils.data import Dataset as TorchDataset

from ..random_streams import stream_seed

__all__ = ["Breast", "BreastPairs", "BreastTexts", "breast_id", "group_breasts", "report_texts"]

logger = logging.getLogger(__name__)

VIEWS = ("CC", "MLO")


class BreastTexts(NamedTuple):
    """What is written of a breast.

    Attributes:
        texts: its report in parts, each once.
        augmented: another wording of each, or nothing.
        facts: what a sentence says, where others say the same in other words; every other sentence says itself.
        implied: facts that other sentences say which are true of the breast as well.
    """

    texts: list[str]
    augmented: list[str]
    facts: Mapping[str, str] = MappingProxyType({})
    implied: Sequence[str] = ()


TextSource = Callable[[Sequence[Mapping[str, Any]], "np.random.Generator | None"], BreastTexts]
"""From the records of the two images of a pair, in the order of the data, and a generator, which is None where nothing
may be random, to the texts of the pair."""


@dataclass(frozen=True)
class Breast:
    """The images of one breast in one study.

    Attributes:
        breast_id: see :func:`breast_id`.
        patient_id: whose it is.
        laterality: L or R.
        views: places of the images among the records, by view; CC first, views without an image left out.
    """

    breast_id: str
    patient_id: str
    laterality: str
    views: dict[str, list[int]] = field(default_factory=dict)


def breast_id(record: Mapping[str, Any]) -> str:
    """One name for all images of a breast in a study: dataset, patient, study where there is one, and side.

    Raises:
        KeyError: for a record without side.
    """
    parts = (record["dataset"], record["patient_id"], record.get("study_id", ""), record["laterality"])
    return "/".join(filter(None, parts))


def group_breasts(records: Sequence[Mapping[str, Any]]) -> list[Breast]:
    """The breasts of some records in the order of their first image; other views than CC and MLO, and images without
    a side, are of no breast.
    """
    breasts: dict[str, Breast] = {}
    for index, record in enumerate(records):
        if record.get("view") not in VIEWS or "laterality" not in record:
            continue
        name = breast_id(record)
        breast = breasts.setdefault(name, Breast(name, record["patient_id"], record["laterality"]))
        breast.views.setdefault(record["view"], []).append(index)
    return [
        Breast(one.breast_id, one.patient_id, one.laterality, {v: one.views[v] for v in VIEWS if v in one.views})
        for one in breasts.values()
    ]


def report_texts(records: Sequence[Mapping[str, Any]], rng: np.random.Generator | None = None) -> BreastTexts:
    """What the records tell: their ``texts``, or where there are none their ``report``, each text once.

    Rewordings (``augmented_texts``) are given where every text has one. The generator is not used.

    Raises:
        ValueError: for a record with rewordings that are not as many as its texts.
    """
    paired: dict[str, str] = {}
    for record in records:
        texts = record.get("texts") or [report for report in (record.get("report"),) if report]
        augmented = record.get("augmented_texts") or [""] * len(texts)
        if len(augmented) != len(texts):
            raise ValueError(
                f"{record['image_id']}: {len(augmented)} augmented_texts for {len(texts)} texts; give one for each"
            )
        for text, other in zip(texts, augmented, strict=True):
            paired[text] = paired.get(text) or other
    return BreastTexts(list(paired), list(paired.values()) if all(paired.values()) else [])


class BreastPairs(TorchDataset[dict[str, Any]]):
    """A dataset of one item per breast and study: two of its images, and what its report says.

    In training the views come in random order and of each a random image; of a breast with one view only, two
    different images, or the same one twice. Everything that is drawn, augmentation included, follows from ``seed``, the
    epoch and the index alone: not from the number of workers, and a resumed run draws what an uninterrupted one does.
    The object follows the epochs of an engine that it is attached to (list it among the handlers); worker processes
    must not outlive an epoch (``persistent_workers=False``, the default). Without ``training`` nothing is drawn: always
    the first image of CC, then of MLO, or of the only view twice.

    An item holds the image and the other image under each key and ``other_`` before it, each through the transforms of
    ``images`` with random numbers of its own; ``texts`` and ``augmented_texts`` (lists, perhaps of other lengths in
    each item), ``facts`` and ``implied``, see :class:`BreastTexts`; ``patient_id``, ``laterality`` and ``breast_id``.

    Args:
        images: the dataset of the images, such as :class:`~mammo.pipeline.datasets.PreparedDataset`: its ``data`` are
            records, its items mappings. Prepared images are taken from its store.
        keys: what to take of the items of both images.
        texts: what tells the texts of a pair. Images of which it tells nothing are left out: by default those
            without a report.
        training: draw, instead of taking the first.
        seed: of what is drawn.

    Raises:
        ValueError: without a breast, or for no key.
    """

    def __init__(
        self,
        images: Dataset,
        *,
        keys: Sequence[str] = ("image",),
        texts: TextSource = report_texts,
        training: bool = True,
        seed: int = 0,
    ) -> None:
        if isinstance(keys, str) or not keys:
            raise ValueError(f"keys must be a list of names such as ['image'], got {keys!r}")
        self.images = images
        self.keys = tuple(keys)
        self.texts = texts
        self.training = training
        self.seed = seed
        self.epoch = 0
        records: Sequence[Mapping[str, Any]] = images.data
        # Records that cannot be paired keep their place: breasts know images by it.
        told = [record if any(texts([record], None).texts) else {} for record in records]
        self.breasts = group_breasts(told)
        used = sum(len(places) for breast in self.breasts for places in breast.views.values())
        logger.info("%d breasts from %d of %d images", len(self.breasts), used, len(records))
        if not self.breasts:
            raise ValueError(
                f"none of {len(records)} images can be paired; records need laterality, view CC or MLO, and a report"
                + ("" if texts is report_texts else ", findings or looked_for")
            )

    def __len__(self) -> int:
        return len(self.breasts)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"breast {index} of {len(self)}")
        index %= len(self)
        breast = self.breasts[index]
        rng = np.random.default_rng([self.seed, self.epoch, index]) if self.training else None
        places = _pair(list(breast.views.values()), rng)
        item: dict[str, Any] = {}
        for slot, (place, prefix) in enumerate(zip(places, ("", "other_"), strict=True)):
            image = self._image(place, index, slot)
            item |= {f"{prefix}{key}": image[key] for key in self.keys}
        shown = [self.images.data[place] for place in sorted(set(places))]
        texts = self.texts(shown, rng)
        return item | {
            "texts": texts.texts,
            "augmented_texts": texts.augmented,
            "facts": dict(texts.facts),
            "implied": list(texts.implied),
            "patient_id": breast.patient_id,
            "laterality": breast.laterality,
            "breast_id": breast.breast_id,
        }

    def start_epoch(self, epoch: int) -> None:
        """Draw as epoch ``epoch`` does."""
        self.epoch = epoch

    def attach(self, engine: Workflow) -> None:
        """Follow the epochs of ``engine``."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda e: self.start_epoch(e.state.epoch))

    def _image(self, place: int, index: int, slot: int) -> Mapping[str, Any]:
        """One image through its transforms, whose generators start from the epoch, the breast and the slot."""
        if isinstance(self.images.transform, Randomizable):
            epoch = self.epoch if self.training else 0
            self.images.transform.set_random_state(seed=stream_seed(self.seed, epoch, index, slot))
        image: Mapping[str, Any] = self.images[place]
        return image


def _pair(views: Sequence[Sequence[int]], rng: np.random.Generator | None) -> tuple[int, int]:
    """Places of the two images: of two views one each, else two of the only view."""
    if rng is None:
        return views[0][0], views[-1][0]
    if len(views) == 2:
        first, second = (int(rng.choice(places)) for places in (views[k] for k in rng.permutation(2)))
        return first, second
    if len(views[0]) > 1:
        first, second = map(int, rng.choice(views[0], size=2, replace=False))
        return first, second
    return views[0][0], views[0][0]
