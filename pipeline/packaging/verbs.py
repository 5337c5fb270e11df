"""Verbs of the command line about bundles that travel: bundle export, bundle localise, bundle verify."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..answer import Answer, add_json_option

__all__ = ["add_bundle_verb"]


def add_bundle_verb(verbs: Any) -> None:
    """Add the parsers of these verbs to the command line's subparsers."""
    bundle = verbs.add_parser("bundle", help="a trained classifier as a MONAI bundle that travels", allow_abbrev=False)
    actions = bundle.add_subparsers(metavar="ACTION", title="actions", required=True)
    export = actions.add_parser(
        "export",
        help="write it: configuration, metadata, state dict, safetensors, TorchScript, ONNX",
        description="Writes the classifier of a finetune run as a bundle without expressions, with its explanation in "
        "the exported graphs, and verifies it.",
        allow_abbrev=False,
    )
    export.add_argument("checkpoint", type=Path, help="checkpoints/best.pt of the run")
    export.add_argument("out", type=Path, help="a new folder, such as breast_classification")
    export.add_argument("--weights_licence", required=True, help="of the weights, such as CC-BY-4.0")
    export.add_argument("--data_licence", help="of the training data, where its datalist does not say it")
    export.add_argument("--forms", nargs="*", help="torchscript onnx (both by default)")
    export.set_defaults(verb=_export, name="bundle export")
    localise = actions.add_parser(
        "localise",
        help="from an exported bundle one for MONAI Label, which marks where the classifier looked",
        description="Writes a localisation bundle: the same network, and its explanation as a mask of the mammogram.",
        allow_abbrev=False,
    )
    localise.add_argument("bundle", type=Path, help="that bundle export wrote, with torchscript")
    localise.add_argument("out", type=Path, help="a new folder, such as breast_segmentation")
    localise.set_defaults(verb=_localise, name="bundle localise")
    verify = actions.add_parser(
        "verify",
        help="check it before use: targets, metadata, licences, hashes, equal results",
        allow_abbrev=False,
    )
    verify.add_argument("folder", type=Path)
    for action in (export, localise, verify):
        add_json_option(action)
    verify.set_defaults(verb=_verify, name="bundle verify")


def _export(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    from .export import FORMS, export_bundle

    forms = FORMS if arguments.forms is None else arguments.forms
    licences = {"weights_licence": arguments.weights_licence, "data_licence": arguments.data_licence}
    export_bundle(arguments.checkpoint, arguments.out, forms=forms, **licences)
    return Answer({"bundle": arguments.out})


def _localise(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    from .localisation import export_localisation

    export_localisation(arguments.bundle, arguments.out)
    return Answer({"bundle": arguments.out})


def _verify(arguments: argparse.Namespace, overrides: Mapping[str, Any]) -> Answer:
    from .verify import verify_bundle

    differences = verify_bundle(arguments.folder)
    for name, difference in differences.items():
        print(f"{name}: differs from the network by {difference:.1e}")
    print(f"{arguments.folder}: verified; for research use only")
    return Answer({"bundle": arguments.folder, "differences": differences})
