"""Every stage of the bundle on the lesions of a tiny phantom, and MONAI's own verification."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mammo.bundles import bundle_root
from mammo.networks import encoder_state
from mammo.pipeline.bundle_run import run_bundle
from mammo.pipeline.cli import main
from mammo.pipeline.datasets import lesion_crops, load_datalist, save_datalist
from mammo.pipeline.datasets.labels import GROUPS
from monai.bundle import ConfigParser, ConfigWorkflow, verify_net_in_out

CONFIGS = bundle_root("miram") / "configs"
SMALL_DECODERS = {"decoder_dim": 32, "decoder_depth": 1, "decoder_heads": 2}


@pytest.fixture(scope="module")
def lesions(phantom, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("lesions") / "lesions.json"
    crops, _ = lesion_crops(load_datalist(phantom / "datalist.json"), margin=0.2)
    return save_datalist(crops, path, keep_root=True)


@pytest.fixture(scope="module")
def small(options, lesions) -> dict:
    return options | {"image_size": [32, 32], "datalist": str(lesions)}


@pytest.fixture(scope="module")
def pretrained(small, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("miram") / "pretrain"
    run_bundle("miram", "pretrain", overrides=small | SMALL_DECODERS | {"output_dir": str(out), "max_epochs": 2})
    return out


def finetuned(out: Path, small: dict, pretrained: Path, *overlays: str, **more) -> Path:
    start = str(pretrained / "checkpoints/best.pt")
    overrides = small | {"output_dir": str(out), "pretrained": start, "max_epochs": 1} | more
    run_bundle("miram", "finetune", overlays=overlays, overrides=overrides)
    scored = {"checkpoint": str(out / "checkpoints/best.pt"), "output_dir": str(out / "test"), "bootstrap_draws": 20}
    stages = [name for name in overlays if name in ("margins", "linear_probe")]
    run_bundle("miram", "evaluate", overlays=stages, overrides=small | scored)
    return out


@pytest.fixture(scope="module")
def pathology(small, pretrained, tmp_path_factory) -> Path:
    return finetuned(tmp_path_factory.mktemp("pathology"), small, pretrained)


@pytest.fixture(scope="module")
def margins(small, pretrained, tmp_path_factory) -> Path:
    return finetuned(tmp_path_factory.mktemp("margins"), small, pretrained, "margins")


def test_pretraining_lowers_its_loss_and_shows_both_scales(pretrained):
    history = json.loads((pretrained / "history.json").read_text())
    assert {"loss", "scale_1", "scale_2"} <= set(history["train"][0])
    for row in history["train"]:
        assert row["loss"] == pytest.approx((row["scale_1"] + row["scale_2"]) / 2, rel=1e-5)
    assert history["validation"][0]["feature_rank"] > 1
    assert len(list((pretrained / "figures").glob("*.png"))) == 2


@pytest.mark.parametrize(
    ("attention", "few"),
    [("linformer", {"k": 4}), ("performer", {}), ("nystrom", {"landmarks": 4}), ("nystrom_2d", {"cells": [2, 2]})],
)
def test_each_attention_is_an_overlay(attention, few, small, tmp_path):
    more = {"output_dir": str(tmp_path), "max_epochs": 1, "source": "nearest", "loss_on": ["all", "all"]}
    more |= {"attention_options": few}  # there are 17 tokens
    run_bundle("miram", "pretrain", overlays=[attention], overrides=small | SMALL_DECODERS | more)
    assert np.isfinite(json.loads((tmp_path / "history.json").read_text())["train"][0]["loss"])


def test_one_scale_is_a_masked_autoencoder(small, tmp_path):
    more = {"output_dir": str(tmp_path), "max_epochs": 1, "scales": [1]}
    run_bundle("miram", "pretrain", overrides=small | SMALL_DECODERS | more)
    assert "scale_2" not in json.loads((tmp_path / "history.json").read_text())["train"][0]


def test_pathology_is_scored_in_four_classes(pathology, lesions):
    table = pd.read_csv(pathology / "test/predictions.csv")
    listed = json.loads(lesions.read_text())["test"]
    assert sorted(table[table["split"] == "test"]["image_id"]) == sorted(record["image_id"] for record in listed)
    np.testing.assert_allclose(table.filter(regex=r"^probability_\d").sum(axis=1), 1, atol=1e-6)
    metrics = json.loads((pathology / "test/metrics.json").read_text())
    assert metrics["task"]["name"] == "lesion"
    assert {"auc", "average_precision", "accuracy"} <= set(metrics["levels"]["image"])
    assert "Vision Transformer, size micro" in (pathology / "test/MODEL_CARD.md").read_text()


def test_fine_tuning_starts_from_the_pretrained_encoder(small, pretrained, tmp_path):
    out = finetuned(tmp_path, small, pretrained, learning_rate=0.0)
    before, after = (encoder_state(run / "checkpoints/best.pt") for run in (pretrained, out))
    assert set(before) - set(after) == {"norm.weight", "norm.bias"}
    assert all(torch.equal(after[name], before[name]) for name in after)


def test_margins_are_scored_together(margins, lesions):
    table = pd.read_csv(margins / "test/predictions.csv")
    told = [record for record in json.loads(lesions.read_text())["test"] if record.get("margins")]
    test = table[table["split"] == "test"].set_index("image_id")
    assert sorted(test.index) == sorted(record["image_id"] for record in told)
    for record in told:
        words = {name.removeprefix("label_margin_").upper() for name in test if name.startswith("label_")}
        there = {word for word in words if test.loc[record["image_id"], f"label_margin_{word.lower()}"] == 1}
        assert there == set(record["margins"])
    assert set(json.loads((margins / "test/metrics.json").read_text())["labels"]) == set(GROUPS["margins"])


def test_a_linear_probe_leaves_the_encoder_as_it_was(small, pretrained, tmp_path):
    out = finetuned(tmp_path, small, pretrained, "linear_probe")
    before, after = (encoder_state(run / "checkpoints/best.pt") for run in (pretrained, out))
    assert set(before) == set(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("recipe", ["mae", "author"])
def test_both_recipes_train(recipe, small, pretrained, tmp_path):
    finetuned(tmp_path, small, pretrained, recipe)
    optimiser = torch.load(tmp_path / "checkpoints/last.pt", weights_only=True)["optimizer"]
    decays = {group["weight_decay"] for group in optimiser["param_groups"]}
    assert decays == ({0.01} if recipe == "author" else {0.0, 0.05})


def test_lesions_are_explained(pathology, small, tmp_path):
    more = {"checkpoint": str(pathology / "checkpoints/best.pt"), "output_dir": str(tmp_path), "figures": 1}
    run_bundle("miram", "explain", overrides=small | more)
    table = pd.read_csv(tmp_path / "explanations.csv")
    assert set(table["map"]) == {"rollout", "attention", "attention_gradient", "gradcam"}
    assert len(list((tmp_path / "figures").glob("*.png"))) == 1


def test_a_datalist_of_lesions_is_predicted(margins, lesions, tmp_path):
    out = tmp_path / "scores.csv"
    checkpoint = str(margins / "checkpoints/best.pt")
    assert main(["predict", str(lesions), "--checkpoint", checkpoint, "--out", str(out)]) == 0
    scores = pd.read_csv(out).set_index("image")
    evaluated = pd.read_csv(margins / "test/predictions.csv").set_index("image_id")
    for name in GROUPS["margins"]:
        column = f"probability_{name}"
        np.testing.assert_allclose(scores.loc[evaluated.index, column], evaluated[column], atol=1e-6)
    points = json.loads((margins / "test/operating_points.json").read_text())
    for name, of in points["thresholds"].items():
        flagged = scores[f"probability_{name}"] >= of["youden"]
        assert (scores[f"flagged_{name}"] == flagged).all()


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_monai_finds_every_training_property(stage, small, tmp_path):
    overrides = {**small, "pretrained": None, "output_dir": str(tmp_path)}
    workflow = ConfigWorkflow(str(CONFIGS / f"{stage}.yaml"), workflow_type="train", logging_file=False, **overrides)
    workflow.initialize()
    assert workflow.check_properties() == []


@pytest.mark.parametrize("stage", ["evaluate", "explain", "inference"])
def test_monai_finds_every_inference_property(stage, small, pathology, tmp_path):
    file = CONFIGS / (f"{stage}.json" if stage == "inference" else f"{stage}.yaml")
    overrides = {**small, "checkpoint": str(pathology / "checkpoints/best.pt"), "output_dir": str(tmp_path)}
    if stage == "inference":
        overrides["dataset_dir"] = small["datalist"]
    workflow = ConfigWorkflow(str(file), workflow_type="infer", logging_file=False, **overrides)
    workflow.initialize()
    assert workflow.check_properties() == []


@pytest.mark.parametrize("stage", ["finetune.yaml", "evaluate.yaml", "explain.yaml", "inference.json"])
def test_the_network_takes_and_gives_what_the_metadata_says(stage):
    start = {"pretrained": "$None"} if stage.startswith("finetune") else {}
    files = {"meta_file": str(CONFIGS / "metadata.json"), "config_file": str(CONFIGS / stage)}
    verify_net_in_out("network_def", **files, device="cpu", size="micro", **start)


def test_stages_that_score_prepare_images_alike():
    chains = [ConfigParser.load_config_file(CONFIGS / name)["load"] for name in ("evaluate.yaml", "explain.yaml")]
    assert chains[0] == chains[1] == ConfigParser.load_config_file(CONFIGS / "inference.json")["load"]


def test_inference_needs_no_expressions():
    text = (CONFIGS / "inference.json").read_text()
    assert '"$' not in text
    assert ': "%' not in text
