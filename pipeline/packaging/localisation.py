"""From an exported classifier to a bundle for MONAI Label, which marks where the classifier looked."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..evidence.hashes import sha256_of
from .names import INFERENCE, LABEL_STEPS, METADATA, NOTICE, TORCHSCRIPT
from .verify import check_bundle, verify_bundle
from .writing import write_json

__all__ = ["export_localisation"]

logger = logging.getLogger(__name__)

ENDING = "_segmentation"
OTHER_TASKS = ("deepedit", "deepgrow", "detection")

README = """# {name}: selected regions

Marks, in a mammogram, the parts that a classifier of benign against malignant looked at (its Grad-CAM). A mark is a
*selected region*: neither an outline nor a finding, and not measured against any. {notice}

For MONAI Label: the folder's name ends in `_segmentation`, and `models/model.ts` is the classifier as it was exported,
to the byte. Without MONAI Label: `preprocessing`, the network, `inferer` and `postprocessing` of
`configs/inference.json`; the mask is `(1, columns, rows, 1)`. The package `mammo` must be installed. Unlike
`mammo process`, nothing refuses an image that the classifier was not made for, such as one with an implant.
"""


def export_localisation(bundle: Path, out: Path) -> Path:
    """Write a bundle that marks the regions which ``mammo process`` tells of the same classifier.

    Its network is the file ``models/model.ts`` of the classifier's bundle, unchanged: it gives the explanation beside
    the logits. What is written is verified before it appears.

    Args:
        bundle: that :func:`~mammo.pipeline.packaging.export.export_bundle` wrote, TorchScript among its forms.
        out: a folder that is not there; its name ends in ``_segmentation``, by which MONAI Label knows the task.

    Raises:
        ValueError: ``out`` is there or has another name, or the bundle is broken, of another classifier or without
            TorchScript.
        FileNotFoundError: it is no bundle.
    """
    _check_name(out)
    about, configuration = check_bundle(bundle)
    if TORCHSCRIPT not in about["files"]:
        raise ValueError(f"{bundle} holds no {TORCHSCRIPT}; export it with --forms torchscript")
    if configuration["tasks"] != ["pathology"] or configuration.get("multi_label"):
        raise ValueError(f"{bundle} tells {configuration['tasks']}; regions are of a classifier of ['pathology']")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as temporary:
        folder = Path(temporary) / out.name
        write_json(folder / INFERENCE, localisation_configuration(configuration))
        told = localisation_metadata(about, bundle.resolve().name)
        told["files"] = {INFERENCE: sha256_of(folder / INFERENCE), TORCHSCRIPT: about["files"][TORCHSCRIPT]}
        write_json(folder / METADATA, told)
        for name in (TORCHSCRIPT, "LICENSE"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle / name, folder / name)
        (folder / "docs").mkdir()
        readme = README.format(name=out.name, notice=NOTICE)
        (folder / "docs" / "README.md").write_text(readme, encoding="utf-8")
        verify_bundle(folder)
        os.replace(folder, out)
    logger.info("%s written and verified; for research use only", out)
    return out


def localisation_configuration(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """``inference.json``: the classifier's preparation between reading for MONAI Label and marking."""
    prepare = configuration["load"][0]
    named = [value[1:] for value in prepare.values() if str(value).startswith("@")]
    return {
        "bundle_root": ".",
        "device": "cpu",
        **{name: configuration[name] for name in named},
        "quantile": 0.95,
        "most_regions": 3,
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": f"{LABEL_STEPS}.SeriesFiled", "keys": "image"},
                # MONAI Label's pydicom is too old to decode what is compressed.
                prepare | {"backend": "itk"},
                {"_target_": f"{LABEL_STEPS}.StoredFramed", "keys": "image"},
                {"_target_": f"{LABEL_STEPS}.AsPreparedd", "keys": ["image", "mask"]},
                {"_target_": "ConcatItemsd", "keys": ["image", "mask"], "name": "image"},
            ],
        },
        "inferer": {"_target_": f"{LABEL_STEPS}.ExplanationInferer"},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {
                    "_target_": f"{LABEL_STEPS}.MarkRegionsd",
                    "keys": "pred",
                    "quantile": "@quantile",
                    "most_regions": "@most_regions",
                }
            ],
        },
    }


def localisation_metadata(about: Mapping[str, Any], source: str) -> dict[str, Any]:
    """``metadata.json``: the classifier's, with a mask as the output and no measure, since none was taken."""
    told = {
        "name": f"{about['name']}: selected regions",
        "task": "Marking the parts of a mammogram that a classifier looked at",
        "description": "Marks as selected regions the hottest parts of the classifier's Grad-CAM. It is no "
        "segmentation of lesions and was not measured as one.",
        "label_classes": "none: the classifier was trained on benign and malignant, not on outlines",
        "pred_classes": "0 background, 1 selected region",
        "eval_metrics": {},
        "classifier": {"bundle": source, "checkpoint_sha256": about["checkpoint_sha256"]},
    }
    output = {
        "type": "image",
        "format": "segmentation",
        "num_channels": 1,
        "spatial_shape": ["*", "*"],
        "dtype": "uint8",
        "value_range": [0, 1],
        "is_patch_data": False,
        "channel_def": {"0": "background", "1": "selected region"},
    }
    left_out = ("operating_points", "checkpoint_sha256", "tasks")
    content = {name: value for name, value in about.items() if name not in left_out} | told
    content["network_data_format"] = dict(about["network_data_format"]) | {"outputs": {"pred": output}}
    return content


def _check_name(out: Path) -> None:
    if out.exists():
        raise ValueError(f"{out} is there already; give a new folder")
    name = out.name.lower()
    if not name.endswith(ENDING) or any(task in name for task in OTHER_TASKS):
        raise ValueError(
            f"{out.name}: MONAI Label takes the task from the name; let it end in {ENDING} and hold none of "
            f"{', '.join(OTHER_TASKS)}"
        )
