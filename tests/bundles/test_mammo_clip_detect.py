"""The detection stages of bundle mammo_clip on VinDr-Mammo's own layout, made of a tiny phantom."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mammo.bundles import bundle_root
from mammo.networks import EfficientNetEncoder, LesionDetector, MammogramClassifier
from mammo.pipeline.bundle_run import run_bundle
from mammo.pipeline.cli import main
from mammo.pipeline.datasets.prepare import prepare_dataset
from mammo.pipeline.phantom import generate, write_vindr_layout
from monai.bundle import ConfigWorkflow

CONFIGS = bundle_root("mammo_clip") / "configs"


@pytest.fixture(scope="module")
def vindr(tmp_path_factory) -> Path:
    """Breasts without a lesion are BI-RADS 2, so that the table of findings alone tells that they show none."""
    source = tmp_path_factory.mktemp("phantom") / "data"
    generate(source, patients=10, seed=18, preset="standard", views="CC", test_fraction=0.4, pixel_mm=0.8)
    root = write_vindr_layout(source, tmp_path_factory.mktemp("vindr"))
    for table in root.glob("*.csv"):
        table.write_text(table.read_text().replace("BI-RADS 1,", "BI-RADS 2,"))
    prepare_dataset("vindr_mammo", root, root / "datalist.json", validation_fraction=0.5)
    return root


@pytest.fixture(scope="module")
def small(vindr, tmp_path_factory) -> dict:
    return {
        "dataset_dir": str(vindr),
        "cache_dir": str(tmp_path_factory.mktemp("cache")),
        "size": "b0",
        "image_size": [64, 64],
        "channels": 16,
        "batch_size": 4,
        "num_workers": 0,
        "device": "cpu",
    }


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "best.pt"
    torch.manual_seed(2)
    classifier = MammogramClassifier(EfficientNetEncoder(size="b0")).train()
    classifier(torch.rand(4, 1, 64, 64))  # statistics of its own
    torch.save(classifier.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def frozen(small, pretrained, tmp_path_factory) -> Path:
    """A detector of a frozen encoder, trained and scored."""
    out = tmp_path_factory.mktemp("frozen")
    start = {"pretrained": str(pretrained), "freeze": True, "max_epochs": 1, "learning_rate": 1e-3}
    run_bundle("mammo_clip", "detect", overrides=small | start | {"output_dir": str(out)})
    scored = {"checkpoint": str(out / "checkpoints/best.pt"), "output_dir": str(out / "test"), "bootstrap_draws": 20}
    given = small | scored
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    said = io.StringIO()
    with redirect_stdout(said):
        assert main(["evaluate_detection", "--bundle", "mammo_clip", *words, "--json"]) == 0
    told = json.loads(said.getvalue())
    assert told["metrics"] == json.loads((out / "test/metrics.json").read_text())
    return out


def test_a_frozen_encoder_ends_as_it_began_its_batch_norms_too(frozen, pretrained):
    before = torch.load(pretrained, weights_only=True)
    after = torch.load(frozen / "checkpoints/best.pt", weights_only=True)
    names = [name for name in before if name.startswith("encoder.")]
    assert any(name.endswith("running_mean") for name in names)
    for name in names:
        assert torch.equal(after[f"network.feature_extractor.{name}"], before[name]), name
    untrained = LesionDetector(EfficientNetEncoder(size="b0"), 2, channels=16, strides=(8, 16, 32, 64, 128))
    assert after.keys() == untrained.state_dict().keys()


def test_all_test_images_are_scored_those_without_a_lesion_too(frozen, vindr):
    table = pd.read_csv(vindr / "finding_annotations.csv").query("split == 'test'")
    images = pd.read_csv(frozen / "test/images.csv")
    metrics = json.loads((frozen / "test/metrics.json").read_text())
    assert metrics["counts"]["images"] == len(images) == table["image_id"].nunique()
    assert metrics["counts"]["lesions"] == images["lesions"].sum() == table["xmin"].notna().sum()
    assert metrics["counts"]["images_without_lesion"] == (images["lesions"] == 0).sum() > 0
    assert (images["lesions"].groupby(images["image_id"]).size() == 1).all()


def test_average_precision_is_told_of_both_overlaps_and_classes(frozen):
    found = json.loads((frozen / "test/metrics.json").read_text())["average_precision"]
    lesions = pd.read_csv(frozen / "test/lesions.csv")
    present = set(lesions["class"])
    for overlap in ("0.25", "0.50"):
        each = [found["classes"][name][overlap] for name in present]
        assert found[overlap] == pytest.approx(np.mean(each))
        assert 0 <= found[overlap] <= 1
    assert found["0.50"] <= found["0.25"]


def test_no_detection_is_cut_by_its_score(frozen):
    """Scores of a detector that has learnt next to nothing are far below what the released script kept, 0.2."""
    found = pd.read_csv(frozen / "test/predictions.csv")
    assert found["score"].max() < 0.2
    assert set(found["class"]) == {"mass", "calcification"}
    assert set(found["image_id"]) == set(pd.read_csv(frozen / "test/images.csv")["image_id"])


def test_true_lesions_come_back_to_the_tables_corners(frozen, vindr):
    table = pd.read_csv(vindr / "finding_annotations.csv").query("split == 'test' and xmin.notna()")
    lesions = pd.read_csv(frozen / "test/lesions.csv").set_index("image_id")
    found = lesions.loc[table["image_id"], ["row0", "col0", "row1", "col1"]].to_numpy()
    np.testing.assert_allclose(found, table[["ymin", "xmin", "ymax", "xmax"]].to_numpy())


def test_a_swin_has_levels_of_its_own_in_the_tiny_overlay(small, tmp_path):
    more = {"encoder": "swin", "size": "micro", "pretrained": None, "max_epochs": 1, "epoch_length": 1}
    run_bundle("mammo_clip", "detect", overlays=["tiny"], overrides=small | more | {"output_dir": str(tmp_path)})
    history = json.loads((tmp_path / "history.json").read_text())
    assert {"loss", "classification", "box_regression"} <= history["train"][0].keys()
    assert 0 <= history["validation"][0]["average_precision"] <= 1


def test_levels_that_the_encoder_does_not_give_are_refused(small, tmp_path):
    wrong = {"strides": [8, 16], "pretrained": None, "output_dir": str(tmp_path)}
    with pytest.raises(RuntimeError) as error:
        run_bundle("mammo_clip", "detect", overrides=small | wrong)
    assert "give the last ones of [4, 8, 16, 32]" in str(error.value.__cause__)


def test_monai_finds_every_property(small, frozen, tmp_path):
    given = {**small, "output_dir": str(tmp_path)}
    cases = {
        "detect": ("train", {"pretrained": None}),
        "evaluate_detection": ("infer", {"checkpoint": str(frozen / "checkpoints/best.pt")}),
    }
    for stage, (kind, more) in cases.items():
        workflow = ConfigWorkflow(
            str(CONFIGS / f"{stage}.yaml"), workflow_type=kind, logging_file=False, **given, **more
        )
        workflow.initialize()
        assert workflow.check_properties() == []
