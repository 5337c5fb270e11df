"""Options of an earlier run, read from the ``config.yaml`` of its folder as values and never as code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from .evidence.run_files import training_configuration

__all__ = ["is_code", "is_evaluated", "other_pictures", "plain_options", "run_configuration"]

PREPARATION = ("image_size", "resize", "background", "margin_px", "image_mean", "image_std")
"""Options that decide what a picture looks like to a network."""


def run_configuration(run: Path) -> dict[str, Any]:
    """The ``config.yaml`` of the run that left the weights in a folder, as it stands.

    Raises:
        ValueError: there is none, or it holds no options.
    """
    path = training_configuration(run)
    if not path.is_file():
        raise ValueError(f"no {path}: give a checkpoint inside the folder of its run, which tells the network")
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {str(error).splitlines()[0]}; take the run folder whole") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} holds no options; take the run folder whole")
    return config


def plain_options(run: Path, names: Iterable[str]) -> dict[str, Any]:
    """Those of the named options that a run has.

    Raises:
        ValueError: as :func:`run_configuration`, or one of them would run as code.
    """
    config, path = run_configuration(run), training_configuration(run)
    options = {name: config[name] for name in names if name in config}
    if code := [name for name, value in options.items() if is_code(value)]:
        raise ValueError(f"{path}: {', '.join(code)} would run as code; write the value itself there")
    return options


def other_pictures(config: Mapping[str, Any]) -> list[str]:
    """In what the pictures of a stage differ from those of the training of its ``checkpoint``, where that is known."""
    checkpoint = config.get("checkpoint")
    if not isinstance(checkpoint, str) or is_code(checkpoint):
        return []
    run = Path(checkpoint).parent.parent
    trained = run_configuration(run) if training_configuration(run).is_file() else {}
    both = [name for name in PREPARATION if name in config and name in trained and not is_code(trained[name])]
    return [f"--{name} {config[name]}, in training {trained[name]}" for name in both if config[name] != trained[name]]


def is_evaluated(text: str) -> bool:
    """Whether MONAI would take a text for an expression (``$``) or a macro (``%``)."""
    return text.lstrip().startswith(("$", "%"))


def is_code(value: Any) -> bool:
    """Whether MONAI would evaluate a value, or look it up, where it should be taken as it stands."""
    if isinstance(value, str):
        return value.lstrip().startswith("@") or is_evaluated(value)
    if isinstance(value, Mapping):
        return "_target_" in value or any(map(is_code, [*value, *value.values()]))
    return isinstance(value, (list, tuple)) and any(map(is_code, value))
