"""Fine-tuning, linear probing, evaluation, explanation and inference of the classifier of bundle mammo_clip."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import torch
from mammo.bundles import bundle_root
from mammo.networks import ImageTextModel, encoder_state
from mammo.networks.named_encoder import named_encoder
from mammo.pipeline.bundle_run import run_bundle
from mammo.pipeline.cli import main
from mammo.pipeline.datasets import encode_labels, load_datalist
from mammo.pipeline.datasets.splits import label_fraction
from monai.bundle import ConfigParser, ConfigWorkflow, verify_net_in_out
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

CONFIGS = bundle_root("mammo_clip") / "configs"
FINDINGS = ["finding_mass", "finding_calcification"]
ENCODERS = {"swin": "micro", "efficientnet": "b0"}


def drawn(path: Path, number: int, side: str, mass: bool, calcification: bool) -> None:
    """Half an ellipse of noise as a breast, with a blob or specks in it."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[-1:1:160j, 0:1:100j]
    breast = (rows / 0.8) ** 2 + (columns / 0.7) ** 2 < 1
    picture = np.where(breast, rng.normal(90, 15, breast.shape), 0)
    picture[(rows - 0.2) ** 2 + (columns - 0.3) ** 2 < 0.02 * mass] += 90
    picture[40:70:6, 15:45:6] += 120 * calcification
    picture = picture[:, ::-1] if side == "R" else picture
    PIL.Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path)


def exam(folder: Path, patient: int) -> list[dict]:
    """Four images of a patient; every second one has a mass on the left, every third calcifications on the right."""
    found = []
    for place, (side, view) in enumerate(product("LR", ("CC", "MLO"))):
        name = f"{patient}_{side}_{view}"
        mass, calcification = side == "L" and patient % 2 == 0, side == "R" and patient % 3 == 0
        drawn(folder / f"{name}.png", 4 * patient + place, side, mass, calcification)
        kinds = ["mass"] * mass + ["calcification"] * calcification
        record = {"image": f"{name}.png", "image_id": name, "patient_id": f"p{patient}", "study_id": f"s{patient}"}
        record |= {"dataset": "drawn", "laterality": side, "view": view, "density": "ABCD"[patient % 4]}
        findings = {"findings": [{"type": kind} for kind in kinds]} if kinds else {}
        found.append(record | findings | {"looked_for": ["mass", "calcification"]})
    return found


@pytest.fixture(scope="module")
def small(small_options, tmp_path_factory) -> dict:
    root = tmp_path_factory.mktemp("findings")
    places = {"training": range(8), "validation": range(8, 12), "test": range(12, 16)}
    sections = {name: [record for k in numbers for record in exam(root, k)] for name, numbers in places.items()}
    about = {"name": "drawn", "description": "ellipses", "licence": "none"}
    (root / "datalist.json").write_text(json.dumps(about | sections))
    return small_options(root) | {"encoder": "swin"}


def pretrained(name: str, folder: Path, seed: int = 3) -> str:
    """What image-text pretraining leaves, untrained; batch norms have seen something."""
    torch.manual_seed(seed)
    encoder = named_encoder(name, size=ENCODERS[name], image_size=[64, 32])
    model = ImageTextModel(encoder, None, 8)
    for _ in range(20):
        model.embed_images(torch.rand(4, 2, 64, 32))
    torch.save(model.state_dict(), folder / f"{name}.pt")
    return str(folder / f"{name}.pt")


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> str:
    return pretrained("swin", tmp_path_factory.mktemp("start"))


def evaluated(run: Path, options: dict, **more) -> pd.DataFrame:
    given = {"checkpoint": str(run / "checkpoints/best.pt"), "output_dir": str(run / "test"), "bootstrap_draws": 20}
    run_bundle("mammo_clip", "evaluate", overrides=options | given | more)
    return pd.read_csv(run / "test/predictions.csv").set_index("image_id")


@pytest.fixture(scope="module")
def finetuned(small, start, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("finetune") / "run"
    more = {"output_dir": str(out), "pretrained": start, "max_epochs": 2, "learning_rate": 1e-3}
    run_bundle("mammo_clip", "finetune", overrides=small | more)
    evaluated(out, small)
    return out


def test_fine_tuning_scores_findings_of_images_breasts_and_exams(finetuned):
    table = pd.read_csv(finetuned / "test/predictions.csv").query("split == 'test'")
    assert sorted(table["patient_id"].unique()) == [f"p{number}" for number in range(12, 16)]
    metrics = json.loads((finetuned / "test/metrics.json").read_text())
    assert set(metrics["labels"]) == set(FINDINGS)
    breasts = table.groupby(["patient_id", "laterality"])[["label_finding_mass", "probability_finding_mass"]].mean()
    told = metrics["levels"]["breast_mean"]["labels"]["finding_mass"]
    assert (told["rows"], told["positive"]) == (8, 2)
    assert told["auc"]["value"] == pytest.approx(roc_auc_score(*breasts.to_numpy().T))
    assert metrics["levels"]["exam_max"]["rows"] == 4
    assert "Swin transformer, size micro" in (finetuned / "test/MODEL_CARD.md").read_text()


def test_fine_tuning_starts_from_the_image_encoder_of_the_pretraining(small, start, tmp_path):
    more = {"output_dir": str(tmp_path), "pretrained": start, "max_epochs": 1, "learning_rate": 0.0}
    run_bundle("mammo_clip", "finetune", overrides=small | more)
    before, after = encoder_state(Path(start)), encoder_state(tmp_path / "checkpoints/best.pt")
    assert set(before) == set(after)
    still = [name for name in before if not name.rpartition(".")[2].startswith(("running", "num_batches"))]
    assert all(torch.equal(before[name], after[name]) for name in still)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_probe_leaves_the_encoder_and_its_buffers_and_is_evaluated_and_explained(name, small, tmp_path):
    begin = pretrained(name, tmp_path)
    options = small | {"encoder": name, "size": ENCODERS[name]}
    more = {"output_dir": str(tmp_path / "run"), "pretrained": begin, "max_epochs": 3, "dropout": 0.2}
    workflow = run_bundle("mammo_clip", "linear_probe", overrides=options | more)
    before, after = encoder_state(Path(begin)), encoder_state(tmp_path / "run/checkpoints/best.pt")
    assert set(before) == set(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert workflow.parser.get_parsed_content("encoded").encoded == sum(
        len(workflow.parser.get_parsed_content(f"{section}::dataset")) for section in ("train", "validate")
    )
    # best.pt is of the first epoch that was best, the table of validation of the last epoch: score the last one.
    last = torch.load(tmp_path / "run/checkpoints/last.pt", weights_only=True)["model"]
    torch.save(last, tmp_path / "run/checkpoints/best.pt")
    probed = pd.read_csv(tmp_path / "run/predictions_validation.csv").set_index("image_id")
    told = evaluated(tmp_path / "run", options, head_norm="batch").loc[probed.index]
    for column in (f"probability_{finding}" for finding in FINDINGS):
        logits = [np.log(table[column] / (1 - table[column])) for table in (probed, told)]
        np.testing.assert_allclose(*logits, atol=1e-5)

    more = {"checkpoint": str(tmp_path / "run/checkpoints/best.pt"), "head_norm": "batch", "figures": 1}
    cases = {"section": "validation", "cases": list(told.index[-2:]), "output_dir": str(tmp_path)}
    run_bundle("mammo_clip", "explain", overrides=options | more | cases)
    assert set(pd.read_csv(tmp_path / "explanations.csv")["image_id"]) == set(told.index[-2:])
    assert len(list((tmp_path / "figures").glob("*.png"))) == 1


def test_the_head_is_that_of_logistic_regression(small, start, tmp_path):
    decay = 0.1
    more = {"output_dir": str(tmp_path), "pretrained": start, "tasks": FINDINGS[:1], "multi_label": False}
    more |= {"optimizer_name": "Adam", "learning_rate": 0.02, "weight_decay": decay, "warmup": 0.0}
    more |= {"batch_size": 500, "max_epochs": 1, "epoch_length": 400}
    workflow = run_bundle("mammo_clip", "linear_probe", overrides=small | more)
    vectors, labels = {}, {}
    for section in ("train", "validate"):
        items = workflow.parser.get_parsed_content(f"{section}::dataset").data
        vectors[section] = np.stack([item["image"].numpy() for item in items]).astype(float)
        labels[section] = np.array([int(item["label"][0]) for item in items])
    scaler = StandardScaler().fit(vectors["train"])
    # Two columns of logits share the penalty: each is half of the one column's, so that it counts half.
    penalty = 2 / (decay * len(labels["train"]))
    expected = LogisticRegression(C=penalty, class_weight="balanced", max_iter=1000, tol=1e-8)
    expected.fit(scaler.transform(vectors["train"]), labels["train"])
    probed = pd.read_csv(tmp_path / "predictions_validation.csv")["probability"]
    np.testing.assert_allclose(probed, expected.predict_proba(scaler.transform(vectors["validate"]))[:, 1], atol=0.01)
    head = torch.load(tmp_path / "checkpoints/best.pt", weights_only=True)
    found = (head["head.weight"][1] - head["head.weight"][0]).double().numpy()
    # Norms of batches add 1e-5 to variances; channels that hardly vary are scaled otherwise by scikit-learn.
    found = found / np.sqrt(vectors["train"].var(axis=0) + 1e-5) * np.sqrt(vectors["train"].var(axis=0))
    assert np.corrcoef(found, expected.coef_[0])[0, 1] > 0.99


def test_a_second_probe_encodes_nothing(small, start, tmp_path, monkeypatch):
    folder = {"feature_cache": str(tmp_path / "features"), "pretrained": start, "max_epochs": 1}
    run_bundle("mammo_clip", "linear_probe", overrides=small | folder | {"output_dir": str(tmp_path / "first")})

    def forward(*arguments):
        raise AssertionError("the encoder was called")

    other = {"output_dir": str(tmp_path / "third"), "pretrained": pretrained("swin", tmp_path, seed=4)}
    monkeypatch.setattr("mammo.networks.swin.SwinEncoder.forward", forward)
    more = {"output_dir": str(tmp_path / "second"), "label_percentage": 50}
    workflow = run_bundle("mammo_clip", "linear_probe", overrides=small | folder | more)
    assert workflow.parser.get_parsed_content("encoded").encoded == 0
    with pytest.raises(RuntimeError) as error:
        run_bundle("mammo_clip", "linear_probe", overrides=small | folder | other)
    assert "the encoder was called" in str(error.getrepr(chain=True))


def test_a_share_of_labels_is_one_of_patients_and_gets_as_many_steps(small, start, tmp_path):
    more = {"output_dir": str(tmp_path), "pretrained": start, "label_percentage": 50, "seed": 4}
    more |= {"max_epochs": 2, "epoch_length": 7}
    workflow = run_bundle("mammo_clip", "linear_probe", overrides=small | more)
    used = {item["image_id"] for item in workflow.parser.get_parsed_content("train::dataset").data}
    everything = encode_labels(load_datalist(Path(small["dataset_dir"]) / "datalist.json")["training"], FINDINGS)
    known = [record for record in everything if max(record["label"]) >= 0]
    assert used == {record["image_id"] for record in label_fraction(known, 50, 4)}
    assert len(used) < len(known)
    assert json.loads((tmp_path / "history.json").read_text())["train"][-1]["iteration"] == 14


def test_a_probe_that_is_resumed_ends_as_one_that_was_not(small, start, tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    long = small | {"pretrained": start, "max_epochs": 4, "dropout": 0.3}
    run_bundle("mammo_clip", "linear_probe", overrides=long | {"output_dir": str(whole)})
    run_bundle(
        "mammo_clip", "linear_probe", overrides=long | {"output_dir": str(halves), "train::trainer::max_epochs": 2}
    )
    run_bundle("mammo_clip", "linear_probe", overrides=long | {"output_dir": str(halves), "resume": True})
    first, second = (torch.load(run / "checkpoints/last.pt", weights_only=True)["model"] for run in (whole, halves))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_predict_gives_what_evaluation_gave(finetuned, small, tmp_path):
    out = tmp_path / "scores.csv"
    listed = load_datalist(Path(small["dataset_dir"]) / "datalist.json")["test"]
    images = [record["image"] for record in listed[:3]]
    checkpoint = str(finetuned / "checkpoints/best.pt")
    assert main(["predict", *images, "--checkpoint", checkpoint, "--out", str(out)]) == 0
    scores = pd.read_csv(out).set_index("image")
    told = pd.read_csv(finetuned / "test/predictions.csv").set_index("image_id")
    for record in listed[:3]:
        for name in FINDINGS:
            column = f"probability_{name}"
            assert scores.loc[record["image"], column] == pytest.approx(told.loc[record["image_id"], column], abs=1e-6)


def test_density_is_probed_by_configuration_alone(small, start, tmp_path):
    one = {"tasks": ["density"], "multi_label": False, "output_dir": str(tmp_path)}
    run_bundle("mammo_clip", "linear_probe", overrides=small | one | {"pretrained": start, "max_epochs": 1})
    table = evaluated(tmp_path, small, **{key: one[key] for key in ("tasks", "multi_label")}, head_norm="batch")
    np.testing.assert_allclose(table.filter(regex=r"^probability_\d").sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("stage", ["finetune", "linear_probe"])
def test_monai_finds_every_training_property(stage, small, tmp_path):
    overrides = {**small, "pretrained": None, "output_dir": str(tmp_path)}
    workflow = ConfigWorkflow(str(CONFIGS / f"{stage}.yaml"), workflow_type="train", logging_file=False, **overrides)
    workflow.initialize()
    assert workflow.check_properties() == []


@pytest.mark.parametrize("stage", ["evaluate", "explain", "inference"])
def test_monai_finds_every_inference_property(stage, small, finetuned, tmp_path):
    file = CONFIGS / (f"{stage}.json" if stage == "inference" else f"{stage}.yaml")
    overrides = {**small, "checkpoint": str(finetuned / "checkpoints/best.pt"), "output_dir": str(tmp_path)}
    if stage == "inference":
        overrides["dataset_dir"] = str(Path(small["dataset_dir"]) / "datalist.json")
    workflow = ConfigWorkflow(str(file), workflow_type="infer", logging_file=False, **overrides)
    workflow.initialize()
    assert workflow.check_properties() == []


@pytest.mark.parametrize(
    "stage", ["finetune.yaml", "linear_probe.yaml", "evaluate.yaml", "explain.yaml", "inference.json"]
)
def test_the_network_takes_and_gives_what_the_metadata_says(stage):
    files = {"meta_file": str(CONFIGS / "metadata.json"), "config_file": str(CONFIGS / stage)}
    begin = {"pretrained": "$None"} if stage in ("finetune.yaml", "linear_probe.yaml") else {}
    verify_net_in_out("network_def", **files, device="cpu", encoder="swin", size="micro", **begin)


def test_stages_that_score_prepare_images_alike():
    names = ("evaluate.yaml", "explain.yaml", "linear_probe.yaml", "inference.json")
    chains = [ConfigParser.load_config_file(CONFIGS / name)["load"] for name in names]
    assert all(chain == chains[0] for chain in chains)


def test_inference_needs_no_expressions():
    text = (CONFIGS / "inference.json").read_text()
    assert '"$' not in text
    assert ': "%' not in text
