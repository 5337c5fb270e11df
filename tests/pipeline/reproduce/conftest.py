"""A row of one's own on the small phantom, with the split that it has, frozen."""

from pathlib import Path

import pytest
import yaml
from mammo.pipeline.cli import main

SMALL = {"size": "micro", "image_size": [64, 32], "batch_size": 4, "device": "cpu", "bootstrap_draws": 20}


def own_row(**changes):
    """A classifier of two stages, small enough for a test."""
    return {
        "id": "own-row",
        "system": "a small Swin",
        "dataset": "phantom",
        "paper": {"title": "A paper", "arxiv": "2501.00001", "place": "Table 1"},
        "data": [{"dataset": "cbis_ddsm", "options": {"validation_fraction": 0.5}}],
        "split": {"rule": "the phantom's", "file": "split.json"},
        "bundle": "swin_mim",
        "options": SMALL,
        "steps": [
            {"stage": "finetune", "options": {"pretrained": None, "max_epochs": 1, "epoch_length": 2}},
            {"stage": "evaluate", "inputs": {"checkpoint": "finetune"}},
        ],
        "figures": [{"measure": "auc", "value": 0.75}, {"measure": "auc", "level": "patient_max"}],
        "differs": ["It is small."],
    } | changes


@pytest.fixture
def write_row(tmp_path):
    """Writes a row's file and returns its path."""

    def write(name="row.yaml", **changes) -> Path:
        path = tmp_path / name
        path.write_text(yaml.safe_dump(own_row(**changes), sort_keys=False))
        return path

    return write


@pytest.fixture
def frozen_row(write_row, phantom, tmp_path, capsys) -> Path:
    """A row whose split file holds the phantom's split."""
    path = write_row()
    arguments = ["--freeze", str(tmp_path / "split.json"), "--count", "pathology", "--output_dir", str(tmp_path / "f")]
    assert main(["reproduce", str(path), "--data", str(phantom), *arguments]) == 0
    capsys.readouterr()
    return path
