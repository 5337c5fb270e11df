"""Retrieval, prompts on files, and the inference bundle, on a tiny phantom with its reports."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.bundle_run import run_bundle
from mammo.pipeline.cli import main
from mammo.pipeline.datasets import load_datalist
from mammo.pipeline.metrics.retrieval import retrieval
from PIL import Image
from safetensors.numpy import load_file
from scipy.special import expit, logit
from sklearn.metrics import accuracy_score, f1_score

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def small(image_text_options) -> dict:
    return image_text_options(patients=8, test_fraction=0.4)


@pytest.fixture(scope="module")
def pretrained(small, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("clip") / "pretrain"
    more = {"output_dir": str(out), "max_epochs": 1, "learning_rate": 1e-3, "vocabulary": 300}
    run_bundle("mammo_clip", "pretrain", overrides=small | more)
    return out / "checkpoints/best.pt"


def words(options: dict) -> list[str]:
    return [word for key, value in options.items() for word in (f"--{key}", str(value))]


@pytest.fixture(scope="module")
def runs(small, pretrained, tmp_path_factory) -> dict[str, Path]:
    outs = {level: tmp_path_factory.mktemp(level) for level in ("breast", "image")}
    for level, out in outs.items():
        own = {"checkpoint": str(pretrained), "output_dir": str(out), "level": level}
        assert main(["retrieval", *words(small | own | {"bootstrap_draws": 20, "sheets": 2})]) == 0
    return outs


@pytest.fixture(params=["breast", "image"])
def found(request, runs) -> tuple[str, Path]:
    return request.param, runs[request.param]


def test_recalls_are_those_of_the_vectors_and_pairs_that_are_kept(found, small):
    level, out = found
    told, pairs = json.loads((out / "retrieval.json").read_text()), pd.read_csv(out / "pairs.csv")
    vectors = load_file(out / "embeddings.safetensors")
    records = load_datalist(Path(small["dataset_dir"]) / "datalist.json")["test"]
    assert len(pairs) == told["counts"]["pairs"] == len(records) // (2 if level == "breast" else 1)
    assert told["counts"]["reports"] == pairs["report"].nunique() == len(vectors["texts"])
    np.testing.assert_allclose(np.linalg.norm(vectors["images"], axis=1), 1, rtol=1e-5)
    again = retrieval(vectors["images"], vectors["texts"], pairs["report_number"], pairs["patient"], draws=20)
    assert again["image_to_text"] == told["image_to_text"]
    assert (pairs["rank_of_report"] <= 5).mean() == told["image_to_text"]["recall_at_5"]["value"]
    back = pairs.drop_duplicates("report_number")["rank_of_image"]
    assert back.median() == told["text_to_image"]["median_rank"]["value"]


def test_a_breast_is_the_mean_of_its_images_and_of_the_parts_of_its_report(runs):
    tables = {level: pd.read_csv(out / "pairs.csv") for level, out in runs.items()}
    vectors = {level: load_file(out / "embeddings.safetensors") for level, out in runs.items()}
    single = tables["image"].set_index("images")
    for place, row in tables["breast"].iterrows():
        members = single.loc[row["images"].split()]
        places = [tables["image"].index[tables["image"]["images"] == name][0] for name in members.index]
        for kind, rows, own in (
            ("images", places, place),
            ("texts", list(dict.fromkeys(members["report_number"])), row["report_number"]),
        ):
            mean = vectors["image"][kind][rows].mean(axis=0)
            np.testing.assert_allclose(vectors["breast"][kind][own], mean / np.linalg.norm(mean), atol=1e-5)


def test_pictures_are_drawn_of_matrix_and_queries(found):
    _, out = found
    names = sorted(path.name for path in out.glob("figures/*.png"))
    queries = [f"retrieval_{kind}_{k:02d}.png" for kind in ("image", "report") for k in (1, 2)]
    assert names == sorted([*queries, "retrieval_matrix.png"])
    for name in names:
        with Image.open(out / "figures" / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 5


@pytest.fixture(scope="module")
def asked(small, pretrained, tmp_path_factory) -> Path:
    """Run folder of zero-shot with the published sentences."""
    out = tmp_path_factory.mktemp("zero_shot")
    own = {"checkpoint": str(pretrained), "output_dir": str(out), "prompts": "published", "bootstrap_draws": 10}
    run_bundle("mammo_clip", "zero_shot", overrides=small | own | {"model_card": False})
    return out


def by_image(table: Path, small: dict) -> pd.DataFrame:
    """Rows of ``mammo predict`` under the ids of the datalist."""
    listed = load_datalist(Path(small["dataset_dir"]) / "datalist.json")["test"]
    ids = {str(Path(record["image"]).resolve()): record["image_id"] for record in listed}
    rows = pd.read_csv(table)
    return rows.assign(image_id=[ids[str(Path(path).resolve())] for path in rows["image"]]).set_index("image_id")


def test_stored_sentences_need_no_transformers_and_score_as_zero_shot_did(small, asked, tmp_path):
    images = [record["image"] for record in load_datalist(Path(small["dataset_dir"]) / "datalist.json")["test"]][:4]
    call = ["predict", *images, "--checkpoint", str(asked / "zero_shot.pt"), "--out", str(tmp_path / "scores.csv")]
    code = (
        "import sys; sys.modules['transformers'] = sys.modules['tokenizers'] = None; "
        f"from mammo.pipeline.cli import main; sys.exit(main({call!r}))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    found = by_image(tmp_path / "scores.csv", small)
    there = pd.read_csv(asked / "predictions.csv").set_index("image_id").loc[found.index]
    temperature = json.loads((asked / "operating_points.json").read_text())["temperature"]
    for task in ("finding_mass", "finding_calcification"):
        expected = there[f"probability_{task}"]
        np.testing.assert_allclose(found[f"probability_{task}"], expected, atol=1e-5)
        calibrated = expit(logit(expected) / temperature)
        np.testing.assert_allclose(found[f"probability_calibrated_{task}"], calibrated, atol=1e-5)
    assert not found["calibrated"].any()
    assert found["score"].str.fullmatch(r"softmax of cosines / 0\.\d{4}").all()


def test_sentences_of_the_command_line_score_as_those_of_zero_shot(small, asked, pretrained, tmp_path, capsys):
    image = load_datalist(Path(small["dataset_dir"]) / "datalist.json")["test"][0]["image"]
    call = ["predict", image, "--checkpoint", str(pretrained), "--out", str(tmp_path / "scores.csv")]
    points = ["--operating_points", str(asked / "operating_points.json")]
    assert main([*call, "--prompts", "published", *points]) == 0
    found = by_image(tmp_path / "scores.csv", small)
    there = pd.read_csv(asked / "predictions.csv").set_index("image_id").loc[found.index]
    np.testing.assert_allclose(found["probability_finding_mass"], there["probability_finding_mass"], atol=1e-5)
    assert "probability_calibrated_finding_mass" in found
    own = '{"mass": [["no mass"], ["mass"]], "density": [["fatty"], ["scattered"], ["dense"]]}'
    assert main([*call, "--prompts", own]) == 0
    told = by_image(tmp_path / "scores.csv", small)
    np.testing.assert_allclose(told["probability_mass"], there["probability_finding_mass"], atol=1e-5)
    classes = told[[f"probability_density_{k}" for k in range(3)]]
    np.testing.assert_allclose(classes.sum(axis=1), 1, atol=1e-5)
    assert not any("calibrated_" in name for name in told)
    capsys.readouterr()
    assert main([*call, "--prompts", own, *points]) == 1
    assert "was made with other sentences" in capsys.readouterr().err
    assert main(call) == 1
    assert "scores by sentences: --prompts ensemble" in capsys.readouterr().err
    assert main([*call[:-3], str(asked / "zero_shot.pt"), "--prompts", "published"]) == 1
    assert "has its own sentences" in capsys.readouterr().err


def test_density_is_the_likeliest_of_four_phrases_beside_the_commonest_class(small, pretrained, tmp_path):
    own = {"checkpoint": str(pretrained), "output_dir": str(tmp_path), "tasks": ["density"], "multi_label": False}
    more = {"bootstrap_draws": 10, "model_card": False, "embed_dim": 8}
    assert main(["zero_shot", *words(small | own | more)]) == 0
    rows = pd.read_csv(tmp_path / "predictions.csv").query("split == 'test'")
    called = rows[[f"probability_{k}" for k in range(4)]].to_numpy().argmax(axis=1)
    level = json.loads((tmp_path / "metrics.json").read_text())["levels"]["image"]
    assert level["accuracy"]["value"] == pytest.approx(accuracy_score(rows["label"], called))
    f1 = f1_score(rows["label"], called, average="macro")
    assert level["macro_f1"]["value"] == pytest.approx(f1)
    assert level["commonest_class"]["value"] == pytest.approx(rows["label"].value_counts(normalize=True).iloc[0])
