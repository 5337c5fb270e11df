"""Run a bundle's configuration in this process, as ``python -m monai.bundle run`` does, and keep what was run."""

from __future__ import annotations

import difflib
import json
import logging
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser, ConfigWorkflow

from .run_folder import write_configuration
from .run_options import other_pictures
from .sole_owner import sole_owner
from .stage_options import config_files

logger = logging.getLogger(__name__)

TRAINING = ("pretrain", "finetune", "linear_probe", "detect", "factor_train")
"""How the names of stages begin that leave weights; the others leave tables and figures."""
EMBEDDED = "$str(embedded."
"""How an overlay's ``dataset_dir`` begins that makes a phantom where no dataset is named."""
FROM_ONE = ("max_epochs", "epoch_length", "batch_size", "val_interval", "accumulate", "save_steps", "block_size")
"""Options of which there must be one at least; ignite takes an epoch of no step, and writes a record of nothing."""


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
    if overrides.get("datalist") is not None and str(config.get("dataset_dir")).startswith(EMBEDDED):
        overrides.setdefault("dataset_dir", None)  # a list has its own root: the phantom of an overlay is not its
    for name, value in overrides.items():
        try:
            workflow.parser[name] = value
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"unknown option {name!r}: the configuration has no such place ({error})") from error
    _check_blocks(workflow.parser.get())
    _check_overlays(overlays, files[0], config)
    if other := other_pictures(workflow.parser.get()):
        logger.warning("these are not the pictures that the checkpoint knows: %s", "; ".join(other))
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
            raise ValueError(f"unknown option {name!r}{_nearest(top, config)}")
        if name == "device":
            _check_device(value)
        if isinstance(value, str) and value.startswith(("$", "@")):
            continue
        wanted = _wanted(name, value, config.get(name))
        if wanted:
            raise ValueError(f"--{name} takes {wanted}, and not {value!r}")
        plain_text = isinstance(config.get(name), str) and not config[name].startswith(("$", "@"))
        if plain_text and isinstance(value, (int, float)) and not isinstance(value, bool):
            checked[name] = str(value)
    return checked


def _wanted(name: str, value: Any, default: Any) -> str:
    """What an option takes, where the value is something else; its kind is that of the default."""
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "true or false"
    if name in FROM_ONE and value is not None and (isinstance(value, bool) or not whole or value < 1):
        return "a whole number from 1 up"
    if isinstance(default, (int, float)) and isinstance(value, (str, bool)):
        return f"a number, such as {default}"
    if isinstance(default, int) and isinstance(value, float) and not whole:
        return f"a whole number, such as {default}"
    if isinstance(default, list) and isinstance(value, (int, float)):
        return f'a list, such as "{default}"'
    if isinstance(default, list) and isinstance(value, str) and any(isinstance(part, dict) for part in default):
        return "a list of components, best in an overlay"
    return ""


def _check_blocks(config: Mapping[str, Any]) -> None:
    """Refuse a size that no blocks fill at once: the masking sees it only after hours of preparing images."""
    size, block = config.get("image_size"), config.get("block_size")
    if not isinstance(size, list) or not all(isinstance(number, int) for number in [*size, block]):
        return  # no blocks in this stage, or a size that an expression gives
    if config.get("reconstruction_weight", 1) and any(side % block for side in size):
        raise ValueError(f"--image_size {size} is no multiple of blocks of --block_size {block} pixels")


def _check_overlays(overlays: Sequence[str | Path], stage: Path, config: Mapping[str, Any]) -> None:
    """Warn of a key that only an overlay of the user's own has and that nothing refers to: a slip, in silence."""
    known = ConfigParser.load_config_file(stage)
    text = json.dumps(config, default=str)
    for overlay in map(Path, overlays):
        if not overlay.is_file():
            continue  # a name: one of the bundle's, which are for several stages
        for key in ConfigParser.load_config_file(overlay):
            name = re.split("#|::", key.lstrip("+"))[0]
            if name not in known and not re.search(rf"@{re.escape(name)}\b", text):
                logger.warning("%s sets %s, which nothing uses%s", overlay, name, _nearest(name, known))


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _check_device(value: Any) -> None:
    if isinstance(value, str) and not value.startswith(("$", "@")):
        try:
            torch.empty(0, device=value)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"--device {value} cannot be used on this machine ({reason}); try cpu") from error


def monai_command(files: Sequence[Path], overrides: Mapping[str, Any]) -> str:
    """The ``python -m monai.bundle run`` line that does the same."""
    parts = ["python", "-m", "monai.bundle", "run", "--config_file"]
    for name, value in overrides.items():
        # MONAI drops an override of None.
        parts += [f"--{name}", "$None" if value is None else str(value)]
    paths = str([str(file) for file in files])
    laid = shlex.quote(paths) if set(paths) & set('"$`\\!') else f'"{paths}"'  # the list has quotes of its own
    return f"{shlex.join(parts[:5])} {laid} {shlex.join(parts[5:])}".rstrip()
