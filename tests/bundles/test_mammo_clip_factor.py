"""Mammo-FActOR's stages on a tiny phantom: training, measured maps, a sentence, and the report."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mammo.networks import read_state
from mammo.pipeline.bundle_run import run_bundle
from mammo.pipeline.cli import main
from mammo.pipeline.metrics.localisation import best_overlap
from mammo.pipeline.report import write_report


@pytest.fixture(scope="module")
def small(image_text_options) -> dict:
    return image_text_options(views="CC")


@pytest.fixture(scope="module")
def pretrained(small, tmp_path_factory) -> Path:
    """Two towers that were hardly trained: one step on pairs of a single view would need both, so none at all."""
    pytest.importorskip("transformers")
    from mammo.pipeline.image_text import image_text_model, report_tokenizer

    out = tmp_path_factory.mktemp("clip") / "pretrain"
    (out / "checkpoints").mkdir(parents=True)
    words = report_tokenizer(
        None, records=[{"report": "There is a mass. No calcification is seen."}], path=out / "tokenizer.json"
    )
    assert words.vocabulary_size > 40
    model, _ = image_text_model(
        encoder="swin", size="micro", image_size=(64, 32), image_mean=0.449, image_std=0.226, text_folder=None,
        tokenizer=out / "tokenizer.json", text_pooling="eos", text_length=256, text_heads=2, projection="linear",
        pooling="average", head_norm="none", objective="multi_view",
        **{name: small[name] for name in ("text_width", "text_depth", "embed_dim")},
    )  # fmt: skip
    torch.save(model.state_dict(), out / "checkpoints/best.pt")
    return out / "checkpoints/best.pt"


@pytest.fixture(scope="module")
def trained(small, pretrained, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("factor_run") / "train"
    options = {"pretrained": str(pretrained), "output_dir": str(out), "max_epochs": 2, "attributes": ["mass"]}
    run_bundle("mammo_clip", "factor_train", overrides=small | options | {"map_levels": [1, 2], "hidden": 16})
    return out


def explain_options(small: dict, pretrained: Path, trained: Path, out: Path) -> dict:
    own = {key: value for key, value in small.items() if key != "vocabulary"}
    more = {"pretrained": str(pretrained), "checkpoint": str(trained / "checkpoints/best.pt"), "output_dir": str(out)}
    shape = {"attributes": ["mass"], "map_levels": [1, 2], "hidden": 16}
    return own | more | shape | {"bootstrap_draws": 20, "figures": 1}


def test_what_is_kept_are_mapper_and_texts_and_the_towers_stay_as_they_were(small, pretrained, tmp_path):
    before = pretrained.read_bytes()
    options = {"pretrained": str(pretrained), "max_epochs": 2, "attributes": ["mass"], "map_levels": [1]}
    runs = {}
    for rate in (0.0, 1e-2):
        out = tmp_path / f"{rate}"
        run_bundle(
            "mammo_clip", "factor_train", overrides=small | options | {"output_dir": str(out), "learning_rate": rate}
        )
        runs[rate] = read_state(out / "checkpoints/best.pt")
    assert pretrained.read_bytes() == before
    assert all(name == "text" or name.startswith("mapper.") for name in runs[0.0])
    assert torch.equal(runs[0.0]["text"], runs[1e-2]["text"])
    assert not torch.equal(*(run["mapper.networks.0.output.weight"] for run in runs.values()))


def test_a_run_that_is_resumed_ends_as_one_that_was_not(small, pretrained, tmp_path):
    long = small | {
        "pretrained": str(pretrained),
        "max_epochs": 2,
        "attributes": ["mass"],
        "augment": True,
        "keep_maps": False,
    }
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    run_bundle("mammo_clip", "factor_train", overrides=long | {"output_dir": str(whole)})
    run_bundle(
        "mammo_clip", "factor_train", overrides=long | {"output_dir": str(halves), "train::trainer::max_epochs": 1}
    )
    run_bundle("mammo_clip", "factor_train", overrides=long | {"output_dir": str(halves), "resume": True})
    first, second = (torch.load(run / "checkpoints/last.pt", weights_only=True)["model"] for run in (whole, halves))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_maps_boxes_and_measures_of_validation_and_test(small, pretrained, trained, tmp_path):
    run_bundle("mammo_clip", "factor_explain", overrides=explain_options(small, pretrained, trained, tmp_path))
    report = json.loads((tmp_path / "localisation.json").read_text())
    table = pd.read_csv(tmp_path / "localisation.csv", dtype={"patient_id": str})
    boxes = pd.read_csv(tmp_path / "boxes.csv", dtype={"patient_id": str})
    truth = pd.read_csv(Path(small["dataset_dir"]) / "truth.csv", dtype={"patient_id": str})
    assert set(table["patient_id"]) == set(truth.query("split == 'test'")["patient_id"])
    assert set(table["method"]) == {"factor", "gradcam"}
    for method in ("factor", "gradcam"):
        told = report["methods"][method]["findings"]["mass"]["measures"]["hit_25"]
        own = table[(table["method"] == method) & (table["true_boxes"] > 0)]
        assert told["value"]["value"] == pytest.approx(own["hit_25"].mean())
        assert set(report["methods"][method]["chosen"]["mass"]) >= {"quantile", "validation_hit_25"}
    # The table of boxes is in original pixels: its overlaps with the records' own boxes are those that were measured.
    records = {
        one["image_id"]: one for one in json.loads(Path(small["dataset_dir"], "datalist.json").read_text())["test"]
    }
    measured = table[(table["method"] == "factor") & (table["true_boxes"] > 0)]
    for _, row in measured.iterrows():
        found = boxes.query("method == 'factor' and image_id == @row.image_id")[
            ["row0", "col0", "row1", "col1", "score"]
        ]
        assert best_overlap(found.to_numpy(), records[row["image_id"]]["boxes"]) == pytest.approx(row["iou"], abs=1e-3)
    assert len(list((tmp_path / "figures").glob("*.png"))) == 1
    with np.load(next((tmp_path / "maps").glob("*.npz"))) as kept:
        assert kept["factor_mass"].shape == (4, 2)
        assert kept["to_original"].shape == (3, 3)
    page = write_report(tmp_path / "report.html", title="t", factor=tmp_path, draws=20).read_text()
    assert "Mass: boxes from heat-maps" in page
    assert "Grad-CAM, chance" in page


def test_without_transformers_maps_are_made_and_texts_are_one_clear_error(
    small, pretrained, trained, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "transformers", None)
    options = explain_options(small, pretrained, trained, tmp_path / "without") | {"figures": 0}
    run_bundle("mammo_clip", "factor_explain", overrides=options | {"gradcam": False})
    assert "gradcam" not in json.loads((tmp_path / "without/localisation.json").read_text())["methods"]
    assert main(["factor_explain", *(word for key, value in options.items() for word in (f"--{key}", str(value)))]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "pip install 'mammo[clip]'" in told


def test_a_sentence_is_shown_in_images_without_labels(small, pretrained, trained, tmp_path, capsys):
    record = json.loads(Path(small["dataset_dir"], "datalist.json").read_text())["test"][0]
    image = Path(small["dataset_dir"], record["image"])
    words = [
        "--images",
        str(image),
        "--checkpoint",
        str(trained / "checkpoints/best.pt"),
        "--output_dir",
        str(tmp_path),
    ]
    assert main(["explain", "--sentence", "a spiculated mass is seen", *words, "--quantile", "0.9"]) == 0
    told = json.loads((tmp_path / "sentence.json").read_text())
    assert told["read_by_the_mapper_of"] == "mass"
    assert list(told["scores"]) == [str(image)]
    assert len(list((tmp_path / "figures").glob("*.png"))) == len(list((tmp_path / "maps").glob("*.npz"))) == 1
    boxes = pd.read_csv(tmp_path / "boxes.csv")
    assert (boxes["row1"] > boxes["row0"]).all()
    assert main(["explain", "--sentence", "", *words]) == 1
    assert "there is no sentence" in capsys.readouterr().err
