"""What a user meets when something is wrong: the file or option is named, the way out too, and nothing is left half."""

import errno
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from mammo.networks import SwinEncoder
from mammo.pipeline.cli import main
from mammo.pipeline.handlers import HistoryWriter
from mammo.pipeline.run_options import run_configuration

CT = "1.2.840.10008.5.1.4.1.1.2"
MPEG4 = "1.2.840.10008.1.2.4.102"


@pytest.fixture(scope="module")
def listed(phantom) -> dict:
    """The phantom's datalist with absolute paths, so that it can be changed and saved anywhere."""
    content = json.loads((phantom / "datalist.json").read_text())
    for section in ("training", "validation", "test"):
        for record in content[section]:
            record["image"] = str(phantom / record["image"])
    return content


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def mammo(phantom, cache, tmp_path, capsys, caplog):
    """Run one verb on a small network in ``tmp_path/run``; gives the exit status and all that was said."""
    caplog.set_level("INFO")

    def run(verb: str, datalist: dict | None = None, **options: object) -> tuple[int, str]:
        given: dict[str, object] = {"dataset_dir": phantom, "cache_dir": cache, "output_dir": tmp_path / "run",
            "size": "micro", "image_size": [128, 64], "batch_size": 4, "num_workers": 0, "device": "cpu"}  # fmt: skip
        if verb in ("pretrain", "finetune"):
            given["max_epochs"] = 1
        if datalist is not None:
            given["datalist"] = tmp_path / "changed.json"
            given["datalist"].write_text(json.dumps(datalist))
        status = main([verb, *(f"--{name}={value}" for name, value in (given | options).items())])
        printed = capsys.readouterr()
        assert not list(tmp_path.rglob("*.tmp")), "something half-written was left behind"
        assert "Traceback" not in printed.err
        return status, printed.out + printed.err + caplog.text

    return run


def changed(listed: dict, **sections: list) -> dict:
    return {**listed, **sections}


def rewrite(source: str, path: Path, change) -> Path:
    """An uncompressed copy of a mammogram after ``change(dataset)``."""
    dataset = pydicom.dcmread(source)
    dataset.decompress()
    change(dataset)
    dataset.save_as(path)
    return path


def set_pixels(dataset: pydicom.Dataset, values: np.ndarray) -> None:
    dataset.set_pixel_data(values.astype(np.uint16), dataset.PhotometricInterpretation, dataset.BitsStored)


def set_transfer_syntax(dataset: pydicom.Dataset) -> None:
    dataset.file_meta.TransferSyntaxUID = MPEG4
    dataset.PixelData = pydicom.encaps.encapsulate([b"0000"])


def set_ct(dataset: pydicom.Dataset) -> None:
    dataset.Modality, dataset.SOPClassUID = "CT", CT


def noise(dataset: pydicom.Dataset) -> None:
    """Air alone: a picture without a breast."""
    set_pixels(dataset, np.random.default_rng(0).integers(90, 110, dataset.pixel_array.shape))


def test_a_missing_table_is_named(phantom, tmp_path, capsys):
    shutil.copy(phantom / "calc_case_description_test_set.csv", tmp_path)
    assert main(["prepare", "cbis_ddsm", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert str(tmp_path) in error
    assert "mass_case_description_train_set.csv" in error
    assert not (tmp_path / "datalist.json").exists()


def test_images_that_cannot_be_used_are_set_aside_counted_and_the_run_goes_on(mammo, listed, tmp_path):
    source = listed["training"][0]["image"]
    files = {
        "truncated": rewrite(source, tmp_path / "cut.dcm", lambda dataset: None),
        "not_an_image": tmp_path / "text.dcm",
        "unsupported_transfer_syntax": rewrite(source, tmp_path / "video.dcm", set_transfer_syntax),
        "all_zero": rewrite(source, tmp_path / "zero.dcm", lambda d: set_pixels(d, 0 * d.pixel_array)),
        "not_a_mammogram": rewrite(source, tmp_path / "ct.dcm", set_ct),
        "missing": tmp_path / "nowhere.dcm",
    }
    files["truncated"].write_bytes(files["truncated"].read_bytes()[:-3000])
    files["not_an_image"].write_text("no picture")
    bad = [
        {"image": str(path), "image_id": reason, "patient_id": f"BAD_{reason}", "dataset": "cbis_ddsm"}
        for reason, path in files.items()
    ]
    status, printed = mammo("pretrain", changed(listed, training=listed["training"] + bad))
    assert status == 0
    table = pd.read_csv(tmp_path / "run/quarantine.csv").set_index("image_id")
    assert table["reason"].to_dict() == {reason: reason for reason in files}
    assert table["image"].to_dict() == {reason: str(path) for reason, path in files.items()}
    assert table["message"].str.len().min() > 20
    assert f"{len(files)} images set aside" in printed
    (row,) = json.loads((tmp_path / "run/history.json").read_text())["train"]
    assert row["iteration"] == len(listed["training"]) / 4


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_an_empty_breast_mask_counts_as_zero_and_is_reported(stage, mammo, listed, tmp_path):
    source = listed["training"][0]["image"]
    empty = listed["training"][0] | {
        "image": str(rewrite(source, tmp_path / "air.dcm", noise)), "image_id": "air", "patient_id": "AIR",
    }  # fmt: skip
    start = {"pretrained": "null"} if stage == "finetune" else {}
    # The gate would set it aside.
    status, printed = mammo(stage, changed(listed, training=[*listed["training"], empty]), gate="all", **start)
    assert status == 0
    assert "1 breast masks are not ok: 1 empty" in printed
    (row,) = json.loads((tmp_path / "run/history.json").read_text())["train"]
    assert np.isfinite(list(row.values())).all()
    state = torch.load(tmp_path / "run/checkpoints/best.pt", weights_only=True)
    assert all(value.isfinite().all() for value in state.values())


@pytest.mark.parametrize("section", ["training", "validation"])
def test_labels_of_one_class_stop_before_training(section, mammo, listed, tmp_path):
    benign = [record for record in listed[section] if record.get("pathology") == "BENIGN"]
    status, printed = mammo("finetune", changed(listed, **{section: benign}), pretrained="null")
    assert status == 1
    assert f"'pathology' has 1 of 2 classes in the {section} images" in printed
    assert "MALIGNANT: 0" in printed
    assert not (tmp_path / "run/history.json").exists()


def test_a_patient_on_both_sides_of_the_split_stops_the_run_by_name(mammo, listed, tmp_path):
    stray = listed["test"][0] | {"patient_id": listed["training"][0]["patient_id"]}
    status, printed = mammo("pretrain", changed(listed, test=[stray, *listed["test"][1:]]))
    assert status == 1
    assert f"{stray['patient_id']} (test, training)" in printed or f"{stray['patient_id']} (training, test)" in printed
    assert "known_leak" in printed
    assert not (tmp_path / "run/history.json").exists()


@pytest.mark.parametrize(("stage", "option"), [("finetune", "pretrained"), ("evaluate", "checkpoint")])
def test_a_checkpoint_of_another_architecture_is_refused_by_its_first_tensor(stage, option, mammo, tmp_path):
    wider = {f"encoder.{name}": value for name, value in SwinEncoder(size="micro", embed_dim=48).state_dict().items()}
    torch.save(wider, tmp_path / "wider.pt")
    status, printed = mammo(stage, **{option: tmp_path / "wider.pt"})
    own = SwinEncoder(size="micro").state_dict()
    first = next(name for name in own if own[name].shape != wider[f"encoder.{name}"].shape)
    assert status == 1
    assert str(tmp_path / "wider.pt") in printed
    assert first in printed
    assert str(tuple(own[first].shape)) in printed
    assert str(tuple(wider[f"encoder.{first}"].shape)) in printed


def test_a_missing_checkpoint_is_named(mammo, tmp_path):
    status, printed = mammo("explain", checkpoint=tmp_path / "nowhere.pt")
    assert status == 1
    assert str(tmp_path / "nowhere.pt") in printed


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("write failed")])
def test_a_full_disk_for_a_checkpoint_names_the_file_and_the_way_out(failure, mammo, tmp_path, monkeypatch):
    def save_half(content, path, *arguments, **options):
        path.write(b"half")
        raise failure

    monkeypatch.setattr(torch, "save", save_half)
    status, printed = mammo("pretrain", cache_dir="null")
    assert status == 1
    assert str(tmp_path / "run/checkpoints") in printed
    assert "--output_dir" in printed


@pytest.mark.parametrize(("part", "way_out"), [("cache", "cache_dir"), ("history.json", "another folder")])
def test_a_full_disk_elsewhere_names_the_place_and_the_way_out(part, way_out, mammo, tmp_path, monkeypatch):
    move = os.replace

    def full(source, target):
        if part in str(Path(target).relative_to(tmp_path)):
            raise OSError(errno.ENOSPC, "No space left on device")
        move(source, target)

    monkeypatch.setattr(os, "replace", full)
    status, printed = mammo("pretrain", cache_dir=tmp_path / "cache")
    assert status == 1
    assert str(tmp_path / "cache" if part == "cache" else tmp_path / "run/history.json") in printed
    assert way_out in printed


def test_ctrl_c_ends_with_130_and_the_run_can_be_resumed(mammo, tmp_path, monkeypatch):
    add = HistoryWriter.add

    def interrupt(self, engine):
        if engine.state.epoch == 2:
            raise KeyboardInterrupt  # a true signal may reach a callback of garbage collection, which swallows it
        add(self, engine)

    with monkeypatch.context() as patch:
        patch.setattr(HistoryWriter, "add", interrupt)
        status, printed = mammo("pretrain", max_epochs=3)
    assert status == 130
    assert "--resume true" in printed
    assert torch.load(tmp_path / "run/checkpoints/last.pt", weights_only=True)["trainer"]["epoch_length"] == 2
    assert mammo("pretrain", max_epochs=3, resume="true")[0] == 0
    history = json.loads((tmp_path / "run/history.json").read_text())
    assert [row["epoch"] for row in history["train"]] == [1, 2, 3]
    assert [row["epoch"] for row in history["validation"]] == [1, 2, 3]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("lerning_rate", "did you mean learning_rate"),
        ("train::trainr::max_epochs", "no such place ('query key: trainr')"),
    ],
)
def test_an_option_that_does_not_exist_is_named(option, words, mammo):
    status, printed = mammo("pretrain", **{option: 1})
    assert status == 1
    assert f"unknown option {option!r}" in printed
    assert words in printed


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("max_epochs", "lots", "--max_epochs takes a whole number from 1 up, and not 'lots'"),
        ("max_epochs", "1.5", "--max_epochs takes a whole number from 1 up, and not 1.5"),
        ("max_epochs", "true", "--max_epochs takes a whole number from 1 up, and not True"),
        ("epoch_length", "0", "--epoch_length takes a whole number from 1 up, and not 0"),
        ("batch_size", "-1", "--batch_size takes a whole number from 1 up, and not -1"),
        ("num_workers", "1.5", "--num_workers takes a whole number, such as"),
        ("learning_rate", "true", "--learning_rate takes a number, such as"),
        ("resume", "flase", "--resume takes true or false, and not 'flase'"),
        ("resume", "1", "--resume takes true or false, and not 1"),
        ("augment", "fasle", "--augment takes a list of components, best in an overlay, and not 'fasle'"),
        ("image_size", "224", '--image_size takes a list, such as "[224, 224]", and not 224'),
        ("image_size", "[224, 224", "is no YAML value"),
        ("image_size", "[100, 64]", "--image_size [100, 64] is no multiple of blocks of --block_size"),
        ("block_size", "0", "--block_size takes a whole number from 1 up, and not 0"),
        ("device", "gpu", "--device gpu cannot be used on this machine"),
    ],
)
def test_an_option_of_another_kind_is_refused_before_anything_is_read(option, value, words, mammo, tmp_path):
    status, printed = mammo("pretrain", **{option: value})
    assert status == 1
    assert words in printed
    assert not (tmp_path / "run").exists()


def test_a_refused_run_leaves_the_options_of_the_weights_that_are_there(mammo, tmp_path):
    assert mammo("pretrain")[0] == 0
    made = run_configuration(tmp_path / "run")
    assert mammo("pretrain", size="tiny", image_size="[64, 64]", datalist="nowhere.json")[0] == 1
    assert run_configuration(tmp_path / "run") == made
    assert mammo("pretrain", image_size="[64, 64]")[0] == 0
    assert run_configuration(tmp_path / "run")["image_size"] == [64, 64]


def test_a_slip_in_an_overlay_of_ones_own_is_told_and_what_is_used_is_not(mammo, tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(
        "lerning_rate: 3\ndecay: 0.1\noptimizer: {_target_: torch.optim.SGD, params: $@network_def.parameters(), "
        "lr: '@learning_rate', weight_decay: '@decay'}\n"
    )
    status, printed = mammo("pretrain", overlay=str(overlay))
    assert status == 0
    assert f"{overlay} sets lerning_rate, which nothing uses; did you mean learning_rate?" in printed
    assert "sets decay" not in printed


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("optimizer::lrr", "1e-3", "unexpected keyword argument 'lrr'"),
        ("optimizer::_target_", "mymodule.Lion", "PYTHONPATH must name the folder of a module of your own"),
    ],
)
def test_a_component_that_cannot_be_made_is_one_line(option, value, words, mammo):
    status, printed = mammo("pretrain", **{option: value})
    assert status == 1
    assert words in printed
    assert "Traceback" not in printed


def test_a_folder_may_be_named_by_a_number(mammo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert mammo("pretrain", output_dir="2024")[0] == 0
    assert (tmp_path / "2024/checkpoints/best.pt").is_file()


def test_sigterm_ends_a_command_as_ctrl_c_does(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("mammo.pipeline.demo.run_demo", lambda *a, **k: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["demo", "--output_dir", str(tmp_path)]) == 130
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "called", "way_out"),
    [
        (["demo"], "demo.run_demo", "interrupted\n"),
        (["phantom", "P"], "phantom.generate", "interrupted\n"),
        (["prepare", "table", "T"], "datasets.prepare.prepare_dataset", "the same command goes on\n"),
        (["pretrain"], "bundle_run.run_bundle", "go on with --resume true\n"),
        (["evaluate"], "bundle_run.run_bundle", "interrupted\n"),
    ],
)
def test_who_interrupts_is_told_a_way_to_go_on_that_there_is(verb, called, way_out, monkeypatch, tmp_path, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(f"mammo.pipeline.{called}", interrupted)
    assert main(verb) == 130
    assert capsys.readouterr().err.endswith(way_out)


def test_a_list_of_ones_own_is_not_looked_for_in_the_phantom_of_an_overlay(
    phantom, cache, listed, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    own = {**listed, "root": str(phantom)}
    for section in ("training", "validation", "test"):
        own[section] = [{**one, "image": os.path.relpath(one["image"], phantom)} for one in listed[section]]
    (tmp_path / "own.json").write_text(json.dumps(own))
    words = ["--overlay", "tiny", "--datalist", "own.json", "--cache_dir", str(cache), "--image_size", "[128, 64]"]
    assert main(["pretrain", *words, "--epoch_length", "1", "--batch_size", "2", "--output_dir", "run"]) == 0
    assert not (tmp_path / "outputs/phantom").exists()
    assert (tmp_path / "run/checkpoints/best.pt").is_file()


@pytest.mark.parametrize("value", ["abc", "true", "[0.2]"])
def test_an_option_of_a_dataset_of_another_kind_is_refused(value, tmp_path, capsys):
    assert main(["prepare", "cbis_ddsm", str(tmp_path), "--validation_fraction", value]) == 1
    assert "--validation_fraction takes a number" in capsys.readouterr().err


def test_weights_of_another_size_are_told_in_one_short_line(mammo):
    assert mammo("pretrain")[0] == 0
    status, printed = mammo("pretrain", resume="true", size="tiny", max_epochs=2)
    last = printed.strip().splitlines()
    assert status == 1
    (told,) = [line for line in last if line.startswith("mammo: error")]
    assert "last.pt does not fit this run's model; resume with the options of that run" in told
    assert len(told) < 700


def test_a_run_without_a_dataset_says_how_to_name_one(mammo):
    status, printed = mammo("pretrain", dataset_dir="null")
    assert status == 1
    assert "--dataset_dir" in printed
