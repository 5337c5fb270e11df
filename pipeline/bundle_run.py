"""Run a bundle's configuration in this process, as ``python -m monai.bundle run`` does, and keep what was run."""

from __future__ import annotations

import difflib
import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigWorkflow

from .run_folder import write_configuration
from .sole_owner import sole_owner
from .stage_options import config_files

logger = logging.getLogger(__name__)

TRAINING = ("pretrain", "finetune", "linear_probe", "detect", "factor_train")
"""How the names of stages begin that leave weights; the others leave tables and figures."""


def run_bundle(
    bundle: str,
    stage: str,
    *,
    overlays: Sequence[str | Path] = (),
    overrides: Mapping[str, Any] | None = None,
) -> ConfigWorkflow:
    """Run one stage of a bundle and return its finished workflow.

    Args:
        bundle: name of the bundle, such as ``"swin_mim"``.
        stage: name of its configuration, such as ``"pretrain"``.
        overlays: configurations laid over it: names of the bundle's own (``"tiny"``) or paths.
        overrides: values by id, such as ``{"max_epochs": 5, "train::dataloader::shuffle": False}``.

    Raises:
        ValueError: for an overlay or an override that the bundle does not know.
    """
    files = config_files(bundle, stage, overlays)
    overrides = dict(overrides or {})
    workflow = ConfigWorkflow(
        config_file=[str(file) for file in files],
        workflow_type="train" if stage.startswith(TRAINING) else "infer",
        logging_file=False,
    )
    config: dict[str, Any] = workflow.parser.get()
    overrides = check_overrides(overrides, config)
    for name, value in overrides.items():
        try:
            workflow.parser[name] = value
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"unknown option {name!r}: the configuration has no such place ({error})") from error
    logger.info("the same by MONAI: %s", monai_command(files, overrides))
    with sole_owner(config["output_dir"], "--output_dir"):
        # The parser resolves in place when it parses: what a reader wants is the text before that.
        write_configuration({name: value for name, value in config.items() if name != "_meta_"}, config["output_dir"])
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    return workflow


def check_overrides(overrides: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse an override of a name that the configuration lacks, which MONAI takes in silence, or of another kind.

    Returns:
        The overrides; a number where the configuration holds text, such as a folder named 2024, became text.

    Raises:
        ValueError: naming the override and the nearest names there are, or what it must be.
    """
    checked = dict(overrides)
    for name, value in overrides.items():
        top = name.replace("#", "::").split("::")[0]
        if top not in config:
            near = difflib.get_close_matches(top, config, n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ValueError(f"unknown option {name!r}{hint}")
        if name == "device":
            _check_device(value)
        numeric = isinstance(config.get(name), (int, float)) and not isinstance(config[name], bool)
        if numeric and isinstance(value, str) and not value.startswith(("$", "@")):
            raise ValueError(f"--{name} takes a number, such as {config[name]}, and not {value!r}")
        if numeric and isinstance(config[name], int) and isinstance(value, float) and value != int(value):
            raise ValueError(f"--{name} takes a whole number, such as {config[name]}, and not {value}")
        if isinstance(config.get(name), list) and isinstance(value, (int, float)):
            raise ValueError(f'--{name} takes a list, such as "{config[name]}", and not {value}')
        plain_text = isinstance(config.get(name), str) and not config[name].startswith(("$", "@"))
        if plain_text and isinstance(value, (int, float)) and not isinstance(value, bool):
            checked[name] = str(value)
    return checked


def _check_device(value: Any) -> None:
    if isinstance(value, str) and not value.startswith(("$", "@")):
        try:
            torch.empty(0, device=value)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"--device {value} cannot be used on this machine ({reason}); try cpu") from error


def monai_command(files: Sequence[Path], overrides: Mapping[str, Any]) -> str:
    """The ``python -m monai.bundle run`` line that does the same."""
    parts = ["python", "-m", "monai.bundle", "run", "--config_file", str([str(file) for file in files])]
    for name, value in overrides.items():
        # MONAI drops an override of None.
        parts += [f"--{name}", "$None" if value is None else str(value)]
    return shlex.join(parts)
