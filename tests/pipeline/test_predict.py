"""Scoring files from the command line."""

import numpy as np
import pandas as pd
import torch
import yaml
from mammo.networks import MammogramClassifier, SwinEncoder
from mammo.pipeline.cli import main
from PIL import Image


def run_folder(path):
    (path / "checkpoints").mkdir(parents=True)
    options = {"size": "micro", "image_size": [64, 32], "image_mean": 0.449, "image_std": 0.226, "tasks": ["pathology"]}
    (path / "config.yaml").write_text(yaml.safe_dump(options))
    network = MammogramClassifier(SwinEncoder(size="micro", image_mean=0.449, image_std=0.226))
    torch.save(network.state_dict(), path / "checkpoints/best.pt")
    return path / "checkpoints/best.pt"


def test_every_file_gets_a_row(phantom, tmp_path):
    checkpoint = run_folder(tmp_path / "run")
    good = next(phantom.glob("CBIS-DDSM/*_CC/*/*/*.dcm"))
    bad = tmp_path / "bad.dcm"
    bad.write_bytes(b"no image")
    out = tmp_path / "scores.csv"
    assert main(["predict", str(good), str(bad), "--checkpoint", str(checkpoint), "--out", str(out)]) == 0
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
