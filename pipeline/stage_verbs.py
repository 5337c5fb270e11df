"""The verbs that run a stage of a bundle: their options are the keys of its configuration."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .answer import Answer, add_json_option, new_results

__all__ = ["STAGES", "add_stage_options", "add_stage_verbs", "bundle_of"]

STAGES = {
    "pretrain": "masked image modelling on unlabelled mammograms",
    "finetune": "train a classifier from a pretrained encoder, or from scratch with --pretrained null",
    "evaluate": "score a classifier on the test patients, with intervals",
    "explain": "attention and Grad-CAM of each case, with measures; or where a --sentence is seen in --images",
    "detect": "train a lesion detector (boxes) from a pretrained encoder, or from scratch with --pretrained null",
    "evaluate_detection": "score a detector on the test patients: FROC and average precision, with boxes",
    "zero_shot": "findings of mammograms by sentences, from an image-text pretraining of bundle mammo_clip",
    "retrieval": "do images find their report, and reports their image? of an image-text pretraining of mammo_clip",
    "linear_probe": "a linear head on the frozen encoder of an image-text pretraining, every image encoded once",
    "factor_train": "which places speak for a finding, learned from labels of images alone: Mammo-FActOR",
    "factor_explain": "where Mammo-FActOR sees each finding, with boxes, beside Grad-CAM and chance",
    "pretrain_moco": "contrastive pretraining (MoCo-v3) of bundle miram's ViT, for comparison",
    "pretrain_dino": "self-distillation (DINO) of bundle miram's ViT, for comparison",
}
OTHER_BUNDLES = {
    "pretrain_moco": "miram",
    "pretrain_dino": "miram",
    "linear_probe": "mammo_clip",
    "zero_shot": "mammo_clip",
    "retrieval": "mammo_clip",
    "factor_train": "mammo_clip",
    "factor_explain": "mammo_clip",
}
"""Stages that the usual bundle has not."""


def add_stage_verbs(verbs: Any) -> None:
    """Add a verb for every stage. Its help is printed by the verb, since only a run of it knows bundle and overlays."""
    for name, text in STAGES.items():
        stage = verbs.add_parser(
            name,
            help=text,
            usage=f"mammo {name} [-h] [--bundle BUNDLE] [--overlay OVERLAY ...] [--KEY VALUE ...]",
            description=f"{text[0].upper()}{text[1:]}. Options are the keys of the bundle's {name}.yaml: --KEY VALUE.",
            allow_abbrev=False,
            add_help=False,
        )
        stage.add_argument(
            "-h", "--help", action="store_true", help="this, with every option and its default, overlays laid over"
        )
        stage.add_argument("--bundle", default=bundle_of(name), help="swin_mim, miram or mammo_clip; here %(default)s")
        stage.add_argument(
            "--overlay",
            action="extend",
            nargs="+",
            default=[],
            help="configurations laid over, of the bundle (tiny, density, margins ...) or paths",
        )
        add_json_option(stage)
        stage.set_defaults(verb=_stage, stage=name, name=name, parser=stage)


def bundle_of(stage: str) -> str:
    """The bundle that a stage is run of where none is named."""
    return OTHER_BUNDLES.get(stage, "swin_mim")


def add_stage_options(parser: argparse.ArgumentParser, bundle: str, stage: str, overlays: Sequence[str | Path]) -> None:
    """Add what a stage's configuration offers to its parser, for help and completion.

    Raises:
        ValueError: there is no such bundle, stage or overlay.
    """
    from .stage_options import overlay_names, stage_options

    found = stage_options(bundle, stage, overlays)
    laid = "".join(f" with {overlay}" for overlay in overlays)
    text = f"overlays: {', '.join(overlay_names(bundle))}. Nested keys: --KEY::KEY VALUE."
    group = parser.add_argument_group(f"options of {bundle}'s {stage}.yaml{laid}", text)
    for option in found:
        words = f"{option.meaning} (default: {option.default})".strip().replace("%", "%%")
        group.add_argument(f"--{option.name}", metavar="", help=words)


def _stage(arguments: argparse.Namespace, overrides: dict[str, Any]) -> Answer:
    if arguments.help:
        add_stage_options(arguments.parser, arguments.bundle, arguments.stage, arguments.overlay)
        arguments.parser.print_help()
        return Answer()
    from .bundle_run import run_bundle

    if arguments.stage == "explain" and "sentence" in overrides:
        from .image_text.sentence_verb import explain_sentence

        workflow = explain_sentence(overrides, arguments.overlay)
    else:
        workflow = run_bundle(arguments.bundle, arguments.stage, overlays=arguments.overlay, overrides=overrides)
    return Answer(new_results(Path(workflow.parser["output_dir"]), arguments.since))
