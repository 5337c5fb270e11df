"""Options of a bundle's stages as its configurations tell them: names, defaults, and the comments beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ..bundles import bundle_root

__all__ = [
    "HIDDEN",
    "Option",
    "config_files",
    "configurations",
    "file_options",
    "is_stage",
    "meanings",
    "overlay_names",
    "stage_options",
]

KEY = re.compile(r"^(?P<name>[a-z]\w*):(?: +(?P<value>[^#\s].*?))?(?:\s+# *(?P<comment>.*))?$")
HIDDEN = ("imports", "bundle_root")
COMMON = {
    "datalist": "the list of images, as `mammo prepare` writes it",
    "output_dir": "folder of the run",
    "output_file": "the table to write",
    "checkpoint": "weights of the run that is used",
    "image_std": "grey values less `image_mean` are divided by it",
    "batch_size": "images a step, of each process",
    "num_workers": "processes that read images; 0: the one that trains",
    "prepare_workers": "images read at a time",
    "max_epochs": "epochs in all",
    "learning_rate": "at its highest",
    "weight_decay": "of the optimiser",
    "text_depth": "layers of a text encoder of its own",
    "text_heads": "heads of a text encoder of its own",
    "seed": "of weights, order and augmentation",
    "device": "where the network runs",
}
"""What needs no comment in a configuration, since every stage has it."""
ORDER = ("pretrain", "pretrain_moco", "pretrain_dino", "finetune", "linear_probe", "evaluate", "explain")


class Option(NamedTuple):
    """One key of a configuration.

    Attributes:
        name: the key.
        default: the value that is written there, as YAML.
        meaning: the comment beside or above it; empty where there is none.
    """

    name: str
    default: str
    meaning: str


def stage_options(bundle: str, stage: str, overlays: Sequence[str | Path] = ()) -> list[Option]:
    """The options of a stage: defaults with the overlays laid over, meanings from there or from where the bundle tells.

    Raises:
        ValueError: as :func:`config_files`.
    """
    stage_file, *others = config_files(bundle, stage, overlays)
    laid = {option.name: option.default for file in others for option in file_options(file)}
    known = meanings(bundle)
    return [
        Option(option.name, laid.get(option.name, option.default), option.meaning or known.get(option.name, ""))
        for option in file_options(stage_file)
    ]


def config_files(bundle: str, stage: str, overlays: Sequence[str | Path] = ()) -> list[Path]:
    """Paths of a stage's configuration and of those laid over it.

    Raises:
        ValueError: if one does not exist; the message lists the bundle's own.
    """
    folder = bundle_root(bundle) / "configs"
    files = []
    for name in (stage, *overlays):
        own, other = folder / f"{name}.yaml", Path(name)
        if not own.is_file() and not other.is_file():
            known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
            raise ValueError(f"no configuration {str(name)!r}: give the path of a file or one of {known}")
        files.append(own if own.is_file() else other)
    return files


def configurations(bundle: str) -> list[Path]:
    """The YAML files of a bundle, stages in the order of their use first."""
    found = (bundle_root(bundle) / "configs").glob("*.yaml")
    return sorted(found, key=lambda path: (ORDER.index(path.stem) if path.stem in ORDER else len(ORDER), path.stem))


def overlay_names(bundle: str) -> list[str]:
    """What may follow ``--overlay``, besides a path."""
    return [path.stem for path in configurations(bundle) if not is_stage(path)]


def meanings(bundle: str) -> dict[str, str]:
    """What each option of a bundle means, by its name; the first configuration that has a comment tells."""
    told = [option for path in reversed(configurations(bundle)) for option in file_options(path) if option.meaning]
    return COMMON | {option.name: option.meaning for option in told}


@lru_cache
def is_stage(path: Path) -> bool:
    """Whether a configuration runs by itself; else it is laid over one that does."""
    return "\nbundle_root:" in path.read_text(encoding="utf-8")


@lru_cache
def file_options(path: Path) -> tuple[Option, ...]:
    """The options of one configuration: its keys down to the first empty line, in their order."""
    knobs = re.split(r"\n\s*\n", path.read_text(encoding="utf-8"))[0]
    values, found, above = yaml.safe_load(knobs), [], ""
    for line in re.sub(r"\A(#.*\n)+", "", knobs).splitlines():
        key = KEY.match(line)
        if key and key["name"] not in HIDDEN:
            default = key["value"] or _flow(values[key["name"]])
            found.append(Option(key["name"], default, key["comment"] or above))
        above = line.removeprefix("#").strip() if line.startswith("#") else ""
    return tuple(found)


def _flow(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
