"""``mammo demo``: the whole chain on the embedded phantom, from DICOM files to one report."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from .bundle_run import run_bundle
from .datasets.prepare import prepare_dataset
from .metrics import compare, summarise_explanations
from .phantom import generate
from .report import write_report

logger = logging.getLogger(__name__)

PATIENTS = 300
TEST_FRACTION = 1 / 3
IMAGE_SIZE = [224, 112]
PRETRAIN_EPOCHS = 3
FINETUNE_EPOCHS = 6
STEPS = 50
"""Optimiser steps an epoch, the same in both stages, so that the two classifiers get equal totals."""


def run_demo(output_dir: Path, *, seed: int = 0, patients: int = PATIENTS) -> Path:
    """Generate, pretrain, fine-tune twice, evaluate, explain and report; return the path of the report.

    The second classifier starts from random weights and gets as many optimiser steps as pretraining and
    fine-tuning of the first together.
    """
    data, runs = output_dir / "phantom", output_dir / "runs"
    with _timed("synthetic mammograms written as DICOM"):
        generate(data, patients=patients, seed=seed, test_fraction=TEST_FRACTION, preset="demo", workers=2)
        prepare_dataset("cbis_ddsm", data, data / "datalist.json", seed=seed)
    common: dict[str, Any] = {
        "dataset_dir": str(data),
        "cache_dir": str(output_dir / "cache"),
        "image_size": IMAGE_SIZE,
        "size": "micro",
        "batch_size": 16,
        "num_workers": 0,
        "seed": seed,
        "learning_rate": 1e-3,
        "device": "cpu",
    }
    training = common | {"train::trainer::epoch_length": STEPS}
    with _timed("pretraining"):
        run_bundle("swin_mim", "pretrain", overrides=training | {
            "output_dir": str(runs / "pretrain"), "max_epochs": PRETRAIN_EPOCHS,
        })  # fmt: skip
    starts = {
        "pretrained": (str(runs / "pretrain/checkpoints/best.pt"), FINETUNE_EPOCHS),
        "scratch": (None, PRETRAIN_EPOCHS + FINETUNE_EPOCHS),
    }
    for name, (weights, epochs) in starts.items():
        with _timed(f"classifier ({name})"):
            run_bundle("swin_mim", "finetune", overrides=training | {
                "output_dir": str(runs / name), "pretrained": weights, "max_epochs": epochs,
            })  # fmt: skip
            scoring = {
                "checkpoint": str(runs / name / "checkpoints/best.pt"),
                "output_dir": str(runs / name / "test"),
            }
            run_bundle("swin_mim", "evaluate", overrides=_known(common) | scoring)
    with _timed("explanation"):
        run_bundle("swin_mim", "explain", overrides=_known(common) | {
            "checkpoint": str(runs / "pretrained/checkpoints/best.pt"), "output_dir": str(runs / "explain"),
        })  # fmt: skip
    report = write_report(
        output_dir / "report.html",
        title="mammo demo: synthetic mammograms",
        datalist=data / "datalist.json",
        pretrain=runs / "pretrain",
        classifiers={name: runs / name for name in starts},
        explanations=runs / "explain",
        notes=["All images are synthetic (the embedded phantom): these figures say nothing about patients."],
    )
    _print_table(runs)
    print(f"report: {report}")
    return report


def _known(common: dict[str, Any]) -> dict[str, Any]:
    """The shared options that evaluation and explanation have too."""
    return {name: value for name, value in common.items() if name != "learning_rate"}


@contextmanager
def _timed(name: str) -> Iterator[None]:
    start = time.perf_counter()
    logger.info("== %s", name)
    yield
    logger.info("== %s: %.0f s", name, time.perf_counter() - start)


def _print_table(runs: Path) -> None:
    print("\nTest patients of the phantom; 95 % intervals by patient bootstrap")
    for name in ("pretrained", "scratch"):
        auc = json.loads((runs / name / "test/metrics.json").read_text())["levels"]["image"]["auc"]
        print(f"  AUC, {name:<12} {auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})")
    tables = [pd.read_csv(runs / name / "test/predictions.csv") for name in ("pretrained", "scratch")]
    print("  difference", compare(*(table[table["split"] == "test"] for table in tables)))
    summary = summarise_explanations(pd.read_csv(runs / "explain/explanations.csv"))
    print(summary)
