"""One study through every form of one exported bundle: the probability of each image, by file name, for comparison."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import torch
import yaml
from mammo.networks import MammogramClassifier, SwinEncoder
from mammo.pipeline.cli import main as mammo
from mammo.pipeline.hospital.process import RESULT
from mammo.pipeline.packaging.forms import run_onnx, run_torchscript
from mammo.pipeline.packaging.names import INFERENCE, ONNX, TOLERANCE, TORCHSCRIPT, WEIGHTS
from mammo.pipeline.phantom import write_study
from mammo.transforms import PrepareMammogramd
from monai.bundle import ConfigParser
from monai.utils import convert_to_tensor
from torch import Tensor

__all__ = ["FORMS", "Probabilities", "read_result", "spread", "table", "widest", "write_bundle", "write_exam"]

Probabilities = dict[str, float]
"""Of malignancy, in [0, 1], by name of the image's file."""

OPTIONS = {"size": "micro", "tasks": ["pathology"], "image_size": [128, 96], "background": "zero"}
"""Of the run. Unlike the defaults, and not square: a form that loses one of them gives other probabilities."""


def write_exam(folder: Path) -> list[Path]:
    """Four views of a synthetic patient as DICOM, fine enough for results to be drawn."""
    return [path for path, _ in write_study(folder, index=1, seed=77, preset="demo")]


def write_bundle(folder: Path, exam: list[Path]) -> Path:
    """A classifier with fixed random weights, exported by ``mammo bundle export``; what it says means nothing.

    Args:
        folder: where the run and the bundle ``breast_classification`` go.
        exam: images whose probabilities shall lie around 0.5, where they differ most.

    Raises:
        RuntimeError: the export failed; its message is above.
    """
    run, out = folder / "run", folder / "breast_classification"
    checkpoint = run / "checkpoints" / "best.pt"
    checkpoint.parent.mkdir(parents=True)
    torch.save(_random_network(exam).state_dict(), checkpoint)
    named = {"bundle_root": "$str(bundles.bundle_root('swin_mim'))"}
    (run / "config.yaml").write_text(yaml.safe_dump(named | OPTIONS))
    (run / "environment.json").write_text("{}")
    licences = ["--weights_licence", "CC-BY-4.0", "--data_licence", "CC0-1.0"]
    _run(["bundle", "export", str(checkpoint), str(out), *licences])
    return out


def plain_monai(bundle: Path, exam: Path) -> Probabilities:
    """What the bundle's ``inference.json`` builds: dataset, network, inferer."""
    parser = _parser(bundle, exam)
    network, inferer = (parser.get_parsed_content(name) for name in ("network", "inferer"))
    return _each(bundle, exam, lambda image: inferer(image, network.eval()))


def processed(bundle: Path, exam: Path) -> Probabilities:
    """``mammo process``, through ``result.json``."""
    out = bundle.parent / "processed"
    _run(["process", str(exam), str(out), "--checkpoint", str(bundle), "--results", "sr"])
    return read_result(out)


def torchscript(bundle: Path, exam: Path) -> Probabilities:
    """``models/model.ts``."""
    run = run_torchscript(bundle / TORCHSCRIPT)
    return _each(bundle, exam, lambda image: run(image)[0])


def onnx(bundle: Path, exam: Path) -> Probabilities:
    """``models/model.onnx`` in ONNX Runtime."""
    run = run_onnx(bundle / ONNX)
    return _each(bundle, exam, lambda image: run(image)[0])


FORMS: Mapping[str, Callable[[Path, Path], Probabilities]] = {
    "plain MONAI": plain_monai,
    "mammo process": processed,
    "TorchScript": torchscript,
    "ONNX Runtime": onnx,
}
"""From a bundle and a folder of images to probabilities; the first one is what the others are compared with."""


def read_result(folder: Path) -> Probabilities:
    """The scored images of a ``result.json``."""
    views = json.loads((folder / RESULT).read_text())["views"]
    return {Path(view["path"]).name: view["probability"] for view in views if view["probability"] is not None}


def widest(columns: Mapping[str, Probabilities]) -> float:
    """The largest difference between the first column and another, of any image.

    Raises:
        ValueError: a column that has not the first one's images.
    """
    reference, *others = columns.values()
    for name, column in columns.items():
        if column.keys() != reference.keys():
            raise ValueError(f"{name} scored {sorted(column)}; expected {sorted(reference)}")
    return max(abs(column[image] - reference[image]) for column in others for image in reference)


def spread(column: Probabilities) -> float:
    """The least difference between two images: by less than this, images that were mixed up would go unseen."""
    ordered = sorted(column.values())
    return min(high - low for low, high in pairwise(ordered))


def table(columns: Mapping[str, Probabilities]) -> str:
    """The probabilities, an image a line, as text."""
    lines = ["  ".join([f"{'image':10}", *(f"{name:>13}" for name in columns)])]
    for image in next(iter(columns.values())):
        lines.append("  ".join([f"{image:10}", *(f"{column[image]:13.7f}" for column in columns.values())]))
    return "\n".join([*lines, f"largest difference {widest(columns):.1e}, at most {TOLERANCE:.0e} is allowed"])


def _random_network(exam: list[Path]) -> MammogramClassifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = MammogramClassifier(SwinEncoder(size="micro")).eval()
        torch.nn.init.normal_(network.head.weight)  # as it begins, all images would get nearly the same
    prepare = PrepareMammogramd(spatial_size=(128, 96), background="zero")
    items = [prepare({"image": path}) for path in exam]
    with torch.no_grad():
        images = torch.stack([torch.cat([item["image"], item["mask"]]) for item in items])
        logits = network(convert_to_tensor(images, track_meta=False))
        network.head.bias[1] -= (logits[:, 1] - logits[:, 0]).mean()
    return network


def _parser(bundle: Path, exam: Path) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(str(bundle / INFERENCE))
    parser.update({"checkpoint": str(bundle / WEIGHTS), "dataset_dir": str(exam)})
    return parser


def _each(bundle: Path, exam: Path, logits_of: Callable[[Tensor], Tensor]) -> Probabilities:
    """Probabilities by ``logits_of``, from a batch of one ``(1, 2, H, W)`` to logits ``(1, 2)``."""
    with torch.inference_mode():
        return {
            Path(item["image_id"]).name: float(logits_of(item["image"][None])[0].softmax(dim=0)[1])
            for item in _parser(bundle, exam).get_parsed_content("dataset")
        }


def _run(words: list[str]) -> None:
    if status := mammo(words):
        raise RuntimeError(f"mammo {' '.join(words[:2])} ended with {status}")
