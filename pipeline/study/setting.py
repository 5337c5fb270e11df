"""What all runs of a study share: data, bundle, overlays, options; and how its stages are made of them."""

from __future__ import annotations

import hashlib
import json
import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...bundles import bundle_root
from ..datasets import Record, load_datalist
from ..datasets.labels import OneClassError, encode_labels, require_two_classes, task_sizes
from ..datasets.prepare import Preparation, prepare_images
from ..files import write_atomically
from ..run_folder import git_revision
from .runner import Outcomes, run_stages
from .stage import Stage, configure, read_configuration

__all__ = ["Setting"]

logger = logging.getLogger(__name__)

STAGES = ("pretrain*", "finetune", "evaluate", "explain")
"""Configurations of a bundle that studies run, as patterns of names."""


def _sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@dataclass(frozen=True)
class Setting:
    """What the runs of a study have in common.

    Attributes:
        dataset_dir: folder of the images.
        output_dir: receives the results, and the run folders in its folder ``runs``.
        datalist: the list; that of ``dataset_dir`` by default.
        cache_dir: folder of prepared images; ``output_dir/cache`` by default.
        bundle: name of the bundle.
        overlays: configurations laid over every stage.
        options: further overrides, given to the stages that know them.
        workers: stages at a time, one core each.
    """

    dataset_dir: Path
    output_dir: Path
    datalist: Path | None = None
    cache_dir: Path | None = None
    bundle: str = "swin_mim"
    overlays: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    workers: int = 1

    @property
    def stages(self) -> list[str]:
        """Names of the bundle's configurations that studies run."""
        folder = bundle_root(self.bundle) / "configs"
        return sorted(path.stem for pattern in STAGES for path in folder.glob(f"{pattern}.yaml"))

    @property
    def runs(self) -> Path:
        """Folder of the run folders."""
        return self.output_dir / "runs"

    @property
    def list_path(self) -> Path:
        """The datalist's file."""
        return self.datalist or self.dataset_dir / "datalist.json"

    @cached_property
    def data(self) -> str:
        """SHA-256 of the datalist."""
        return _sha256(self.list_path)

    @property
    def cache(self) -> Path:
        """Folder of prepared images."""
        return (self.cache_dir or self.output_dir / "cache").absolute()

    def check(self, reserved: Mapping[str, str], *, two_classes: bool = True) -> None:
        """Refuse what would fail, or mean nothing, after hours: options that no stage knows, sections of one class.

        Args:
            reserved: keys that the study sets itself, with the way to say so.
            two_classes: what the study measures is there for a first task of two classes alone.

        Raises:
            ValueError: naming the option; or the section whose labels of the first task are of one class.
        """
        known = {stage: self.keys(stage) for stage in self.stages}
        for name in self.options:
            top = name.replace("#", "::").split("::")[0]
            if top in reserved:
                raise ValueError(f"--{name} is set by the study itself: {reserved[top]}")
            if not any(top in keys for keys in known.values()):
                configure(self.bundle, "finetune", self.overlays, {name: self.options[name]})  # tells the nearest names
        name, classes = next(iter(task_sizes(self.default("finetune", "tasks")).items()))
        if two_classes and classes != 2:
            raise ValueError(
                f"a study compares the AUC of two classes; task {name!r} has {classes}: give --tasks of two, such as "
                "--overlay dense"
            )
        self._check_classes()

    def labelled(self, section: str) -> list[Record]:
        """The records of a section that a task labels, encoded, each with its ``label``."""
        if not self.list_path.is_file():
            raise ValueError(
                f"no datalist at {self.list_path}: give --dataset_dir of a dataset that `mammo prepare` has listed"
            )
        listed: Mapping[str, Any] = load_datalist(self.list_path, self.dataset_dir)
        records = encode_labels(listed.get(section, []), self.default("finetune", "tasks"))
        return [record for record in records if max(record["label"]) >= 0]

    def _check_classes(self) -> None:
        for section in ("training", "validation", "test"):
            try:
                require_two_classes(self.labelled(section), self.default("finetune", "tasks"), section)
            except OneClassError as error:
                if error.index == 0:
                    raise

    def stage(self, name: str, title: str, inputs: Mapping[str, Stage] | None = None, **overrides: Any) -> Stage:
        """A stage of this study; overrides that its configuration does not know are an error."""
        keys = self.keys(name)
        shared: dict[str, Any] = {
            "dataset_dir": str(self.dataset_dir.absolute()),
            "datalist": str(self.list_path.absolute()),
            "cache_dir": str(self.cache),
            "num_workers": 0,  # a process has one core: loading in others would take those of other stages
        }
        options = {key: value for key, value in self.options.items() if key.replace("#", "::").split("::")[0] in keys}
        configuration = configure(self.bundle, name, self.overlays, shared | options | overrides)
        data = _sha256(overrides["datalist"]) if "datalist" in overrides else self.data
        return Stage(self.bundle, name, configuration, dict(inputs or {}), data, title)

    def keys(self, stage: str) -> Mapping[str, Any]:
        """The configuration of a stage with the overlays, before overrides."""
        return read_configuration(self.bundle, stage, tuple(self.overlays))

    def default(self, stage: str, key: str) -> Any:
        """The value that a stage has without the study's doing."""
        return self.options.get(key, self.keys(stage)[key])

    @property
    def preparation(self) -> Preparation:
        """How the images are prepared for every stage."""
        stored = self.options.get("stored_size", self.keys("finetune").get("stored_size"))
        return Preparation(
            image_size=tuple(stored or self.default("finetune", "image_size")),
            resize=self.default("finetune", "resize"),
            background=self.default("finetune", "background"),
            margin_px=self.default("finetune", "margin_px"),
            gate=self.default("finetune", "gate"),
            workers=self.workers,
        )

    def prepare(self) -> None:
        """Prepare every image once, on all cores that the study has: stages side by side would each do it.

        ``prepared.json`` tells the next start that it is done; what is missing in spite of that, the stages prepare.
        """
        how = self.preparation
        done = self.output_dir / "prepared.json"
        content = {"datalist_sha256": self.data, "cache_dir": str(self.cache), "image_size": list(how.image_size)}
        content |= {name: getattr(how, name) for name in ("resize", "background", "margin_px", "gate")}
        if done.is_file() and json.loads(done.read_text()) == content and self.cache.is_dir():
            return
        listed = load_datalist(self.list_path, self.dataset_dir)
        prepare_images(listed, self.cache, how, self.output_dir / "datalist.json")
        write_atomically(done, json.dumps(content, indent=1).encode())

    def run(self, goals: Sequence[Stage]) -> Outcomes:
        """Run the stages, ``workers`` at a time; see :func:`run_stages`."""
        return run_stages(goals, self.runs, workers=self.workers)

    def provenance(self) -> dict[str, Any]:
        """What a reader needs to repeat the study."""
        return {
            "command": shlex.join(["mammo", *sys.argv[1:]]),
            "datalist_sha256": self.data,
            "git_revision": git_revision(),
            "overlays": [str(overlay) for overlay in self.overlays],
            "options": dict(self.options),
            "versions": {name: version(name) for name in ("torch", "monai", "numpy")},
        }
