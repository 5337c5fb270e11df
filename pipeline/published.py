"""The command line of the two Swin papers, flag by flag with their defaults, run on the bundles."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .terminal import speaks_of_more_than_logging, user_error

METHODS = {"breast_aware": ["breast_aware"], "dual_stage": ["dual_stage"]}


def build_parser() -> argparse.ArgumentParser:
    """Every flag of both papers; ``--method`` is the sole addition."""
    parser = argparse.ArgumentParser(
        prog="python -m mammo.pipeline",
        description="Masked image modelling and benign/malignant classification on CBIS-DDSM, as published.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--root_dir", type=Path, required=True, help="folder with the four CBIS-DDSM CSV files")
    add("--dicom_path", default="", help="text file with one DICOM path a line; else root_dir is scanned")
    add("--output_dir", type=Path, default=Path("./outputs"), help="checkpoints, results and pictures")
    add("--cache_dir", default="./cache", help="prepared images of pretraining")
    add("--cache_dir_cls", default="", help="prepared images of classification; empty: cache_dir")
    add("--mim_epochs", type=int, default=3)
    add("--cls_epochs", type=int, default=3)
    add(
        "--missing_label_percentage",
        type=float,
        default=100,
        help="share of the labelled training data to use",
    )
    add("--batch_size", type=int, default=4)
    add("--num_workers", type=int, default=2)
    add("--train_mim", action="store_true", help="pretrain from scratch; else load from output_dir")
    add("--train_cls", action="store_true", help="train the classifier; else load from output_dir")
    add("--visualize", action="store_true", help="attention and Grad-CAM pictures")
    add("--force_recompute", action="store_true", help="prepare the images of pretraining again")
    add("--force_recompute_cls", action="store_true", help="prepare the images of classification again")
    add("--log_mode", choices=["console", "file"], default="console", help="file: output_dir/training_log.txt")
    add("--method", choices=list(METHODS), default="breast_aware", help="which of the two papers")
    return parser


def main(argv: Sequence[str] | None = None, overrides: dict[str, Any] | None = None) -> int:
    """Run the published command line; return the exit status.

    Args:
        argv: the command line; the process's own by default.
        overrides: bundle options beyond the published ones, for callers from Python.
    """
    arguments = build_parser().parse_args(argv)
    _start_log(arguments)
    try:
        run(arguments, overrides or {})
    except KeyboardInterrupt:
        logging.getLogger(__name__).error("interrupted; finished epochs are kept in %s", arguments.output_dir)
        return 130
    except Exception as error:
        cause = user_error(error)
        if cause is None:
            raise
        logging.getLogger(__name__).error("error: %s", cause)
        return 1
    return 0


def run(arguments: argparse.Namespace, extra: dict[str, Any]) -> None:
    """The stages that were asked for, in order.

    Raises:
        ValueError: where a stage that is not to be trained left no checkpoint in ``output_dir``.
    """
    from .bundle_run import run_bundle
    from .datasets.prepare import prepare_dataset

    out = arguments.output_dir
    datalist = out / "datalist.json"
    prepare_dataset("cbis_ddsm", arguments.root_dir, datalist, dicom_list=arguments.dicom_path or None)
    common = {
        "dataset_dir": str(arguments.root_dir),
        "datalist": str(datalist),
        "num_workers": arguments.num_workers,
        "batch_size": arguments.batch_size,
        "resize": "stretch",
    } | extra
    method = {"overlays": METHODS[arguments.method]}
    mim, cls = out / "mim", out / "classifier"
    if arguments.train_mim:
        run_bundle("swin_mim", "pretrain", **method, overrides=common | {
            "output_dir": str(mim), "cache_dir": arguments.cache_dir, "force_recompute": arguments.force_recompute,
            "max_epochs": arguments.mim_epochs,
        })  # fmt: skip
    caching = {
        "cache_dir": arguments.cache_dir_cls or arguments.cache_dir,
        "force_recompute": arguments.force_recompute_cls,
    }
    if arguments.train_cls:
        require(mim / "checkpoints/best.pt", "--train_mim")
        run_bundle("swin_mim", "finetune", **method, overrides=common | caching | {
            "output_dir": str(cls), "pretrained": str(mim / "checkpoints/best.pt"),
            "max_epochs": arguments.cls_epochs,
            "label_percentage": arguments.missing_label_percentage,
        })  # fmt: skip
    if arguments.train_cls or arguments.visualize:
        require(cls / "checkpoints/best.pt", "--train_cls")
        run_bundle("swin_mim", "evaluate", **method, overrides=common | caching | {
            "output_dir": str(cls / "test"), "checkpoint": str(cls / "checkpoints/best.pt"),
        })  # fmt: skip
    if arguments.visualize:
        run_bundle("swin_mim", "explain", **method, overrides=common | caching | {
            "output_dir": str(out / "visualizations"), "force_recompute": False,
            "checkpoint": str(cls / "checkpoints/best.pt"),
        })  # fmt: skip
    if arguments.train_cls or arguments.visualize:
        _write_report(out, datalist, mim, cls)
    if not (arguments.train_mim or arguments.train_cls or arguments.visualize):
        require(mim / "checkpoints/best.pt", "--train_mim")
        require(cls / "checkpoints/best.pt", "--train_cls")
    write_curves(out)


def _write_report(out: Path, datalist: Path, mim: Path, cls: Path) -> None:
    from .report import write_report

    shown = out / "visualizations"
    report = write_report(
        out / "report.html",
        title="mammo: masked image modelling and classification of mammograms",
        datalist=datalist,
        pretrain=mim if mim.is_dir() else None,
        classifiers={"classifier": cls},
        explanations=shown if shown.is_dir() else None,
    )
    logging.getLogger(__name__).info("report: %s", report)


def write_curves(out: Path) -> None:
    """Draw ``mim_loss.png``, ``classification_loss.png`` and ``classification_accuracy.png`` from the histories."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    wanted = {
        "mim_loss": ("mim", "train", "loss"),
        "classification_loss": ("classifier", "train", "loss"),
        "classification_accuracy": ("classifier", "validation", "accuracy"),
    }
    for name, (stage, part, quantity) in wanted.items():
        history = out / stage / "history.json"
        if history.is_file():
            rows = json.loads(history.read_text())[part]
            figure = Figure(figsize=(5, 3.4), layout="constrained")
            axes = figure.subplots()
            axes.plot([row["epoch"] for row in rows], [row[quantity] for row in rows], marker="o")
            axes.set(xlabel="epoch", ylabel=quantity, title=f"{stage}: {part} {quantity}")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            figure.savefig(out / f"{name}.png", dpi=110)


def require(path: Path, flag: str) -> None:
    """Stop where a checkpoint that a stage needs is not there.

    Raises:
        ValueError: naming the file and the flag that makes it.
    """
    if not path.is_file():
        raise ValueError(f"no checkpoint at {path}: run with {flag} first, or name the --output_dir of that run")


def _start_log(arguments: argparse.Namespace) -> None:
    handler: logging.Handler = logging.StreamHandler(sys.stdout)
    if arguments.log_mode == "file":
        arguments.output_dir.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(arguments.output_dir / "training_log.txt")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=[handler], force=True)
    logging.getLogger("monai.bundle.workflows").addFilter(speaks_of_more_than_logging)
    if arguments.log_mode == "file":  # what ends the run is still said where its user looks
        errors = logging.StreamHandler(sys.stderr)
        errors.setLevel(logging.ERROR)
        logging.getLogger().addHandler(errors)
