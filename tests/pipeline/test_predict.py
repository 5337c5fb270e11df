"""Scoring files from the command line."""

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from mammo.networks import MammogramClassifier, SwinEncoder
from mammo.pipeline.cli import main
from mammo.pipeline.inference import ScoreWriter, read_operating_points
from mammo.pipeline.predict import find_operating_points
from PIL import Image
from scipy.special import expit, logit


def run_folder(path):
    (path / "checkpoints").mkdir(parents=True)
    options = {"size": "micro", "image_size": [64, 32], "image_mean": 0.449, "image_std": 0.226, "tasks": ["pathology"]}
    (path / "config.yaml").write_text(yaml.safe_dump(options))
    network = MammogramClassifier(SwinEncoder(size="micro", image_mean=0.449, image_std=0.226))
    torch.save(network.state_dict(), path / "checkpoints/best.pt")
    return path / "checkpoints/best.pt"


def test_every_file_gets_a_row(phantom, tmp_path, capfd):
    checkpoint = run_folder(tmp_path / "run")
    good = next(phantom.glob("CBIS-DDSM/*_CC/*/*/*.dcm"))
    bad = tmp_path / "bad.dcm"
    bad.write_bytes(b"no image")
    out = tmp_path / "scores.csv"
    assert main(["predict", str(good), str(bad), "--checkpoint", str(checkpoint), "--out", str(out), "--json"]) == 0
    assert [row["status"] for row in json.loads(capfd.readouterr().out)["rows"]] == ["scored", "not scored"]
    table = pd.read_csv(out).set_index("image")
    assert table.loc[str(good), "status"] == "scored"
    assert 0 < table.loc[str(good), "probability"] < 1
    assert not table.loc[str(good), "calibrated"]
    assert table.loc[str(bad), "status"] == "not scored"
    assert table.loc[str(bad), "reason"]


def test_a_picture_without_a_breast_is_not_scored_and_alone_ends_the_command_with_an_error(tmp_path, capsys):
    checkpoint, out = run_folder(tmp_path / "run"), tmp_path / "scores.csv"
    Image.fromarray(np.random.default_rng(0).integers(90, 110, (300, 200), np.uint8)).save(tmp_path / "air.png")
    assert main(["predict", str(tmp_path / "air.png"), "--checkpoint", str(checkpoint), "--out", str(out)]) == 1
    assert f"none of 1 images could be scored; {out} says why" in capsys.readouterr().err
    (row,) = pd.read_csv(out).to_dict("records")
    assert (row["status"], row["reason"]) == ("not scored", "mask_empty: no breast was found in the picture")
    assert pd.isna(row["probability"])


def test_a_checkpoint_outside_a_run_folder_is_refused(phantom, tmp_path, capsys):
    checkpoint = run_folder(tmp_path / "run").rename(tmp_path / "run/loose.pt")
    assert main(["predict", str(phantom), "--checkpoint", str(checkpoint)]) == 1
    assert "config.yaml" in capsys.readouterr().err


def operating_points(folder, checkpoint, temperature=2.0):
    found = {"temperature": temperature, "thresholds": {"image": {"youden": 0.0, "specificity_0.90": 1.0}}}
    found["checkpoint_sha256"] = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    folder.mkdir(exist_ok=True)
    (folder / "operating_points.json").write_text(json.dumps(found))
    return folder / "operating_points.json"


def test_operating_points_of_the_evaluation_calibrate_and_flag(phantom, tmp_path):
    checkpoint, out = run_folder(tmp_path / "run"), tmp_path / "scores.csv"
    operating_points(tmp_path / "run/test", checkpoint)
    image = next(phantom.glob("CBIS-DDSM/*_CC/*/*/*.dcm"))
    assert main(["predict", str(image), "--checkpoint", str(checkpoint), "--out", str(out)]) == 0
    (row,) = pd.read_csv(out).to_dict("records")
    assert row["probability_calibrated"] == pytest.approx(expit(logit(row["probability"]) / 2))
    assert (row["flagged_youden"], row["flagged_specificity_0.90"]) == (True, False)


def test_operating_points_of_another_checkpoint_are_refused(tmp_path, caplog):
    checkpoint = run_folder(tmp_path / "run")
    other = operating_points(tmp_path / "run/test", checkpoint)
    torch.save({}, checkpoint)
    with pytest.raises(ValueError, match=r"operating_points\.json was not made with .*best\.pt"):
        find_operating_points(checkpoint, other)
    assert find_operating_points(checkpoint) is None
    assert "was not made with" in caplog.text


def test_operating_points_of_another_task_are_refused(tmp_path, caplog):
    checkpoint = run_folder(tmp_path / "run")
    path = operating_points(tmp_path / "run/test", checkpoint)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"task": {"name": "density"}}))
    with pytest.raises(ValueError, match=r"is of the task density, and pathology is scored"):
        find_operating_points(checkpoint, path, task="pathology")
    assert find_operating_points(checkpoint, task="pathology") is None
    assert "is of the task density" in caplog.text
    assert find_operating_points(checkpoint, task="density") == path


def test_several_classes_have_a_column_each(tmp_path):
    points = tmp_path / "operating_points.json"
    points.write_text(json.dumps({"temperature": 0.5, "thresholds": {}}))
    images = SimpleNamespace(warnings={}, quarantine=[])
    writer = ScoreWriter(tmp_path / "out.csv", images=images, tasks={"density": 4}, operating_points=points)
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0])
    batch, output = [{"image_id": "a", "mask_quality": "ok"}], [{"pred": logits}]
    writer.add(SimpleNamespace(state=SimpleNamespace(batch=batch, output=output)))
    writer.write()
    (row,) = pd.read_csv(tmp_path / "out.csv").to_dict("records")
    for name, scale in (("probability", 1.0), ("probability_calibrated", 2.0)):
        found = [row[f"{name}_{k}"] for k in range(4)]
        assert found == pytest.approx((logits * scale).softmax(0).tolist(), rel=1e-5)


def test_a_file_that_is_no_operating_points_is_named(tmp_path):
    (tmp_path / "points.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"points\.json: expected an object with temperature"):
        read_operating_points(tmp_path / "points.json")
