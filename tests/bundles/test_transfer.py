"""Transfer by configuration: each other task from the same encoder, run small through its configuration alone."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
import yaml
from mammo.bundles import bundle_root
from mammo.networks import SwinEncoder, SwinMIM
from mammo.pipeline.bundle_run import run_bundle
from mammo.pipeline.datasets import encode_labels
from mammo.pipeline.evidence.verify import verify_run
from monai.bundle import ConfigWorkflow

CONFIGS = bundle_root("swin_mim") / "configs"


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory) -> Path:
    """Weights as pretraining leaves them, at random."""
    path = tmp_path_factory.mktemp("weights") / "best.pt"
    torch.manual_seed(5)
    torch.save(SwinMIM(SwinEncoder(size="micro")).state_dict(), path)
    return path


def edited(phantom: Path, folder: Path, change) -> dict:
    """Where the phantom's datalist lies after ``change(records)`` of each section, as an option."""
    listed = json.loads((phantom / "datalist.json").read_text())
    for section in ("training", "validation", "test"):
        change(listed[section])
    (folder / "datalist.json").write_text(json.dumps(listed))
    return {"datalist": str(folder / "datalist.json")}


@pytest.fixture(scope="module")
def detection(options, pretrained, tmp_path_factory) -> Path:
    """The folder of a detector that was trained for an epoch at rate 0, and scored."""
    out = tmp_path_factory.mktemp("detect")
    shared = options | {"channels": 16, "score_threshold": 0.0, "detections_per_image": 6}
    still = {"pretrained": str(pretrained), "max_epochs": 1, "learning_rate": 0.0, "output_dir": str(out)}
    run_bundle("swin_mim", "detect", overlays=["tiny"], overrides=shared | still)  # which brings imports of its own
    scored = {"checkpoint": str(out / "checkpoints/best.pt"), "output_dir": str(out / "test"), "bootstrap_draws": 20}
    run_bundle("swin_mim", "evaluate_detection", overrides=shared | scored)
    return out


def test_the_detector_starts_from_the_pretrained_encoder(detection, pretrained):
    before = torch.load(pretrained, weights_only=True)
    after = torch.load(detection / "checkpoints/best.pt", weights_only=True)
    prefix = "network.feature_extractor."
    moving = ("running_mean", "running_var", "num_batches_tracked")  # of batch norm, at any learning rate
    shared = [name for name in before if name.startswith("encoder.") and not name.endswith(moving)]
    assert shared
    for name in shared:
        torch.testing.assert_close(after[prefix + name], before[name])


def test_training_a_detector_leaves_its_losses_and_its_precision(detection):
    history = json.loads((detection / "history.json").read_text())
    assert {"loss", "classification", "box_regression", "spectral"} <= history["train"][0].keys()
    assert 0 <= history["validation"][0]["average_precision"] <= 1


def all_grades(records: list[dict]) -> None:
    """Few patients do not show all four densities: here they do, one after another."""
    labelled = [record for record in records if "density" in record]
    for index, record in enumerate(labelled):
        record["density"] = "ABCD"[index % 4]


@pytest.mark.parametrize(("overlay", "classes"), [("density", 4), ("dense", 2)])
def test_density_is_learnt_and_scored_by_an_overlay_alone(overlay, classes, options, phantom, pretrained, tmp_path):
    options = options | edited(phantom, tmp_path, all_grades)
    training = {"output_dir": str(tmp_path), "pretrained": str(pretrained), "max_epochs": 1}
    run_bundle("swin_mim", "finetune", overlays=[overlay], overrides=options | training)
    assert torch.load(tmp_path / "checkpoints/best.pt", weights_only=True)["head.weight"].shape[0] == classes
    scored = {"checkpoint": str(tmp_path / "checkpoints/best.pt"), "output_dir": str(tmp_path / "test")}
    more = scored | {"bootstrap_draws": 20}
    run_bundle("swin_mim", "evaluate", overlays=[overlay], overrides=options | more)
    table = pd.read_csv(tmp_path / "test/predictions.csv")
    first = table["density"].map(dict(zip("ABCD", [0, 0, 1, 1] if classes == 2 else range(4), strict=True)))
    assert (table["label"] == first).all()
    assert json.loads((tmp_path / "test/metrics.json").read_text())


def test_fatty_and_dense_hold_for_birads_and_for_mias():
    tasks = yaml.safe_load((CONFIGS / "dense.yaml").read_text())["tasks"]
    grades = ["A", "B", "C", "D", "FATTY", "FATTY_GLANDULAR", "DENSE_GLANDULAR"]
    labels = [record["label"] for record in encode_labels([{"density": grade} for grade in grades], tasks)]
    assert labels == [[0], [0], [1], [1], [0], [-1], [1]]


def followed_up(records: list[dict]) -> None:
    """Malignant: cancer after half a year to four and a half; others free for one to six years."""
    for index, record in enumerate(records):
        if record.get("pathology") == "MALIGNANT":
            record["years_to_cancer"] = 0.5 + index % 5
        else:
            record["years_to_last_followup"] = 1 + index % 6


def test_risk_is_learnt_and_scored_by_overlays_alone(options, phantom, pretrained, tmp_path):
    options = options | edited(phantom, tmp_path, followed_up)
    training = {"output_dir": str(tmp_path), "pretrained": str(pretrained), "max_epochs": 1}
    run_bundle("swin_mim", "finetune", overlays=["risk"], overrides=options | training)
    history = json.loads((tmp_path / "history.json").read_text())
    assert 0 <= history["validation"][0]["auc"] <= 1
    scored = {"checkpoint": str(tmp_path / "checkpoints/best.pt"), "output_dir": str(tmp_path / "test")}
    more = scored | {"bootstrap_draws": 20}
    run_bundle("swin_mim", "evaluate", overlays=["evaluate_risk"], overrides=options | more)
    table = pd.read_csv(tmp_path / "test/predictions.csv")
    risks = table[[f"risk_{year}" for year in range(1, 6)]].to_numpy()
    assert (np.diff(risks, axis=1) >= 0).all()
    metrics = json.loads((tmp_path / "test/metrics.json").read_text())
    assert metrics["counts"]["images"] == (table["split"] == "test").sum()
    assert set(metrics["auc"]) == {"1", "2", "3", "4", "5"}
    assert 0 <= metrics["concordance"]["value"] <= 1
    report = verify_run(tmp_path)
    assert report.different == []
    assert any("not recomputed" in note for note in report.notes)


@pytest.fixture(scope="module")
def volumes(phantom, tmp_path_factory) -> Path:
    """The phantom's labelled images as tomosynthesis files of three slices, with their datalist."""
    folder = tmp_path_factory.mktemp("volumes")
    listed = json.loads((phantom / "datalist.json").read_text())
    for section in ("training", "validation", "test"):
        listed[section] = [record for record in listed[section] if "pathology" in record]
        for number, record in enumerate(listed[section]):
            ds = pydicom.dcmread(phantom / record["image"])
            slices = np.stack([np.roll(ds.pixel_array, shift, axis=0) for shift in (-2, 0, 2)])
            ds.set_pixel_data(slices, ds.PhotometricInterpretation, ds.BitsStored, generate_instance_uid=False)
            ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.13.1.3"
            ds.NumberOfFrames = 3
            record["image"] = f"{section}{number}.dcm"
            ds.save_as(folder / record["image"], enforce_file_format=True)
            for name in ("roi_masks", "findings"):
                record.pop(name, None)
    (folder / "datalist.json").write_text(json.dumps(listed))
    return folder


def test_slices_of_tomosynthesis_are_learnt_and_volumes_are_scored(options, volumes, pretrained, tmp_path):
    options = options | {"dataset_dir": str(volumes)}
    training = {"output_dir": str(tmp_path), "pretrained": str(pretrained), "max_epochs": 1}
    run_bundle("swin_mim", "finetune", overlays=["tomosynthesis"], overrides=options | training)
    listed = json.loads((tmp_path / "slices.json").read_text())
    files = json.loads((volumes / "datalist.json").read_text())
    assert len(listed["training"]) == 3 * len(files["training"])
    assert {record["frame"] for record in listed["training"]} == {0, 1, 2}

    scored = {"checkpoint": str(tmp_path / "checkpoints/best.pt"), "output_dir": str(tmp_path / "test")}
    more = scored | {"bootstrap_draws": 20, "slice_pooling": "mean", "slice_step": 2}
    run_bundle("swin_mim", "evaluate", overlays=["tomosynthesis"], overrides=options | more)
    slices = pd.read_csv(tmp_path / "test/slices.csv")
    table = pd.read_csv(tmp_path / "test/predictions.csv")
    assert sorted(table["image_id"]) == sorted(r["image_id"] for r in files["test"] + files["validation"])
    means = slices.groupby(slices["image_id"].str.split("#").str[0])["probability"].mean()
    np.testing.assert_allclose(table.set_index("image_id")["probability"].sort_index(), means.sort_index())
    assert (table["slices"] == 2).all()
    metrics = json.loads((tmp_path / "test/metrics.json").read_text())
    assert metrics["counts"]["images"] == len(files["test"])


KEYS = ["patient_id", "laterality", "view"]


def truth_of(phantom: Path) -> pd.DataFrame:
    """What the phantom drew in its test images with a lesion."""
    truth = pd.read_csv(phantom / "truth.csv").set_index(KEYS).sort_index()
    return truth[(truth["split"] == "test") & truth["row0"].notna()]


def test_detections_are_boxes_in_the_pixels_of_the_original(detection, phantom):
    truth = truth_of(phantom)
    found = pd.read_csv(detection / "test/predictions.csv")
    assert found["score"].between(0, 1).all()
    assert found.groupby("image_id").size().le(6).all()
    sizes = truth.loc[pd.MultiIndex.from_frame(found[KEYS]), ["rows", "columns"]].to_numpy()
    # The network's grid reaches beyond the breast's crop, and padding beyond the image, but not by more than itself.
    assert (found[["row0", "col0"]].to_numpy() > -sizes).all()
    assert (found[["row1", "col1"]].to_numpy() < 2 * sizes).all()
    assert (found[["row1", "col1"]].to_numpy() > found[["row0", "col0"]].to_numpy()).all()
    assert (found["row1"] - found["row0"]).max() > 100  # the grid has 64 rows: these are original pixels


def test_true_lesions_are_those_of_the_phantom(detection, phantom):
    lesions = pd.read_csv(detection / "test/lesions.csv").set_index(KEYS).sort_index()
    expected = truth_of(phantom)[["row0", "column0", "row1", "column1"]].to_numpy()
    np.testing.assert_allclose(lesions[["row0", "col0", "row1", "col1"]].to_numpy(), expected, atol=3)


def test_the_score_of_a_detector_counts_lesions_and_images(detection):
    metrics = json.loads((detection / "test/metrics.json").read_text())
    images = pd.read_csv(detection / "test/images.csv")
    assert metrics["counts"]["images"] == len(images)
    assert metrics["counts"]["lesions"] == images["lesions"].sum() > 0
    sensitivities = [entry["value"] for entry in metrics["froc"]["all"]["sensitivity_at"].values()]
    assert sensitivities == sorted(sensitivities)
    assert {"0.10", "0.25", "0.50"} <= metrics["average_precision"].keys()


def test_a_detector_of_two_classes_learns_from_images_with_none_of_them(options, phantom, tmp_path):
    def other_breasts_are_normal(records: list[dict]) -> None:
        for record in records:
            record.setdefault("pathology", "NORMAL")

    more = {"classes": ["mass", "calcification"], "channels": 16, "pretrained": None, "max_epochs": 1}
    folders = edited(phantom, tmp_path, other_breasts_are_normal) | {"output_dir": str(tmp_path / "out")}
    run_bundle("swin_mim", "detect", overrides=options | more | folders)
    images = pd.read_csv(tmp_path / "out/validation/images.csv")
    assert set(images["lesions"]) == {0, 1}


def test_monai_finds_every_property_of_detection(options, detection, tmp_path):
    given = {**options, "output_dir": str(tmp_path)}
    cases = {
        "detect": ("train", {"pretrained": None}),
        "evaluate_detection": ("infer", {"checkpoint": str(detection / "checkpoints/best.pt"), "channels": 16}),
    }
    for stage, (kind, more) in cases.items():
        file = str(CONFIGS / f"{stage}.yaml")
        workflow = ConfigWorkflow(file, workflow_type=kind, logging_file=False, **given, **more)
        workflow.initialize()
        assert workflow.check_properties() == []
