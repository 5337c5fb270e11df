"""``mammo demo`` in small: every stage, both classifiers, one report."""

import json

import pandas as pd
import pytest
from mammo.pipeline import demo
from mammo.pipeline.cli import main


@pytest.fixture
def small(monkeypatch):
    for name, value in {"PRETRAIN_EPOCHS": 1, "FINETUNE_EPOCHS": 2, "STEPS": 2}.items():
        monkeypatch.setattr(demo, name, value)
    monkeypatch.setattr(demo.run_demo, "__kwdefaults__", {"seed": 0, "patients": 24})


def test_both_classifiers_get_equal_steps_and_the_table_is_what_was_measured(small, tmp_path, capsys):
    assert main(["demo", "--output_dir", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    runs = tmp_path / "runs"
    steps = {
        name: json.loads((runs / name / "history.json").read_text())["train"][-1]["iteration"]
        for name in ("pretrain", "pretrained", "from_scratch")
    }
    assert steps["pretrain"] + steps["pretrained"] == steps["from_scratch"] == 6
    for name in ("pretrained", "from_scratch"):
        auc = json.loads((runs / name / "test/metrics.json").read_text())["levels"]["image"]["auc"]
        assert f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})" in printed
    shown = pd.read_csv(runs / "explain/explanations.csv")
    assert set(shown["map"]) == {"attention", "attention_gradient", "gradcam"}
    assert shown["image_id"].nunique() == 8  # two views of four patients
    assert f"report: {tmp_path / 'report.html'}" in printed
    assert "from scratch" in (tmp_path / "report.html").read_text()


def test_an_error_in_a_classifier_reaches_the_user_in_one_line(small, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo.run_demo, "__kwdefaults__", {"seed": 0, "patients": 12})
    monkeypatch.setattr(demo, "_stage", lambda *arguments, **options: None)  # no pretraining: its checkpoint is missing
    assert main(["demo", "--output_dir", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("mammo: error: no checkpoint at ")
    assert "pretrain/checkpoints/best.pt" in error
