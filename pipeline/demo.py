"""``mammo demo``: the whole chain on the embedded phantom, from DICOM files to one report."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from .bundle_run import run_bundle
from .datasets.prepare import prepare_dataset
from .metrics import compare, summarise_explanations
from .phantom import generate
from .report import write_report
from .terminal import configure_logging, user_error

logger = logging.getLogger(__name__)

PATIENTS = 480
TEST_FRACTION = 1 / 5
PRETRAIN_EPOCHS = 2
FINETUNE_EPOCHS = 6
STEPS = 32
"""Optimiser steps an epoch, the same in both stages, so that the two classifiers get equal totals."""


def run_demo(output_dir: Path, *, seed: int = 0, patients: int = PATIENTS) -> Path:
    """Generate, pretrain, fine-tune twice, evaluate, explain and report; return the path of the report.

    The second classifier starts from random weights and gets as many optimiser steps as pretraining and
    fine-tuning of the first together.
    """
    data, runs = output_dir / "phantom", output_dir / "runs"
    with _timed("synthetic mammograms, written as DICOM"):
        generate(
            data, patients=patients, seed=seed, test_fraction=TEST_FRACTION, preset="demo", unaffected=False, workers=2
        )
        prepare_dataset("cbis_ddsm", data, data / "datalist.json", validation_fraction=0.16, seed=seed)
    shared = {"dataset_dir": str(data), "cache_dir": str(output_dir / "cache"), "device": "cpu", "seed": seed}
    with _timed("pretraining"):
        _stage("pretrain", runs / "pretrain", shared, max_epochs=PRETRAIN_EPOCHS, epoch_length=STEPS)
    with _timed("two classifiers side by side, one core each"):
        _train_classifiers(runs, shared)
    with _timed("explanation"):
        _stage("explain", runs / "explain", shared, checkpoint=str(runs / "pretrained/checkpoints/best.pt"))
    with _timed("report"):
        report = write_report(
            output_dir / "report.html",
            title="mammo demo: synthetic mammograms",
            datalist=data / "datalist.json",
            pretrain=runs / "pretrain",
            classifiers={name: runs / name.replace(" ", "_") for name in ("pretrained", "from scratch")},
            explanations=runs / "explain",
            notes=["All images are synthetic (the embedded phantom): these figures say nothing about patients."],
        )
    print(summary_table(runs))
    print(f"\nreport: {report}")
    return report


def _stage(name: str, folder: Path, shared: dict[str, Any], **options: Any) -> None:
    run_bundle("swin_mim", name, overlays=["demo"], overrides={**shared, "output_dir": str(folder), **options})


def _train_classifiers(runs: Path, shared: dict[str, Any]) -> None:
    starts: dict[str, dict[str, Any]] = {
        "pretrained": {"pretrained": str(runs / "pretrain/checkpoints/best.pt"), "max_epochs": FINETUNE_EPOCHS},
        "from_scratch": {"pretrained": None, "max_epochs": PRETRAIN_EPOCHS + FINETUNE_EPOCHS},
    }
    context = get_context("forkserver")
    context.set_forkserver_preload(["mammo.pipeline.bundle_run", "mammo.networks", "mammo.transforms"])
    # Two trainings with a core each end sooner than one after the other with both.
    with ProcessPoolExecutor(2, mp_context=context, initializer=_use_one_core) as pool:
        jobs = [
            pool.submit(_train_classifier, runs / name, shared | {"num_workers": 0}, start | {"epoch_length": STEPS})
            for name, start in starts.items()
        ]
        for job in jobs:
            job.result()


def _use_one_core() -> None:
    configure_logging()
    torch.set_num_threads(1)


def _train_classifier(run: Path, shared: dict[str, Any], training: dict[str, Any]) -> None:
    try:
        _stage("finetune", run, shared, **training)
        _stage("evaluate", run / "test", shared, checkpoint=str(run / "checkpoints/best.pt"))
    except Exception as error:
        raise user_error(error) or error from None  # causes do not survive the way to another process


@contextmanager
def _timed(name: str) -> Iterator[None]:
    start = time.perf_counter()
    logger.info("== %s", name)
    yield
    logger.info("== %s: %.0f s", name, time.perf_counter() - start)


def summary_table(runs: Path) -> str:
    """What the demo measured on its test patients, as text."""
    lines = ["", "Test patients of the phantom; 95 % intervals by patient bootstrap", ""]
    tables = {}
    for name in ("pretrained", "from_scratch"):
        auc = json.loads((runs / name / "test/metrics.json").read_text())["levels"]["image"]["auc"]
        lines.append(f"  {'AUC, ' + name.replace('_', ' '):<52}{_interval(auc)}")
        table = pd.read_csv(runs / name / "test/predictions.csv")
        tables[name] = table[table["split"] == "test"]
    paired = compare(tables["pretrained"], tables["from_scratch"])
    lines.append(f"  {'difference (equal optimiser steps)':<52}{_interval(paired['difference'])}")
    maps = summarise_explanations(pd.read_csv(runs / "explain/explanations.csv"))["maps"]
    titles = {"gradcam": "Grad-CAM", "attention": "attention", "attention_gradient": "attention by gradient"}
    for map_name, title in titles.items():
        for measure, text in (
            ("pointing_hit", "points at the lesion"),
            ("background_ratio", "energy outside the breast"),
        ):
            found = maps[map_name]["measures"][measure]
            chance = found["chance"]["pointing_chance_breast" if measure == "pointing_hit" else "background_chance"]
            beside = "" if chance is None else f", chance {chance:.3f}"
            lines.append(f"  {title + ', ' + text:<52}{_interval(found['mean'])}{beside}")
    return "\n".join(lines)


def _interval(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return f"not defined ({found['reason']})"
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
