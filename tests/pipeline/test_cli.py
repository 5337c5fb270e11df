"""The command line: instant help, plain errors, exit codes, and the published flags."""

import os
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from mammo.pipeline import published
from mammo.pipeline.cli import main, parse_overrides

FLAGS = {
    "dicom_path": "",
    "cache_dir": "./cache",
    "cache_dir_cls": "",
    "mim_epochs": 3,
    "cls_epochs": 3,
    "missing_label_percentage": 100,
    "batch_size": 4,
    "num_workers": 2,
    "train_mim": False,
    "train_cls": False,
    "visualize": False,
    "force_recompute": False,
    "force_recompute_cls": False,
    "log_mode": "console",
}


def test_help_answers_in_under_half_a_second():
    command = [sys.executable, "-m", "mammo.pipeline.cli", "--help"]
    times = []
    for _ in range(3):  # of the processor: a busy machine shall not fail it
        before = os.times()
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(times) < 0.5
    for verb in ("demo", "prepare", "pretrain", "finetune", "evaluate", "explain", "predict"):
        assert verb in answer.stdout


def test_help_loads_no_heavy_library():
    heavy = "[name for name in ('torch', 'monai', 'numpy') if name in sys.modules]"
    code = f"import sys, mammo.pipeline.cli as cli; cli.build_parser(); print({heavy})"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--lr", "1e-4"], {"lr": 1e-4}),
        (["--image-size", "[64, 32]"], {"image_size": [64, 32]}),
        (["--pretrained=null"], {"pretrained": None}),
        (["--train::trainer::epoch_length", "5"], {"train::trainer::epoch_length": 5}),
        (["--size", "base"], {"size": "base"}),
    ],
)
def test_overrides_are_read_as_yaml(words, expected):
    assert parse_overrides(words) == expected


@pytest.mark.parametrize("words", [["stray"], ["--key"]])
def test_a_word_out_of_place_is_named(words):
    with pytest.raises(ValueError, match=words[0].strip("-")):
        parse_overrides(words)


def test_an_error_of_the_user_is_one_line_and_status_1(tmp_path, capsys):
    status = main(["pretrain", "--dataset_dir", str(tmp_path / "nowhere"), "--output_dir", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert status == 1
    assert "nowhere" in error
    assert "Traceback" not in error


def test_a_missing_table_names_what_is_expected(tmp_path, capsys):
    assert main(["prepare", "cbis_ddsm", str(tmp_path)]) == 1
    assert "mass_case_description_train_set.csv" in capsys.readouterr().err


def test_a_misspelt_option_is_answered_with_the_right_one(tmp_path, capsys):
    assert main(["pretrain", "--max_epoch", "1", "--output_dir", str(tmp_path)]) == 1
    assert "max_epochs" in capsys.readouterr().err


def test_the_published_flags_have_their_published_defaults():
    parsed = vars(published.build_parser().parse_args(["--root_dir", "x"]))
    assert {name: parsed[name] for name in FLAGS} == FLAGS
    assert str(parsed["output_dir"]) == "outputs"
    assert set(parsed) == {*FLAGS, "root_dir", "output_dir", "method"}


def test_the_published_command_without_training_says_which_flag_is_missing(phantom, tmp_path, capsys):
    status = published.main(["--root_dir", str(phantom), "--output_dir", str(tmp_path), "--visualize"])
    assert status == 1
    assert "--train_cls" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["breast_aware", "dual_stage"])
def test_the_published_command_leaves_every_output(phantom, tmp_path, method):
    out = tmp_path / "out"
    flags = [
        "--train_mim",
        "--train_cls",
        "--visualize",
        "--mim_epochs",
        "1",
        "--cls_epochs",
        "1",
        "--num_workers",
        "0",
    ]
    flags += ["--mim_epochs", "1", "--cls_epochs", "1"]
    places = ["--root_dir", str(phantom), "--output_dir", str(out), "--cache_dir", str(tmp_path / "cache")]
    small = {"size": "micro", "image_size": [64, 64], "device": "cpu"}
    status = published.main([*places, *flags, "--log_mode", "file", "--method", method], small)
    log = (out / "training_log.txt").read_text()
    assert status == 0, log
    for stage in ("mim", "classifier"):
        assert (out / stage / "checkpoints/best.pt").is_file()
        assert (out / stage / "checkpoints/last.pt").is_file()
    assert list((out / "mim/figures").glob("reconstruction_epoch_001.png"))
    for curve in ("mim_loss", "classification_loss", "classification_accuracy"):
        assert (out / f"{curve}.png").stat().st_size > 1000
    assert list((out / "visualizations/figures").glob("*.png"))
    assert "epoch" in log.lower()
    scope = yaml.safe_load((out / "mim/config.yaml").read_text())["scope"]
    assert scope == ("image" if method == "dual_stage" else "breast")
    page = (out / "report.html").read_text()
    again = tmp_path / "again.html"
    words = ["--datalist", out / "datalist.json", "--classifier", f"mine={out / 'classifier'}", "--out", again]
    assert main(["report", *map(str, words)]) == 0
    for written in (page, again.read_text()):
        assert "Results on test patients" in written
    assert "mine" in again.read_text()


def test_an_error_is_said_on_the_terminal_too_where_the_log_is_a_file(tmp_path, capsys):
    words = ["--root_dir", str(tmp_path / "nowhere"), "--output_dir", str(tmp_path / "out"), "--log_mode", "file"]
    assert published.main([*words, "--train_mim"]) == 1
    assert "nowhere is not a folder" in capsys.readouterr().err


def test_a_report_without_a_classifier_says_how_to_name_one(capsys):
    assert main(["report"]) == 1
    assert "--classifier NAME=FOLDER" in capsys.readouterr().err


def test_the_cache_flags_decide_what_is_decoded_again(phantom, tmp_path, monkeypatch):
    from mammo.pipeline.datasets.store import PreparedDataset

    decoded = []
    compute = PreparedDataset._compute
    monkeypatch.setattr(
        PreparedDataset, "_compute", lambda self, record: decoded.append(record["image"]) or compute(self, record)
    )
    monkeypatch.setattr(published, "_write_report", lambda *given: None)  # half the time, and the flags are not its
    small = {"size": "micro", "image_size": [32, 32], "device": "cpu"}

    def count(*flags: str) -> int:
        decoded.clear()
        places = [
            "--root_dir",
            str(phantom),
            "--output_dir",
            str(tmp_path / "out"),
            "--cache_dir",
            str(tmp_path / "mim"),
        ]
        epochs = ["--mim_epochs", "1", "--cls_epochs", "1", "--num_workers", "0"]
        assert published.main([*places, *epochs, *flags], small) == 0
        return len(set(decoded))

    listed = [r for s in ("training", "validation") for r in yaml.safe_load((phantom / "datalist.json").read_text())[s]]
    labelled = [record for record in listed if "pathology" in record]
    assert count("--train_mim") == len(listed)
    assert count("--train_mim") == 0
    assert count("--train_mim", "--force_recompute") == len(listed)
    own = ("--train_cls", "--cache_dir_cls", str(tmp_path / "cls"))
    tested = 4
    assert count(*own) == len(labelled) + tested
    assert count(*own) == 0
    assert count(*own, "--force_recompute_cls") == len(labelled) + tested
    assert len(pd.read_csv(tmp_path / "out/classifier/test/predictions.csv")) > 0
