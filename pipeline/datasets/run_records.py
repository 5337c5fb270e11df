"""The records of a run: checked for leaks, labelled, thinned out, prepared and rid of unusable images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import ignite.distributed as idist
from torch import Tensor

from ...networks.losses import class_weights
from .labels import UNKNOWN, OneClassError, Tasks, encode_labels, require_two_classes
from .records import Record, check_leaks, load_datalist
from .scan import ScanResult, save_quarantine, scan
from .schema import SECTIONS
from .splits import label_fraction

__all__ = ["RunRecords"]

logger = logging.getLogger(__name__)


class RunRecords(Mapping[str, list[Record]]):
    """A mapping of section names to the records that a run uses.

    Making it does the work: the datalist is read and checked, images are prepared into ``cache_dir``, and
    those that cannot be used are written to ``output_dir/quarantine.csv`` and counted in the log. Under
    torchrun the first process prepares and the others find the work done.

    Args:
        datalist: the JSON file.
        root: the folder its paths are relative to; None takes the datalist's own, else its folder.
        sections: which of training, validation and test.
        tasks: see :func:`resolve_tasks`; None for a run without labels, whose training uses all images.
        label_percentage: share of the labelled training patients to use, see :func:`label_fraction`.
        keep_unlabelled: keep the other training images too, all labels of theirs -1: those outside the share and
            those that no task labels.
        cases: ``"all"``, or the ``image_id`` of the cases to keep.
        seed: of the share.
        transform: transforms to prepare with.
        cache_dir: where prepared images are kept; None keeps nothing.
        force_recompute: prepare again what ``cache_dir`` holds.
        workers: images prepared at a time.
        output_dir: the run folder.
        gate: policy of the input gate, see :class:`~mammo.pipeline.gate.GatePolicy`; what it refuses is set aside.
        optional: those of the sections that may be without images, such as the validation of a cold external test.
        two_classes_in: sections, as far as they are asked for, whose labels of the first task must not be of one
            class: without two, nothing is learnt and no AUC chooses the best epoch.

    Raises:
        ValueError: for a datalist that leaks, a section without usable images that is not optional, an unknown case,
            or labels of one class in a section of ``two_classes_in``.
    """

    def __init__(
        self,
        datalist: str | Path,
        *,
        sections: Sequence[str],
        transform: Sequence[Callable[..., Any]] | Callable[..., Any],
        output_dir: str | Path,
        root: str | Path | None = None,
        tasks: Tasks | None = None,
        label_percentage: float = 100,
        keep_unlabelled: bool = False,
        cases: str | Sequence[str] = "all",
        seed: int = 0,
        cache_dir: str | Path | None = None,
        force_recompute: bool = False,
        workers: int = 1,
        gate: str = "training",
        optional: Sequence[str] = (),
        two_classes_in: Sequence[str] = ("training",),
    ) -> None:
        content = load_datalist(datalist, root)
        self.leaks = check_leaks(content)
        if self.leaks:
            logger.warning("known leak %s: %s", content.get("known_leak"), ", ".join(self.leaks))
        self.tasks = tasks
        listed: Mapping[str, Any] = content
        self._sections: dict[str, list[Record]] = {name: listed.get(name, []) for name in sections}
        if tasks is not None:
            self._sections = {name: encode_labels(records, tasks) for name, records in self._sections.items()}
            self._take_labels(label_percentage, seed, keep_unlabelled)
        if not isinstance(cases, str) or cases != "all":
            self._take_cases([cases] if isinstance(cases, str) else cases)
        for name, records in self._sections.items():
            if not records and name not in optional:
                raise ValueError(f"{datalist}: no usable image in {name!r}: {_why_empty(content, name, tasks)}")
        self.scan = self._prepare(transform, cache_dir, force_recompute, workers, Path(output_dir), gate)
        for name, records in self._sections.items():
            if not records and name not in optional:
                where = Path(output_dir, "quarantine.csv")
                raise ValueError(f"{datalist}: no usable image in {name!r}: all were set aside, {where} says why")
        if tasks is not None:
            for name in two_classes_in:
                self._require_classes(name, tasks)

    def __getitem__(self, section: str) -> list[Record]:
        if section not in self._sections:
            raise KeyError(f"{section!r} is not among the sections asked for: {', '.join(self._sections)}")
        return self._sections[section]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sections)

    def __len__(self) -> int:
        return len(self._sections)

    def class_weights(self, classes: Mapping[str, int]) -> dict[str, Tensor]:
        """Weights ``N / (K N_c)`` of each task from the training labels in use.

        A task of one class in these labels is left out: there is nothing to balance.

        Args:
            classes: class counts as :func:`task_sizes` gives them.
        """
        known = {
            name: [label for record in self["training"] if (label := record["label"][index]) >= 0]
            for index, name in enumerate(classes)
        }
        return {name: class_weights(labels, classes[name]) for name, labels in known.items() if len(set(labels)) > 1}

    def sampling_weights(self, labelled_share: float) -> list[float]:
        """How often each training image is drawn, so that labelled ones make up a share of the draws on average.

        Args:
            labelled_share: in (0, 1]; 1 draws labelled images only.

        Returns:
            Weights for :class:`torch.utils.data.WeightedRandomSampler`, alike for all where all are labelled.

        Raises:
            ValueError: for a share out of range.
        """
        if not 0 < labelled_share <= 1:
            raise ValueError(f"labelled_share must be above 0 and at most 1, got {labelled_share}")
        labelled = [max(record["label"]) >= 0 for record in self["training"]]
        known = sum(labelled)
        if known == len(labelled):
            return [1.0] * known
        return [labelled_share / known if one else (1 - labelled_share) / (len(labelled) - known) for one in labelled]

    def _take_labels(self, percentage: float, seed: int, keep_unlabelled: bool) -> None:
        """Drop images that no task labels, then thin out the training patients; or keep both without labels."""
        everything = self._sections.get("training", [])
        for name, records in self._sections.items():
            self._sections[name] = [record for record in records if max(record["label"]) >= 0]
        if "training" in self._sections:
            # What is validated during training is the first task: of the other images there is nothing to score.
            validated = self._sections.get("validation", [])
            validated[:] = [record for record in validated if record["label"][0] >= 0]
            self._sections["training"] = label_fraction(self._sections["training"], percentage, seed)
            if keep_unlabelled:
                self._sections["training"] = _without_other_labels(everything, self._sections["training"])

    def _require_classes(self, section: str, tasks: Tasks) -> None:
        """Refuse a first task of one class; of the others, which only help, say so."""
        if section not in self._sections:
            return
        try:
            require_two_classes(self._sections[section], tasks, section)
        except OneClassError as error:
            if error.index == 0:
                raise
            logger.warning("%s; the task does not count in this run", error)

    def _take_cases(self, cases: Sequence[str]) -> None:
        wanted = set(cases)
        known = {record["image_id"] for records in self._sections.values() for record in records}
        if wanted - known:
            names = ", ".join(sorted(wanted - known))
            raise ValueError(f"no image {names} in {' or '.join(self._sections)}; image ids are those of the datalist")
        self._sections = {
            name: [record for record in records if record["image_id"] in wanted]
            for name, records in self._sections.items()
        }

    def _prepare(
        self,
        transform: Sequence[Callable[..., Any]] | Callable[..., Any],
        cache_dir: str | Path | None,
        force_recompute: bool,
        workers: int,
        output_dir: Path,
        gate: str,
    ) -> ScanResult:
        first = idist.get_rank() == 0
        records = [record for section in self._sections.values() for record in section]
        with idist.one_rank_first():
            result = scan(
                records,
                transform,
                cache_dir,
                workers,
                policy=gate,
                force_recompute=force_recompute and first,
                progress=first,
            )
            if first and result.quarantine:
                save_quarantine(result.quarantine, output_dir / "quarantine.csv")
            elif first:  # an earlier run in this folder may have left one
                (output_dir / "quarantine.csv").unlink(missing_ok=True)
        if first:
            logger.info(result.summary())
        usable = {(record["dataset"], record["image_id"]) for record in result.usable}
        for name, section in self._sections.items():
            self._sections[name] = [record for record in section if (record["dataset"], record["image_id"]) in usable]
        return result


def _without_other_labels(records: Sequence[Record], labelled: Sequence[Record]) -> list[Record]:
    """All records, in order; those that are not among ``labelled`` lose their labels."""
    kept = {(record["dataset"], record["image_id"]) for record in labelled}
    return [
        record
        if (record["dataset"], record["image_id"]) in kept
        else cast(Record, {**record, "label": [UNKNOWN] * len(record["label"])})
        for record in records
    ]


def _why_empty(content: Mapping[str, Any], section: str, tasks: Tasks | None) -> str:
    """Why no record of a section is left before any image was read, and what to do."""
    if content.get(section) and tasks is not None:
        return f"none of its {len(content[section])} images has a label of {', '.join(tasks)}; choose other --tasks"
    there = ", ".join(f"{name} ({len(content[name])})" for name in SECTIONS if content.get(name))
    return f"the list has only {there or 'empty parts'}; split it anew, or name a --section where the stage has it"
