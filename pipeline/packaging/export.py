"""From the run folder of a classifier to a bundle for hospitals and for other runtimes."""

from __future__ import annotations

import copy
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from safetensors.torch import save_file

from ...networks import MammogramClassifier
from ...networks.explained import ExplainedClassifier
from ..evidence.hashes import sha256_of
from ..evidence.run_files import METRICS, read_json
from ..predict import bundle_of, find_operating_points, training_options
from .forms import to_onnx, to_torchscript
from .names import INFERENCE, METADATA, NOTICE, ONNX, SAFE_WEIGHTS, TORCHSCRIPT, WEIGHTS
from .provenance import training_data
from .writing import write_json

__all__ = ["FORMS", "export_bundle"]

logger = logging.getLogger(__name__)

README = """# {name}

A classifier of mammograms of the bundle `{bundle}`, as `mammo bundle export` wrote it. {notice}
What it was trained on, how well it did and by which thresholds: `configs/metadata.json`. The package `mammo` must be
installed. Beside this folder:

    mammo bundle verify {name}
    mammo process STUDY RESULTS --checkpoint {name}

By MONAI, inside it, since paths in the configuration are relative to it:

    MONAI_EVAL_EXPR=0 python -m monai.bundle run --config_file configs/inference.json \\
        --dataset_dir IMAGES --output_file predictions.csv

From Python, inside it: of `ConfigParser.load_config_file("configs/inference.json")` the parsed `preprocessing` takes
`{{"image": path}}`, and `network` its `image` with a batch axis. `models/` holds the network as state dict and
safetensors, and with logits and explanation in one graph as TorchScript and ONNX, where they were asked for.
"""
FORMS = ("torchscript", "onnx")
"""Beside the weights as state dict and as safetensors, which are always written."""


def export_bundle(
    checkpoint: Path,
    out: Path,
    *,
    weights_licence: str,
    data_licence: str | None = None,
    forms: Sequence[str] = FORMS,
) -> Path:
    """Write the classifier of a run as a bundle: configuration without expressions, metadata, weights.

    TorchScript and ONNX hold logits and explanation in one graph, see
    :class:`~mammo.networks.explained.ExplainedClassifier`. What is written is verified before it appears, see
    :func:`~mammo.pipeline.packaging.verify.verify_bundle`.

    Args:
        checkpoint: ``checkpoints/best.pt`` of a finetune run, evaluated or not.
        out: a folder that is not there; MONAI Label takes its task from the name, so let it end in
            ``_classification``.
        weights_licence: of the weights, since nobody may use weights without one.
        data_licence: of the training data, where its datalist does not say it.
        forms: of :data:`FORMS`.

    Raises:
        ValueError: ``out`` is there, an unknown form, a licence that nobody told, a network that has no fixed graph, or
            one whose forms disagree.
    """
    if out.exists():
        raise ValueError(f"{out} is there already; give a new folder")
    if unknown := [form for form in forms if form not in FORMS]:
        raise ValueError(f"unknown form {unknown[0]!r}; known are {', '.join(FORMS)}")
    root = bundle_of(checkpoint)
    configuration = inference_configuration(root, training_options(checkpoint))
    # A copy: the parser works in place, and what is written must name the weights beside it, not those of the run.
    parser = ConfigParser(copy.deepcopy(configuration) | {"checkpoint": str(checkpoint)})
    network = parser.get_parsed_content("network").cpu()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as temporary:
        folder = Path(temporary) / out.name
        _write_configuration(folder, root, configuration)
        _write_weights(folder, network, configuration["image_size"], forms)
        about = metadata(checkpoint, root, configuration, network)
        about["licences"] = {"weights": weights_licence} | training_data(checkpoint, data_licence)
        about["files"] = {name: sha256_of(folder / name) for name in (INFERENCE, *_models(folder))}
        write_json(folder / METADATA, about)
        # Here, since verifying reads what was written, and by the same code as at the other end.
        from .verify import verify_bundle

        verify_bundle(folder)
        os.replace(folder, out)
    logger.info("%s written and verified: %s; for research use only", out, ", ".join(_models(out)))
    return out


def inference_configuration(root: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """The bundle's ``inference.json`` with the options of a run."""
    content = read_json(root / "configs" / "inference.json")
    return content | dict(options) | {"checkpoint": WEIGHTS, "gate": "deploy"}


def metadata(
    checkpoint: Path, root: Path, configuration: Mapping[str, Any], network: MammogramClassifier
) -> dict[str, Any]:
    """``metadata.json``: what goes in and out, what it is for, how well it did and by which thresholds."""
    about = read_json(root / "configs" / "metadata.json")
    about["intended_use"] = NOTICE
    data = about["network_data_format"]
    data["inputs"]["image"]["spatial_shape"] = list(configuration["image_size"])
    # MONAI Deploy makes labels of "probabilities" by cutting them to whole numbers: benign for any below 1.
    data["outputs"]["pred"] |= {"type": "tuples", "num_channels": sum(network.tasks.values())}
    about["tasks"] = dict(network.tasks)
    about["checkpoint_sha256"] = sha256_of(checkpoint)
    points = find_operating_points(checkpoint)
    about["operating_points"] = None if points is None else read_json(points)
    measured = [folder / METRICS for folder in (checkpoint.parents[1], checkpoint.parents[1] / "test")]
    found = next((read_json(path) for path in measured if path.is_file()), None)
    about["eval_metrics"] = {} if found is None else _measures(found)
    return about


def _measures(metrics: Mapping[str, Any]) -> dict[str, str]:
    """AUC by level with its interval, as text."""
    told = {}
    for level, rows in metrics.get("levels", {}).items():
        auc = rows.get("auc") or {}
        if auc.get("value") is not None:
            told[f"auc_{level}"] = f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})"
    return told


def _write_configuration(folder: Path, root: Path, configuration: Mapping[str, Any]) -> None:
    write_json(folder / INFERENCE, configuration)
    shutil.copyfile(root / "LICENSE", folder / "LICENSE")
    (folder / "docs").mkdir()
    (folder / "docs/README.md").write_text(
        README.format(name=folder.name, bundle=root.name, notice=NOTICE), encoding="utf-8"
    )


def _write_weights(folder: Path, network: MammogramClassifier, size: Sequence[int], forms: Sequence[str]) -> None:
    (folder / WEIGHTS).parent.mkdir(parents=True)
    state = {name: tensor.detach().clone().contiguous() for name, tensor in network.state_dict().items()}
    torch.save(state, folder / WEIGHTS)
    save_file(state, folder / SAFE_WEIGHTS)
    if forms:
        explained = ExplainedClassifier(network)
        example = torch.rand(2, network.encoder.in_channels + 1, *size)
        if "torchscript" in forms:
            to_torchscript(explained, example, folder / TORCHSCRIPT, folder / INFERENCE)
        if "onnx" in forms:
            to_onnx(explained, example, folder / ONNX)


def _models(folder: Path) -> list[str]:
    return [name for name in (WEIGHTS, SAFE_WEIGHTS, TORCHSCRIPT, ONNX) if (folder / name).is_file()]
