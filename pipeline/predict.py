"""``mammo predict``: the inference bundle on any files, with the network that a run folder describes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from monai.bundle import ConfigWorkflow

from ..bundles import bundle_root

logger = logging.getLogger(__name__)

SHARED = ("size", "tasks", "pooling", "image_size", "resize", "background", "image_mean", "image_std")
"""Options that must be those of training."""


def predict(images: Sequence[Path], checkpoint: Path, out: Path, gate: str = "training") -> Path:
    """Score images and write one row each to ``out``.

    Args:
        images: files and folders.
        checkpoint: ``checkpoints/best.pt`` of a finetune run, whose ``config.yaml`` tells the network.
        out: the CSV file to write.
        gate: policy of the input gate: training, deploy or all.

    Raises:
        ValueError: if the checkpoint does not lie in a run folder, or there is no image, or none that can be
            scored, in which case ``out`` is written all the same.
    """
    overrides: dict[str, Any] = training_options(checkpoint) | {
        "checkpoint": str(checkpoint),
        "dataset_dir": [str(path) for path in images],
        "output_file": str(out),
        "gate": gate,
    }
    configuration = bundle_root("swin_mim") / "configs" / "inference.json"
    workflow = ConfigWorkflow(str(configuration), workflow_type="infer", logging_file=False, **overrides)
    workflow.initialize()
    workflow.run()
    table = pd.read_csv(out)
    if not (table["status"] == "scored").any():
        raise ValueError(f"none of {len(table)} images could be scored; {out} says why of each")
    logger.info("%s written; probabilities are not calibrated, for research use only", out)
    return out


def training_options(checkpoint: Path) -> dict[str, Any]:
    """The options of the run that left a checkpoint, as far as they shape the network and its input.

    Raises:
        ValueError: if there is no ``config.yaml`` in the run folder above the checkpoint.
    """
    path = checkpoint.parent.parent / "config.yaml"
    if not path.is_file():
        raise ValueError(f"no {path}: give checkpoints/best.pt inside the folder of its run, which tells the network")
    config = yaml.safe_load(path.read_text())
    return {name: config[name] for name in SHARED if name in config}
