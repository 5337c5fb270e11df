"""``mammo explain --sentence``: where a sentence is seen, with the network that a run of factor_train describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml
from monai.bundle import ConfigWorkflow

from ...bundles import bundle_root
from ..bundle_run import run_bundle
from ..evidence.run_files import training_configuration
from ..run_options import is_code, run_configuration

__all__ = ["explain_sentence"]

STAGE = "explain_sentence"
OWN = ("imports", "bundle_root", "output_dir", "cache_dir", "gate", "batch_size", "num_workers", "precision", "device")
"""What a run of training has under the same name, and yet does not tell how its mapper is to be used."""


def explain_sentence(overrides: Mapping[str, Any], overlays: Sequence[str] = ()) -> ConfigWorkflow:
    """Run the stage, set up as the mapper was trained, as far as its run folder tells.

    Args:
        overrides: options of the stage, among them ``sentence`` and ``images``.
        overlays: configurations laid over.

    Returns:
        The finished workflow.

    Raises:
        ValueError: an option that the stage has not, or as the stage raises it.
    """
    knobs = yaml.safe_load((bundle_root("mammo_clip") / "configs" / f"{STAGE}.yaml").read_text(encoding="utf-8"))
    checkpoint = Path(overrides.get("checkpoint", knobs["checkpoint"]))
    return run_bundle(
        "mammo_clip", STAGE, overlays=overlays, overrides=_of_training(checkpoint, knobs) | dict(overrides)
    )


def _of_training(checkpoint: Path, knobs: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the run that left a checkpoint, as far as the stage has them."""
    run = checkpoint.parent.parent
    if not training_configuration(run).is_file():
        return {}
    # The run's own expressions are those of its stage; this stage has its own.
    trained = {name: value for name, value in run_configuration(run).items() if not is_code(value)}
    knobs_alone = takewhile(lambda name: not isinstance(knobs[name], dict), knobs)  # they stand above the parts
    return {name: trained[name] for name in knobs_alone if name in trained and name not in OWN}
