"""The model of a run folder, or of a bundle that came from elsewhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.transforms import Compose

from ... import __version__
from ..evidence.hashes import sha256_of
from ..evidence.run_files import read_json
from ..inference import read_operating_points
from ..packaging.names import WEIGHTS
from ..packaging.verify import check_bundle
from ..predict import bundle_of, find_operating_points, training_options
from .model import LEVEL, RULE, HospitalModel
from .result import ModelStamp

__all__ = ["load_model"]

ONE_TASK = ["pathology"]


def load_model(
    path: Path, *, operating_points: Path | None = None, device: str = "cpu", **options: Any
) -> HospitalModel:
    """The classifier of benign against malignant that lies at ``path``, with thresholds and stamp.

    Args:
        path: ``checkpoints/best.pt`` of a finetune run, whose folder tells the network; or a bundle that ``mammo bundle
            export`` wrote, which is checked first.
        operating_points: ``operating_points.json`` of an evaluation of the same weights; by default a run's own, or
            those in the bundle's metadata.
        device: where the network runs.
        options: of the explanation, see :class:`HospitalModel`.

    Raises:
        ValueError: another classifier, a broken run folder or bundle, or operating points of other weights.
    """
    if path.is_dir():
        return _of_bundle(path, operating_points, device, options)
    run, root = training_options(path), bundle_of(path)
    found = find_operating_points(path, operating_points, task="pathology")
    points = None if found is None else read_operating_points(found)
    configuration = read_json(root / "configs" / "inference.json") | run
    about = read_json(root / "configs" / "metadata.json")
    stamp = _stamp(about, root.name, path, run | options, points)
    return _build(configuration, path, stamp, points, device, options)


def _of_bundle(folder: Path, operating_points: Path | None, device: str, options: Mapping[str, Any]) -> HospitalModel:
    about, configuration = check_bundle(folder)
    points = about["operating_points"] if operating_points is None else read_operating_points(operating_points)
    if points is not None and points.get("checkpoint_sha256") not in (about["checkpoint_sha256"], None):
        raise ValueError(
            f"{operating_points} is of other weights than {folder}; evaluate these to have their thresholds"
        )
    shaping = {name: value for name, value in configuration.items() if not _is_part(value)}
    left_out = ("bundle_root", "dataset_dir", "checkpoint", "output_file", "operating_points", "device")
    settings = {name: value for name, value in shaping.items() if name not in left_out}
    stamp = _stamp(about, folder.name, folder / WEIGHTS, settings | dict(options), points)
    return _build(configuration, folder / WEIGHTS, stamp, points, device, options)


def _is_part(value: Any) -> bool:
    """Whether a value of a configuration is a component or a list of such, and no setting."""
    return isinstance(value, dict) or (isinstance(value, list) and any(map(_is_part, value)))


def _stamp(
    about: Mapping[str, Any], bundle: str, weights: Path, settings: Mapping[str, Any], points: Mapping[str, Any] | None
) -> ModelStamp:
    rule = {"rule": "none"}
    if points is not None:  # another threshold is another answer, which needs other UIDs
        told = json.dumps(points, sort_keys=True, default=str)
        rule = {"rule": f"{LEVEL}, {RULE}", "operating_points": hashlib.sha256(told.encode()).hexdigest()}
    return ModelStamp(about["name"], bundle, about["version"], __version__, sha256_of(weights), dict(settings) | rule)


def _build(
    configuration: Mapping[str, Any],
    weights: Path,
    stamp: ModelStamp,
    points: Mapping[str, Any] | None,
    device: str,
    options: Mapping[str, Any],
) -> HospitalModel:
    if configuration["tasks"] != ONE_TASK or configuration.get("multi_label"):
        told = configuration["tasks"]
        raise ValueError(f"{weights} tells {told}; results for a hospital need a classifier of {ONE_TASK}")
    parser = ConfigParser(dict(configuration))
    parser.update({"checkpoint": str(weights), "device": device})
    network = parser.get_parsed_content("network")
    if list(network.tasks.values()) != [2]:
        raise ValueError(f"{weights} tells {network.tasks}; results for a hospital need two classes")
    return HospitalModel(network, Compose(parser.get_parsed_content("load")), stamp, points=points, **options)
