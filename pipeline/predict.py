"""``mammo predict``: the inference bundle on any files, with the network that a run folder describes."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from monai.bundle import ConfigWorkflow

from ..bundles import bundle_root
from .evaluation import describe_task
from .evidence.hashes import sha256_of
from .evidence.run_files import OPERATING_POINTS
from .inference import read_operating_points
from .run_options import plain_options, run_configuration

logger = logging.getLogger(__name__)

SHARED = (
    "encoder",
    "size",
    "tasks",
    "multi_label",
    "positions",
    "pooling",
    "tokens",
    "head_norm",
    "final_norm",
    "image_size",
    "resize",
    "background",
    "margin_px",
    "image_mean",
    "image_std",
)
"""Options that must be those of training."""


def predict(
    images: Sequence[Path],
    checkpoint: Path,
    out: Path,
    gate: str = "training",
    operating_points: Path | None = None,
) -> Path:
    """Score images and write one row each to ``out``.

    Args:
        images: files, folders and datalists.
        checkpoint: ``checkpoints/best.pt`` of a finetune run, whose ``config.yaml`` tells the network.
        out: the CSV file to write.
        gate: policy of the input gate: training, deploy or all.
        operating_points: thresholds and temperature that an evaluation of this checkpoint left; by default they are
            looked for in the run folder and in its folder ``test``.

    Raises:
        ValueError: if the checkpoint does not lie in a run folder, the operating points are of another one, or there
            is no image, or none that can be scored, in which case ``out`` is written all the same.
    """
    options = training_options(checkpoint)
    task = describe_task(options["tasks"], None if options.get("multi_label") else 0)["name"]
    points = find_operating_points(checkpoint, operating_points, task=task)
    overrides: dict[str, Any] = options | {
        "checkpoint": str(checkpoint),
        "dataset_dir": [str(path) for path in images],
        "output_file": str(out),
        "gate": gate,
    }
    if points is not None:
        overrides["operating_points"] = str(points)
    configuration = bundle_of(checkpoint) / "configs" / "inference.json"
    run_inference(configuration, overrides, out)
    said = "are not calibrated" if points is None else f"are calibrated in the columns that say so, by {points}"
    logger.info("%s written; probabilities %s; for research use only", out, said)
    return out


def run_inference(configuration: Path, overrides: Mapping[str, Any], out: Path) -> None:
    """Run an inference configuration that writes a row an image to ``out``.

    Raises:
        ValueError: none of the images could be scored.
    """
    workflow = ConfigWorkflow(str(configuration), workflow_type="infer", logging_file=False, **overrides)
    workflow.initialize()
    workflow.run()
    table = pd.read_csv(out)
    if not (table["status"] == "scored").any():
        raise ValueError(f"none of {len(table)} images could be scored; {out} says why of each")


def find_operating_points(checkpoint: Path, given: Path | None = None, task: str | None = None) -> Path | None:
    """The operating points to use with a checkpoint: the file given, or that of an evaluation in its run folder.

    Args:
        checkpoint: the classifier's weights.
        given: the file; None looks for one.
        task: that they must be of; None: any.

    Raises:
        ValueError: the file given belongs to another checkpoint or to another task.
        FileNotFoundError: it is not there.
    """
    run = checkpoint.parent.parent
    places = [given] if given is not None else [run / OPERATING_POINTS, run / "test" / OPERATING_POINTS]
    digest = sha256_of(checkpoint) if checkpoint.is_file() else None
    for path in places:
        if given is None and not path.is_file():
            continue
        points = read_operating_points(path)
        evaluated = points.get("task", {}).get("name", task)
        if points.get("checkpoint_sha256") != digest:
            message = f"{path} was not made with {checkpoint}; evaluate this checkpoint to have its thresholds"
        elif task is not None and evaluated != task:
            message = f"{path} is of the task {evaluated}, and {task} is scored; evaluate it to have its thresholds"
        else:
            return path
        if given is not None:
            raise ValueError(message)
        logger.warning(message)
    return None


def training_options(checkpoint: Path) -> dict[str, Any]:
    """The options of the run that left a checkpoint, as far as they shape the network and its input.

    Raises:
        ValueError: no ``config.yaml`` in the run folder, a run of no classifier, or an option that would run as code.
    """
    run = checkpoint.parent.parent
    if "tasks" not in run_configuration(run):
        raise ValueError(
            f"{checkpoint} is of no classifier: give the best.pt of a mammo finetune, or of an image-text pretraining "
            "(mammo pretrain --bundle mammo_clip), which mammo predict scores by sentences: --prompts ensemble"
        )
    return plain_options(run, SHARED)


def bundle_of(checkpoint: Path) -> Path:
    """Folder of the bundle whose run left a checkpoint.

    Raises:
        ValueError: as :func:`training_options`.
    """
    # As it stands in the bundle's configurations, unresolved: $str(bundles.bundle_root('NAME')).
    named = re.search(r"bundle_root\('(\w+)'\)", str(run_configuration(checkpoint.parent.parent).get("bundle_root")))
    return bundle_root("swin_mim" if named is None else named[1])
