"""Is a bundle what it says it is, and does every form of its network say the same?"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser, verify_metadata
from safetensors.torch import load_file
from torch import Tensor

from ...bundles import metadata_schema
from ...networks.explained import ExplainedClassifier
from ..evidence.hashes import sha256_of
from ..evidence.run_files import read_json
from .forms import Run, run_onnx, run_torchscript
from .names import INFERENCE, METADATA, ONNX, SAFE_WEIGHTS, TOLERANCE, TORCHSCRIPT, WEIGHTS
from .targets import check_targets

__all__ = ["check_bundle", "verify_bundle"]

logger = logging.getLogger(__name__)


def verify_bundle(folder: Path) -> dict[str, float]:
    """Check a bundle as :func:`~mammo.pipeline.packaging.export.export_bundle` writes it, before any of it is run.

    Checked are: expressions and targets of the configuration, the metadata against the schema, licences, the hash of
    every file of weights, equality of both forms of the weights, and that TorchScript and ONNX give the network's
    probabilities and map to 1e-4 on random images. A bundle of
    :func:`~mammo.pipeline.packaging.localisation.export_localisation` holds one form only: there is nothing to compare.

    Returns:
        The largest difference of each form of the network, by file.

    Raises:
        ValueError: what is wrong, with the file.
        FileNotFoundError: it is no such bundle.
    """
    about, configuration = check_bundle(folder)
    schema = metadata_schema()
    digest = hashlib.sha256(schema.read_bytes()).hexdigest()
    verify_metadata(meta_file=str(folder / METADATA), filepath=str(schema), hash_val=digest, hash_type="sha256")
    if WEIGHTS not in about["files"]:
        return {}
    _check_weights(folder)
    return _compare(folder, configuration)


def check_bundle(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metadata and configuration of a bundle, of which nothing has been run: targets, licences and hashes are right.

    Raises:
        ValueError: what is wrong, with the file.
        FileNotFoundError: it is no such bundle.
    """
    about, configuration = read_json(folder / METADATA), read_json(folder / INFERENCE)
    check_targets(configuration, folder / INFERENCE)
    if configuration.get("checkpoint", WEIGHTS) != WEIGHTS:
        raise ValueError(f"{folder / INFERENCE} names other weights than {WEIGHTS}; export the bundle again")
    missing = [name for name in ("weights", "data") if not about.get("licences", {}).get(name)]
    if missing:
        raise ValueError(f"{folder / METADATA}: licences.{missing[0]} is missing; a bundle without it must not be used")
    for name, expected in about["files"].items():
        if sha256_of(folder / name) != expected:
            raise ValueError(f"{folder / name} is not the file that was exported (SHA-256); take the bundle whole")
    return about, configuration


def _check_weights(folder: Path) -> None:
    state = torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True)
    safe = load_file(folder / SAFE_WEIGHTS)
    if set(state) != set(safe) or any(not torch.equal(state[name], safe[name]) for name in state):
        raise ValueError(f"{folder}: {WEIGHTS} and {SAFE_WEIGHTS} differ; export the bundle again")


def _compare(folder: Path, configuration: Mapping[str, Any]) -> dict[str, float]:
    parser = ConfigParser(dict(configuration))
    parser.update({"checkpoint": str(folder / WEIGHTS), "device": "cpu"})
    forms: dict[str, Run] = {}
    if (folder / TORCHSCRIPT).is_file():
        forms[TORCHSCRIPT] = run_torchscript(folder / TORCHSCRIPT)
    if (folder / ONNX).is_file():
        forms[ONNX] = run_onnx(folder / ONNX)
    if not forms:
        return {}
    network = ExplainedClassifier(parser.get_parsed_content("network"))
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, network.network.encoder.in_channels + 1, *configuration["image_size"], generator=generator)
    x[:, -1] = (x[:, -1] > 0.3).float()
    with torch.no_grad():
        expected = network(x)
    found = {name: _difference(run(x), expected, network.network.tasks) for name, run in forms.items()}
    for name, difference in found.items():
        if not difference <= TOLERANCE:
            raise ValueError(f"{folder / name} differs from the network by {difference:.2g}; at most {TOLERANCE:g}")
    return found


def _difference(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor], tasks: Mapping[str, int]) -> float:
    """The largest of a probability, or of the map divided by its peak."""
    probabilities = [
        torch.cat([part.softmax(dim=1) for part in logits.split(list(tasks.values()), dim=1)], dim=1)
        for logits in (found[0], expected[0])
    ]
    peak = expected[1].max().clamp_min(torch.finfo(torch.float32).tiny)
    of_maps = ((found[1] - expected[1]) / peak).abs().max()
    return float(torch.maximum((probabilities[0] - probabilities[1]).abs().max(), of_maps))
