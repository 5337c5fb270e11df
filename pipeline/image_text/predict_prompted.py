"""``mammo predict --prompts``: any files scored by sentences, with an image-text pretraining."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from ...bundles import bundle_root
from ..evidence.run_files import OPERATING_POINTS, training_configuration
from ..inference import read_operating_points
from ..predict import run_inference
from ..run_options import is_code, plain_options, run_configuration
from ..text import Prompts
from .prompted import ASKED, WEIGHTS, ZeroShotWeights, asked_prompts, read_asked
from .zero_shot import zero_shot_classifier

__all__ = ["predict_prompted"]

logger = logging.getLogger(__name__)

IMAGES = (
    *("encoder", "size", "image_mean", "image_std", "embed_dim", "projection", "pooling", "head_norm"),
    *("image_size", "resize", "background", "margin_px"),
)
"""Options of pretraining that shape the image tower and its input."""
TEXTS = ("text_encoder", "text_pooling", "text_length", "text_width", "text_depth", "text_heads")
SIGLIP_BIAS = -10.0


def predict_prompted(
    images: Sequence[Path],
    checkpoint: Path,
    out: Path,
    *,
    prompts: str | Path | None = None,
    tasks: Sequence[str] | None = None,
    gate: str = "training",
    operating_points: Path | None = None,
) -> Path:
    """Score images by sentences and write one row each to ``out``.

    Args:
        images: files, folders and datalists.
        checkpoint: ``checkpoints/best.pt`` of an image-text pretraining; or ``zero_shot.pt`` of ``mammo zero_shot``,
            which holds the answers to its own sentences and needs no transformers.
        out: the CSV file to write.
        prompts: sentences, see :func:`~mammo.pipeline.image_text.asked_prompts`; None with a ``zero_shot.pt``.
        tasks: those of the prompts that are asked; None: see there.
        gate: policy of the input gate: training, deploy or all.
        operating_points: of a zero-shot evaluation of the same pretraining by the same sentences; beside a
            ``zero_shot.pt`` they are found without being named.

    Raises:
        ValueError: a checkpoint outside the folder of its run, prompts with a ``zero_shot.pt`` or none without,
            operating points of other weights or sentences, or no image that can be scored (``out`` is written all the
            same).
    """
    stored = checkpoint.name == WEIGHTS
    if stored != (prompts is None) or (stored and tasks):
        raise ValueError(
            f"{checkpoint}: give --prompts with checkpoints/best.pt of a pretraining; {WEIGHTS} has its own sentences"
        )
    config = _options(checkpoint.parent if stored else checkpoint.parent.parent)
    if prompts is None:
        about = read_asked(checkpoint)
        points = _points(operating_points, checkpoint.with_name(OPERATING_POINTS), about)
        return _run(images, checkpoint, out, config, about["prompts"], gate, points)
    with tempfile.TemporaryDirectory(prefix="mammo_prompts_") as folder:
        asked = asked_prompts(prompts, tasks)
        _answer(Path(folder), checkpoint, config, asked)
        weights = Path(folder) / WEIGHTS
        points = _points(operating_points, None, read_asked(weights))
        return _run(images, weights, out, config, asked, gate, points)


def _options(run: Path) -> dict[str, Any]:
    config = run_configuration(run)
    if "embed_dim" not in config:
        raise ValueError(
            f"{training_configuration(run)} is of no image-text pretraining, and sentences need one; mammo predict "
            "without them"
        )
    # Where the tokenizer is no folder, it was learned and lies in the run folder, as zero_shot.yaml says.
    words = ("tokenizer",) if not is_code(config.get("tokenizer")) else ()
    return plain_options(run, (*IMAGES, *TEXTS, *words, "objective"))


def _answer(folder: Path, checkpoint: Path, config: Mapping[str, Any], asked: Prompts) -> None:
    """Embed the sentences with the text tower, and write what is left without it."""
    parser = ConfigParser(ConfigParser.load_config_file(bundle_root("mammo_clip") / "configs" / "zero_shot.yaml"))
    for name, value in {**config, "checkpoint": str(checkpoint)}.items():
        parser[name] = value
    classifier = zero_shot_classifier(
        parser.get_parsed_content("network_def"),
        checkpoint=checkpoint,
        tokenizer=parser.get_parsed_content("words"),
        tasks={task: len(classes) for task, classes in asked.items()},
        prompts=asked,
        length=parser.get_parsed_content("text_length"),
    )
    ZeroShotWeights(folder, classifier=classifier, prompts=asked, checkpoint=checkpoint).write()


def _run(
    images: Sequence[Path],
    weights: Path,
    out: Path,
    config: Mapping[str, Any],
    asked: Prompts,
    gate: str,
    points: Path | None,
) -> Path:
    overrides: dict[str, Any] = {name: config[name] for name in IMAGES if name in config}
    overrides |= {
        "checkpoint": str(weights),
        "dataset_dir": [str(path) for path in images],
        "output_file": str(out),
        "gate": gate,
        "classes": {task: list(classes) for task, classes in asked.items()},
    }
    if config.get("objective") == "siglip":
        overrides["bias"] = SIGLIP_BIAS  # its place; the value is that of the weights, and no score uses it
    if points is not None:
        overrides["operating_points"] = str(points)
    configuration = bundle_root("mammo_clip") / "configs" / "inference_zero_shot.json"
    run_inference(configuration, overrides, out)
    said = "no score is calibrated" if points is None else f"calibrated in the columns that say so, by {points}"
    logger.info("%s written: %s; for research use only", out, said)
    return out


def _points(given: Path | None, usual: Path | None, about: Mapping[str, Any]) -> Path | None:
    """The operating points to use, if they are of the same weights and sentences.

    Raises:
        ValueError: those that were given are not.
        FileNotFoundError: they are not there.
    """
    path = given or usual
    if path is None or (given is None and not path.is_file()):
        return None
    points = read_operating_points(path)
    evaluated = read_asked(path.with_name(WEIGHTS))
    wrong = ""
    if points.get("checkpoint_sha256") != about["checkpoint_sha256"]:
        wrong = "was made with another checkpoint"
    elif evaluated["prompts"] != about["prompts"]:
        wrong = f"was made with other sentences, see {path.with_name(ASKED)}"
    elif not set(points["thresholds"]) <= set(about["prompts"]):
        wrong = "has no threshold for each label; evaluate with multi_label true"
    if not wrong:
        return path
    if given is not None:
        raise ValueError(f"{path} {wrong}; give none, or run mammo zero_shot with these sentences")
    logger.warning("%s %s; it is not used", path, wrong)
    return None
