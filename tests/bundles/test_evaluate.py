"""The stage evaluate with untrained weights: what it leaves, for two classes and for several."""

import json

import pandas as pd
import pytest
import torch
import yaml
from mammo.networks import MammogramClassifier, RiskClassifier, SwinEncoder
from mammo.pipeline.bundle_run import run_bundle
from mammo.pipeline.cli import main
from mammo.pipeline.evidence.verify import verify_run
from mammo.pipeline.report import write_report

CLASSES = {"pathology": 2, "density": 4}


@pytest.fixture(scope="module")
def evaluate(phantom, tmp_path_factory):
    """A function that evaluates a task and returns the run folder."""
    cache = tmp_path_factory.mktemp("cache")

    def run(task, out, **options):
        encoder = SwinEncoder(size="micro", image_mean=0.449, image_std=0.226)
        network = MammogramClassifier(encoder, tasks={task: CLASSES[task]})
        (out / "checkpoints").mkdir(parents=True)
        torch.save(network.state_dict(), out / "checkpoints/best.pt")
        shared = {"size": "micro", "image_size": [64, 32], "tasks": [task]}
        (out / "config.yaml").write_text(yaml.safe_dump(shared | {"pooling": "mask", "pretrained": None}))
        overrides = shared | {
            "dataset_dir": str(phantom), "cache_dir": str(cache), "num_workers": 0, "device": "cpu",
            "checkpoint": str(out / "checkpoints/best.pt"), "output_dir": str(out / "test"), "bootstrap_draws": 20,
        }  # fmt: skip
        run_bundle("swin_mim", "evaluate", overrides=overrides | options)
        return out

    return run


@pytest.fixture(scope="module")
def pathology(evaluate, tmp_path_factory):
    return evaluate("pathology", tmp_path_factory.mktemp("pathology") / "run")


def test_an_evaluation_leaves_evidence_that_verifies(pathology):
    report = verify_run(pathology)
    assert report.different == []
    assert any(line.startswith("metrics.json, recomputed") for line in report.same)
    metrics = json.loads((pathology / "test/metrics.json").read_text())
    assert metrics["task"] == {"name": "pathology", "classes": ["benign", "malignant"], "ordered": False}


def test_an_evaluation_leaves_a_model_card_and_a_checklist(pathology):
    assert "## Quantitative Analyses" in (pathology / "test/MODEL_CARD.md").read_text()
    assert "**42. Funding" in (pathology / "test/CLAIM.md").read_text()


def test_other_pictures_than_in_training_are_told(evaluate, tmp_path, caplog):
    evaluate("pathology", tmp_path / "run", image_size=[64, 64], model_card=False)
    assert "not the pictures that the checkpoint knows: --image_size [64, 64], in training [64, 32]" in caplog.text


def test_predict_uses_the_operating_points_of_the_evaluation(pathology, phantom, tmp_path):
    image, out = next(phantom.glob("CBIS-DDSM/*_CC/*/*/*.dcm")), tmp_path / "scores.csv"
    assert main(["predict", str(image), "--checkpoint", str(pathology / "checkpoints/best.pt"), "--out", str(out)]) == 0
    (row,) = pd.read_csv(out).to_dict("records")
    threshold = json.loads((pathology / "test/operating_points.json").read_text())["thresholds"]["image"]["youden"]
    assert row["flagged_youden"] == (row["probability"] >= threshold)
    assert 0 < row["probability_calibrated"] < 1


def test_breast_density_is_evaluated_by_configuration_alone(evaluate, tmp_path):
    run = evaluate("density", tmp_path / "run", model_card=False)
    metrics = json.loads((run / "test/metrics.json").read_text())
    assert metrics["task"]["classes"] == list("ABCD")
    assert sum(metrics["counts"]["classes"]) == metrics["counts"]["images"]
    assert "kappa_quadratic" in metrics["levels"]["image"]
    assert verify_run(run).different == []
    assert not (run / "test/MODEL_CARD.md").exists()


def test_each_task_of_several_is_evaluated_on_its_own(options, phantom, tmp_path):
    encoder = SwinEncoder(size="micro", image_mean=0.449, image_std=0.226)
    torch.save(MammogramClassifier(encoder, tasks=CLASSES).state_dict(), tmp_path / "best.pt")
    given = {"checkpoint": str(tmp_path / "best.pt"), "tasks": list(CLASSES), "bootstrap_draws": 20}
    for task in CLASSES:
        run_bundle(
            "swin_mim", "evaluate", overrides=options | given | {"task": task, "output_dir": str(tmp_path / task)}
        )
        assert json.loads((tmp_path / task / "metrics.json").read_text())["task"]["name"] == task
    grades = pd.read_csv(tmp_path / "density/predictions.csv")
    assert grades["label"].tolist() == [list("ABCD").index(grade) for grade in grades["density"]]


@pytest.fixture
def cold(phantom, tmp_path):
    """Datalist of the phantom without validation images, whose first test image has the id of the second."""
    content = json.loads((phantom / "datalist.json").read_text())
    first, second = content["test"][:2]
    content |= {"validation": [], "test": [first | {"image_id": second["image_id"], "dataset": "another"}, second]}
    same = next(r for r in content["training"] if r["pathology"] != second["pathology"])
    content |= {"training": [], "test": [*content["test"], same]}
    path = tmp_path / "cold.json"
    path.write_text(json.dumps(content))
    return path


def test_a_test_set_without_validation_is_evaluated_without_thresholds(evaluate, cold, phantom, tmp_path):
    run = evaluate("pathology", tmp_path / "run", datalist=str(cold), explanations=True, stage=2, faithfulness_images=0)
    metrics = json.loads((run / "test/metrics.json").read_text())
    assert metrics["counts"]["images"] == 3
    assert metrics["levels"]["image"]["auc"]["value"] is not None
    assert metrics["threshold"]["youden"] == {"value": None, "reason": "no validation predictions were given"}
    table = pd.read_csv(run / "test/predictions.csv")
    assert table.duplicated("image_id").sum() == 1
    assert set(table["dataset"]) == {"another", json.loads(cold.read_text())["test"][1]["dataset"]}
    assert "No threshold and no temperature: no validation" in (run / "test/CLAIM.md").read_text()
    assert json.loads((run / "test/explanations.json").read_text())["threshold"]["value"] is None
    assert verify_run(run).different == []
    page = write_report(tmp_path, title="cold", classifiers={"cold": run}, explanations=run / "test", draws=20)
    assert "no threshold and no temperature" in page.read_text()


def test_thresholds_of_an_earlier_evaluation_are_used_as_they_are(evaluate, pathology, cold, tmp_path):
    checkpoint, points = pathology / "checkpoints/best.pt", pathology / "test/operating_points.json"
    given = {"datalist": str(cold), "checkpoint": str(checkpoint), "operating_points": str(points)}
    run = evaluate("pathology", tmp_path / "run", **given)
    metrics, stored = (json.loads((run / f"test/{name}.json").read_text()) for name in ("metrics", "operating_points"))
    wanted = json.loads(points.read_text())
    assert metrics["threshold"]["youden"]["value"] == wanted["thresholds"]["image"]["youden"]
    assert metrics["calibration"]["temperature"] == stored["temperature"] == wanted["temperature"]
    assert verify_run(run).different == []
    with pytest.raises(RuntimeError) as raised:
        evaluate("pathology", tmp_path / "other", datalist=str(cold), operating_points=str(points))
    assert "was not made with" in str(raised.value.__cause__)


def test_a_risk_model_is_refused_explanations_before_it_is_evaluated(phantom, tmp_path):
    content = json.loads((phantom / "datalist.json").read_text())
    (tmp_path / "risk.json").write_text(
        json.dumps(content | {"test": [record | {"years_to_last_followup": 6} for record in content["test"]]})
    )
    overrides = {"dataset_dir": str(phantom), "datalist": str(tmp_path / "risk.json"), "device": "cpu"}
    overrides |= {"output_dir": str(tmp_path / "run"), "explanations": True}
    encoder = SwinEncoder(size="micro", image_mean=0.449, image_std=0.226)
    network = RiskClassifier(encoder, tasks={f"cancer_within_{year}": 2 for year in range(1, 6)})
    torch.save(network.state_dict(), tmp_path / "risk.pt")
    overrides |= {"size": "micro", "image_size": [64, 32], "checkpoint": str(tmp_path / "risk.pt"), "num_workers": 0}
    with pytest.raises(RuntimeError) as raised:
        run_bundle("swin_mim", "evaluate", overlays=["evaluate_risk"], overrides=overrides)
    assert "cancer_within_1 has 1 for class 1" in str(raised.value.__cause__)
    assert not (tmp_path / "run/predictions.csv").exists()
