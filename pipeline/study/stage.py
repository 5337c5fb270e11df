"""One stage of a bundle with everything that decides its result, and a hash of that."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from ..bundle_run import check_overrides
from ..stage_options import config_files

__all__ = ["Stage", "configure", "in_order", "read_configuration"]

WHERE = frozenset(
    {"bundle_root", "cache_dir", "dataset_dir", "datalist", "force_recompute", "num_workers", "output_dir", "resume"}
)
"""Keys that say where and how a stage works, and not what it computes: they are no part of its hash."""

BEST = "checkpoints/best.pt"
"""What a later stage takes of a training: the weights at the best validation."""


@dataclass(frozen=True, eq=False)
class Stage:
    """A stage of a bundle.

    Attributes:
        bundle: its name.
        name: the stage, such as ``"finetune"``.
        configuration: the merged configuration, unresolved; overlays and overrides are in it.
        inputs: by key of the configuration, the earlier stage whose best weights it takes.
        data: SHA-256 of the datalist.
        title: what people read; two stages that differ in nothing else are one.
    """

    bundle: str
    name: str
    configuration: Mapping[str, Any]
    inputs: Mapping[str, Stage] = field(default_factory=dict)
    data: str = ""
    title: str = ""

    @cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits: equal for stages that must give the same result."""
        kept = {key: value for key, value in self.configuration.items() if key not in WHERE and key not in self.inputs}
        files = {key: _file_hash(value) for key, value in kept.items() if _is_weights(value)}
        content = {
            "bundle": self.bundle,
            "stage": self.name,
            "configuration": kept | files,
            "inputs": {key: stage.digest for key, stage in self.inputs.items()},
            "data": self.data,
        }
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def folder(self, runs: Path) -> Path:
        """Its run folder in the folder of all runs."""
        return runs / f"{self.name}-{self.digest}"

    def resolved(self, runs: Path) -> dict[str, Any]:
        """The configuration to run: inputs and output in ``runs``, going on where an earlier attempt stopped."""
        found = dict(self.configuration)
        found |= {key: str(stage.folder(runs) / BEST) for key, stage in self.inputs.items()}
        found["output_dir"] = str(self.folder(runs))
        if "resume" in found:
            found["resume"] = True
        return found


def configure(bundle: str, name: str, overlays: Sequence[str | Path], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The merged configuration of a stage.

    Raises:
        ValueError: for an overlay or an override that the bundle does not know.
    """
    parser = ConfigParser(read_configuration(bundle, name, tuple(overlays)))
    for key, value in check_overrides(overrides, parser.get()).items():
        parser[key] = value
    merged: dict[str, Any] = parser.get()
    return {key: value for key, value in merged.items() if key != "_meta_"}


def read_configuration(bundle: str, name: str, overlays: tuple[str | Path, ...] = ()) -> dict[str, Any]:
    """A stage's configuration with overlays, before overrides; a copy of its own for each caller."""
    return copy.deepcopy(_read(bundle, name, overlays))


@lru_cache(maxsize=64)
def _read(bundle: str, name: str, overlays: tuple[str | Path, ...]) -> dict[str, Any]:
    files = config_files(bundle, name, overlays)
    content: dict[str, Any] = ConfigParser.load_config_files([str(file) for file in files])
    return content


def in_order(goals: Iterable[Stage]) -> list[Stage]:
    """All stages that the goals need, themselves included: inputs first, equal stages once."""
    found: dict[str, Stage] = {}

    def add(stage: Stage) -> None:
        if stage.digest not in found:
            for needed in stage.inputs.values():
                add(needed)
            found[stage.digest] = stage

    for goal in goals:
        add(goal)
    return list(found.values())


def _is_weights(value: Any) -> bool:
    return isinstance(value, str) and value.endswith((".pt", ".safetensors")) and Path(value).is_file()


def _file_hash(path: str) -> str:
    return _hash_of(path, Path(path).stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _hash_of(path: str, modified: int) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
