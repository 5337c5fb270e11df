"""`mammo evaluate --explanations true` on the phantom, with a twin."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mammo.networks import MammogramClassifier, SwinEncoder
from mammo.pipeline.bundle_run import run_bundle
from mammo.pipeline.datasets import task_sizes
from mammo.pipeline.evidence.hashes import sha256_of
from mammo.pipeline.evidence.verify import verify_run
from mammo.pipeline.explain import HallucinationReport
from mammo.pipeline.metrics import ThresholdRule, choose_threshold
from torch import nn

MAPS = ["attention", "attention_gradient", "gradcam", "gradcam++", "occlusion"]


def weights(path: Path, seed: int) -> str:
    torch.manual_seed(seed)
    network = MammogramClassifier(SwinEncoder(size="micro"))
    nn.init.normal_(network.head.weight)
    torch.save(network.state_dict(), path)
    return str(path)


@pytest.fixture(scope="module")
def folder(phantom, tmp_path_factory) -> Path:
    """Run folder of an evaluation by random weights, whose twin has other ones."""
    root = tmp_path_factory.mktemp("hallucination")
    overrides = {
        "dataset_dir": str(phantom),
        "cache_dir": str(root / "cache"),
        "output_dir": str(root / "test"),
        "checkpoint": weights(root / "model.pt", 0),
        "twin": weights(root / "twin.pt", 1),
        "size": "micro",
        "image_size": [64, 32],
        "stage": 2,
        "num_workers": 0,
        "device": "cpu",
        "bootstrap_draws": 20,
        "explanations": True,
        "faithfulness_images": 2,
        "faithfulness_steps": 2,
        "occlusion_passes": 2,
    }
    run_bundle("swin_mim", "evaluate", overrides=overrides)
    return root / "test"


@pytest.fixture(scope="module")
def summary(folder) -> dict:
    return json.loads((folder / "explanations.json").read_text())


def test_every_test_image_is_examined_for_both_networks(folder):
    scored = pd.read_csv(folder / "predictions.csv")
    expected = set(scored.loc[scored["split"] == "test", "image_id"])
    for place in (folder, folder / "twin"):
        assert set(pd.read_csv(place / "behaviour.csv")["image_id"]) == expected
        table = pd.read_csv(place / "explanations.csv")
        assert set(table["map"]) == set(MAPS)
        counts = table.groupby("map")["image_id"].nunique()
        assert (counts[["attention", "attention_gradient", "gradcam", "gradcam++"]] == len(expected)).all()
        assert counts["occlusion"] == 2


def test_partners_are_of_other_patients_and_the_same_for_both_networks(folder):
    one, two = (pd.read_csv(place / "behaviour.csv") for place in (folder, folder / "twin"))
    patient = dict(zip(one["image_id"], one["patient_id"], strict=True))
    assert (one["partner_image_id"].map(patient) != one["patient_id"]).all()
    assert (one["partner_image_id"] == two["partner_image_id"]).all()
    assert (one["partner_dataset"] == one["dataset"]).all()
    assert not np.allclose(one["probability"], two["probability"])


def test_the_probabilities_are_those_of_the_evaluation(folder):
    scored = pd.read_csv(folder / "predictions.csv").set_index("image_id")["probability"]
    table = pd.read_csv(folder / "behaviour.csv").set_index("image_id")["probability"]
    np.testing.assert_allclose(table, scored[table.index], atol=1e-6)


def test_decisions_are_those_at_the_thresholds_chosen_on_validation(folder, summary):
    metrics = json.loads((folder / "metrics.json").read_text())
    assert summary["threshold"]["value"] == pytest.approx(metrics["threshold"]["youden"]["value"])
    table = pd.read_csv(folder / "predictions.csv")
    validation = table[table["split"] == "validation"]
    expected = choose_threshold(validation["label"], validation["probability"], ThresholdRule.YOUDEN)
    assert summary["threshold"]["value"] == pytest.approx(expected)
    assert summary["twin"]["threshold"] != summary["threshold"]["value"]


def test_every_measure_has_its_chance_its_twin_and_the_difference(summary):
    assert summary["expensive"]["images"] == 2
    assert set(summary["maps"]) == set(MAPS)
    for group in (summary["behaviour"], *summary["maps"].values()):
        for measure in group["measures"].values():
            assert {"mean", "images", "chance", "above_chance", "twin", "difference"} <= set(measure)
    wanted = {
        "background_ratio",
        "pointing_hit_token",
        "energy_in_roi",
        "hit_iou_25",
        "heat_auc",
        "insertion",
        "deletion",
    }
    assert wanted <= set(summary["maps"]["gradcam"]["measures"])
    assert summary["behaviour"]["measures"]["auc_breast_erased"]["chance"] == {"fixed": 0.5}


def test_what_the_explanations_rest_on_is_hashed(folder):
    evidence = json.loads((folder / "evidence.json").read_text())
    assert {"explanations.json", "twin/explanations.csv", "twin/behaviour.csv"} <= set(evidence["files"])
    assert evidence["inputs"]["twin"] == {"path": "../twin.pt", "sha256": sha256_of(folder.parent / "twin.pt")}
    assert verify_run(folder).different == []


def test_the_three_shares_of_the_energy_sum_to_one(folder):
    table = pd.read_csv(folder / "explanations.csv")
    shares = table[["energy_in_roi", "energy_rest", "energy_outside"]].dropna().sum(axis=1)
    assert len(shares)
    np.testing.assert_allclose(shares, 1)


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        (["density"], "density has 4 classes"),
        (["abnormality"], "abnormality has calcification for class 1"),
        (["cancer_within_1", "pathology"], "cancer_within_1 has 1 for class 1"),
        ({"pathology": ["MALIGNANT", "BENIGN"]}, "pathology has BENIGN or BENIGN_WITHOUT_CALLBACK for class 1"),
    ],
)
def test_a_task_that_does_not_tell_malignant_from_the_rest_is_refused(tmp_path, tasks, said):
    network = MammogramClassifier(SwinEncoder(size="micro"), tasks=task_sizes(tasks))
    report = HallucinationReport(tmp_path, network=network, tasks=tasks, dataset=None, root=tmp_path)
    with pytest.raises(ValueError, match=f"{said}.*mammo explain"):
        report.check()


def test_another_task_than_the_explained_one_cannot_be_evaluated_with_explanations(tmp_path):
    network = MammogramClassifier(SwinEncoder(size="micro"), tasks=task_sizes(["pathology", "density"]))
    about = {"network": network, "tasks": ["pathology", "density"], "dataset": None, "root": tmp_path}
    report = HallucinationReport(tmp_path, task="density", **about)
    with pytest.raises(ValueError, match="they are of the first task, pathology, and not of density"):
        report.check()
