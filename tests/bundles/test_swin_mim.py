"""Every stage of the bundle on a tiny phantom, and MONAI's own verification."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from mammo.bundles import bundle_root
from mammo.pipeline.bundle_run import run_bundle
from mammo.pipeline.checkpoints import TrainingCheckpoints
from monai.bundle import ConfigParser, ConfigWorkflow, verify_net_in_out
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

CONFIGS = bundle_root("swin_mim") / "configs"
STAGES = ("pretrain", "finetune", "evaluate", "explain")


@pytest.fixture(scope="module")
def runs(options, tmp_path_factory) -> Path:
    """The folder of one run through all stages."""
    out = tmp_path_factory.mktemp("runs")
    training = options | {"max_epochs": 2}
    run_bundle("swin_mim", "pretrain", overrides=training | {"output_dir": str(out / "pretrain")})
    start = str(out / "pretrain/checkpoints/best.pt")
    run_bundle("swin_mim", "finetune", overrides=training | {"output_dir": str(out / "finetune"), "pretrained": start})
    scored = {"checkpoint": str(out / "finetune/checkpoints/best.pt")}
    more = {"bootstrap_draws": 50, "output_dir": str(out / "evaluate")}
    run_bundle("swin_mim", "evaluate", overrides=options | scored | more)
    run_bundle("swin_mim", "explain", overrides=options | scored | {"output_dir": str(out / "explain"), "figures": 1})
    return out


def test_training_leaves_weights_history_and_what_was_run(runs):
    for stage in ("pretrain", "finetune"):
        history = json.loads((runs / stage / "history.json").read_text())
        assert [row["epoch"] for row in history["train"]] == [1, 2]
        assert [row["epoch"] for row in history["validation"]] == [1, 2]
        assert np.isfinite([row["loss"] for row in history["train"]]).all()
        assert yaml.safe_load((runs / stage / "config.yaml").read_text())["size"] == "micro"
        assert json.loads((runs / stage / "environment.json").read_text())["datalist_sha256"]
        assert torch.load(runs / stage / "checkpoints/best.pt", weights_only=True)


def test_tensorboard_shows_on_request_what_the_history_holds(runs, options, tmp_path):
    asked = {"output_dir": str(tmp_path), "pretrained": None, "max_epochs": 2, "tensorboard": str(tmp_path / "events")}
    run_bundle("swin_mim", "finetune", overrides=options | asked)
    assert not list(runs.rglob("*tfevents*"))  # nobody asked there
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    history = json.loads((tmp_path / "history.json").read_text())
    for name in ("auc", "accuracy"):
        shown = [(event.step, event.value) for event in events.Scalars(name)]
        assert shown == [(row["epoch"], pytest.approx(row[name])) for row in history["validation"]]
    losses = np.array([event.value for event in events.Scalars("loss")]).reshape(2, -1).mean(axis=1)
    np.testing.assert_allclose(losses, [row["loss"] for row in history["train"]], rtol=1e-5)


def test_pretraining_shows_its_reconstructions_every_epoch(runs):
    assert len(list((runs / "pretrain/figures").glob("reconstruction_epoch_*.png"))) == 2


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_a_stage_starts_from_the_pretrained_encoder(stage, runs, options, tmp_path):
    start = str(runs / "pretrain/checkpoints/best.pt")
    still = {"output_dir": str(tmp_path), "pretrained": start, "max_epochs": 1, "learning_rate": 0.0}
    run_bundle("swin_mim", stage, overrides=options | still | {"seed": 1})
    before = torch.load(start, weights_only=True)
    after = torch.load(tmp_path / "checkpoints/best.pt", weights_only=True)
    running = ("running_mean", "running_var", "num_batches_tracked")  # of batch norm: they move at any learning rate
    shared = [name for name in before if name.startswith("encoder.") and not name.endswith(running)]
    assert shared
    for name in shared:
        torch.testing.assert_close(after[name], before[name])
    others = [name for name in after if name.endswith("weight") and not name.startswith("encoder.")]
    assert not all(name in before and torch.equal(after[name], before[name]) for name in others)


def test_evaluation_scores_each_labelled_test_image_once(runs, phantom):
    table = pd.read_csv(runs / "evaluate/predictions.csv")
    listed = json.loads((phantom / "datalist.json").read_text())["test"]
    expected = {record["image_id"] for record in listed if "pathology" in record}
    assert sorted(table[table["split"] == "test"]["image_id"]) == sorted(expected)
    assert table["probability"].between(0, 1).all()
    assert json.loads((runs / "evaluate/metrics.json").read_text())


def test_explanation_measures_every_map_and_draws_the_cases_asked_for(runs):
    table = pd.read_csv(runs / "explain/explanations.csv")
    assert set(table["map"]) == {"attention", "attention_gradient", "gradcam"}
    assert table.groupby("image_id")["map"].nunique().eq(3).all()
    assert table["background_chance"].between(0, 1).all()
    assert len(list((runs / "explain/figures").glob("*.png"))) == 1


def test_a_chosen_case_is_explained_alone(runs, options, tmp_path):
    case = pd.read_csv(runs / "explain/explanations.csv")["image_id"][0]
    more = {"checkpoint": str(runs / "finetune/checkpoints/best.pt"), "output_dir": str(tmp_path), "cases": [case]}
    run_bundle("swin_mim", "explain", overrides=options | more)
    assert set(pd.read_csv(tmp_path / "explanations.csv")["image_id"]) == {case}


def test_a_resumed_run_equals_one_that_was_never_stopped(options, tmp_path, monkeypatch):
    training = options | {"pretrained": None, "learning_rate": 1e-3, "max_epochs": 3}
    run_bundle("swin_mim", "finetune", overrides=training | {"output_dir": str(tmp_path / "whole")})
    stopped = training | {"output_dir": str(tmp_path / "stopped")}
    original = TrainingCheckpoints.save_last

    def save_and_die(self, trainer):
        original(self, trainer)
        if trainer.state.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingCheckpoints, "save_last", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        run_bundle("swin_mim", "finetune", overrides=stopped)
    monkeypatch.setattr(TrainingCheckpoints, "save_last", original)
    run_bundle("swin_mim", "finetune", overrides=stopped | {"resume": True})

    runs = [tmp_path / "whole", tmp_path / "stopped"]
    first, second = (torch.load(run / "checkpoints/last.pt", weights_only=True) for run in runs)
    for name, value in first["model"].items():
        torch.testing.assert_close(second["model"][name], value, rtol=0, atol=0)
    assert first["best"] == second["best"]
    histories = [json.loads((run / "history.json").read_text()) for run in runs]
    assert histories[0] == histories[1]


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_monai_finds_every_training_property(stage, options, tmp_path):
    overrides = {**options, "pretrained": None, "output_dir": str(tmp_path)}
    workflow = ConfigWorkflow(str(CONFIGS / f"{stage}.yaml"), workflow_type="train", logging_file=False, **overrides)
    workflow.initialize()
    assert workflow.check_properties() == []


@pytest.mark.parametrize("stage", ["evaluate", "explain", "inference"])
def test_monai_finds_every_inference_property(stage, options, tmp_path, runs):
    file = CONFIGS / (f"{stage}.json" if stage == "inference" else f"{stage}.yaml")
    overrides = {**options, "checkpoint": str(runs / "finetune/checkpoints/best.pt"), "output_dir": str(tmp_path)}
    workflow = ConfigWorkflow(str(file), workflow_type="infer", logging_file=False, **overrides)
    workflow.initialize()
    assert workflow.check_properties() == []


@pytest.mark.parametrize("stage", [*STAGES[1:], "inference"])
def test_the_network_takes_and_gives_what_the_metadata_says(stage):
    file = CONFIGS / (f"{stage}.json" if stage == "inference" else f"{stage}.yaml")
    # MONAI drops an override that is None; the expression is evaluated to it later.
    start = {"pretrained": "$None"} if stage == "finetune" else {}
    files = {"meta_file": str(CONFIGS / "metadata.json"), "config_file": str(file)}
    verify_net_in_out("network_def", **files, device="cpu", size="micro", **start)


def test_inference_needs_no_expressions(monkeypatch):
    text = (CONFIGS / "inference.json").read_text()
    assert '"$' not in text
    assert ': "%' not in text


def test_inference_scores_a_folder_and_names_what_it_could_not_read(runs, options, phantom, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    source = next(phantom.glob("CBIS-DDSM/*_CC/*/*/*.dcm"))
    (images / "good.dcm").write_bytes(source.read_bytes())
    (images / "cut.dcm").write_bytes(source.read_bytes()[:-3000])
    overrides = {key: options[key] for key in ("size", "image_size")} | {
        "checkpoint": str(runs / "finetune/checkpoints/best.pt"),
        "dataset_dir": str(images),
        "output_file": str(tmp_path / "scores.csv"),
    }
    workflow = ConfigWorkflow(str(CONFIGS / "inference.json"), workflow_type="infer", logging_file=False, **overrides)
    workflow.initialize()
    workflow.run()
    table = pd.read_csv(tmp_path / "scores.csv").set_index("image")
    assert table.loc[str(images / "good.dcm"), "status"] == "scored"
    assert table.loc[str(images / "cut.dcm"), "status"] == "not scored"
    assert "cut.dcm" in table.loc[str(images / "cut.dcm"), "reason"]


def load_steps(file: Path) -> list:
    parser = ConfigParser.load_config_file(file)
    return parser["load"]


def test_every_configuration_prepares_images_alike():
    chains = [load_steps(CONFIGS / f"{stage}.yaml") for stage in STAGES] + [load_steps(CONFIGS / "inference.json")]
    assert all(chain == chains[0] for chain in chains)


def test_an_unknown_option_is_refused_with_the_nearest_name(options):
    with pytest.raises(ValueError, match="max_epochs"):
        run_bundle("swin_mim", "pretrain", overrides=options | {"max_epoch": 1})


def test_the_second_papers_settings_train_several_tasks(options, tmp_path):
    more = {"output_dir": str(tmp_path), "pretrained": None, "max_epochs": 1}
    run_bundle("swin_mim", "finetune", overlays=["dual_stage"], overrides=options | more)
    state = torch.load(tmp_path / "checkpoints/best.pt", weights_only=True)
    assert state["head.weight"].shape[0] == 2 + 2 + 4 + 6 + 5
