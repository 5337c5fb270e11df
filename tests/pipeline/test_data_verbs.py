"""The data verbs of the command line, from a folder of tiny pictures to a store, crops, folds, audit and gate."""

import json
import logging
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mammo.pipeline.cli import main
from mammo.pipeline.datasets import PreparedDataset, load_datalist
from mammo.pipeline.datasets.show import entries
from mammo.transforms import PrepareMammogramd

PATIENTS = 10


@pytest.fixture(autouse=True)
def _messages(caplog):
    caplog.set_level(logging.INFO)


@pytest.fixture
def folder(tmp_path):
    """Ten patients with one breast each, half of them malignant, listed in a CSV with names of its own."""
    root = tmp_path / "images"
    root.mkdir()
    rows, columns = np.mgrid[:160, :100]
    lines = ["PatID,file,Outcome,side"]
    for n in range(PATIENTS):
        depth = 1 - ((rows - 80) / (60 + n)) ** 2 - (columns / (60 + n)) ** 2
        texture = cv2.GaussianBlur(np.random.default_rng(n).random(depth.shape), (0, 0), 3) * 400
        picture = (depth > 0) * (60 + 80 * np.sqrt(np.clip(depth, 0, 1)) + texture - 170)
        cv2.imwrite(str(root / f"i{n}.png"), np.clip(picture, 0, 255).astype(np.uint8))
        lines.append(f"P{n},i{n}.png,{'MALIGNANT' if n % 2 else 'BENIGN'},L")
    (root / "table.csv").write_text("\n".join(lines) + "\n")
    return root


COLUMNS = ["--csv", "table.csv", "--columns", "patient_id=PatID,image=file,pathology=Outcome,laterality=side"]


@pytest.fixture
def listed(folder):
    assert main(["prepare", "table", str(folder), *COLUMNS]) == 0
    return folder / "datalist.json"


@pytest.fixture
def store(folder, tmp_path):
    store = tmp_path / "store"
    assert main(["prepare", "table", str(folder), *COLUMNS, "--store", str(store), "--workers", "1"]) == 0
    return store


def test_prepare_lists_splits_fills_the_store_and_show_verifies_and_draws_it(folder, store, caplog, capsys):
    datalist = load_datalist(folder / "datalist.json")
    assert sum(len(datalist[name]) for name in ("training", "validation", "test")) == PATIENTS
    said = "\n".join(record.getMessage() for record in caplog.get_records("setup"))
    assert "10 images usable, 10 of them prepared now" in said
    assert re.search("pathology +BENIGN +MALIGNANT", said)
    assert (folder / "datalist.quarantine.csv").read_text() == "image,image_id,reason,message\n"
    assert main(["prepare", "--show", str(store)]) == 0
    printed = capsys.readouterr().out
    assert "10 prepared images" in printed
    assert "0 damaged" in printed
    assert "1 x 224 x 224: 10" in printed
    assert store.with_suffix(".png").stat().st_size > 10_000


def test_show_ends_with_an_error_where_an_entry_is_damaged(store, capsys):
    broken = entries(store)[3]
    content = bytearray(broken.read_bytes())
    content[-5] ^= 1
    broken.write_bytes(content)
    assert main(["prepare", "--show", str(store)]) == 1
    assert "1 entries of" in capsys.readouterr().err


def test_show_of_what_is_no_store_says_how_to_make_one(tmp_path, capsys):
    assert main(["prepare", "--show", str(tmp_path)]) == 1
    assert "is no store of prepared images" in capsys.readouterr().err


def test_prepare_tells_a_machine_what_it_listed_and_set_aside(folder, tmp_path, capfd):
    (folder / "i3.png").write_bytes(b"no picture")
    store = ["--store", str(tmp_path / "store"), "--workers", "1", "--json"]
    assert main(["prepare", "table", str(folder), *COLUMNS, *store]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["datalist"] == str(folder / "datalist.json")
    assert sum(told["images"].values()) == PATIENTS
    assert told["usable"] == PATIENTS - 1
    assert [one["image_id"] for one in told["set_aside"]] == ["i3.png"]


def test_prepare_without_a_dataset_says_what_it_takes(capsys):
    assert main(["prepare"]) == 1
    assert "takes a dataset and its folder" in capsys.readouterr().err


def test_folds_write_one_datalist_each_in_which_every_patient_is_validated_once(listed, capsys):
    assert main(["folds", str(listed), "--folds", "2"]) == 0
    paths = capsys.readouterr().out.split()
    validated = [record["patient_id"] for path in paths for record in load_datalist(path)["validation"]]
    assert len(paths) == 2
    assert len(validated) == len(set(validated))


def test_random_crops_and_combine_make_a_list_of_both(listed, tmp_path, capsys):
    crops, both = tmp_path / "crops.json", tmp_path / "both.json"
    arguments = ["--kind", "random", "--per_image", "2", "--side_px", "32", "--workers", "1"]
    assert main(["crops", str(listed), "--out", str(crops), *arguments]) == 0
    assert main(["combine", str(listed), str(crops), "--out", str(both)]) == 0
    combined = load_datalist(both)
    assert sum(len(combined[name]) for name in ("training", "validation", "test")) == 3 * PATIENTS
    assert main(["crops", str(listed), "--out", str(crops), "--side_share", "0.5"]) == 1
    assert "--side_share is no option of lesions crops" in capsys.readouterr().err


def test_a_list_of_crops_is_prepared_and_its_crops_are_not_the_whole_picture(listed, tmp_path, capsys):
    crops, store = tmp_path / "crops.json", tmp_path / "store"
    arguments = ["--kind", "random", "--per_image", "1", "--side_px", "32", "--workers", "1"]
    assert main(["crops", str(listed), "--out", str(crops), *arguments]) == 0
    assert main(["prepare", "datalist", str(crops), "--store", str(store), "--workers", "1"]) == 0
    step = [PrepareMammogramd(keys="image")]
    cut, whole = (PreparedDataset(load_datalist(path)["training"], step, store) for path in (crops, listed))
    assert not torch.equal(cut[0]["image"], whole[0]["image"])
    assert (cut.computed, cut.reused, whole.computed) == (0, 1, 1)
    assert main(["prepare", "datalist", str(crops)]) == 1
    assert "takes --store" in capsys.readouterr().err


def test_audit_passes_a_clean_list_and_fails_one_with_a_copied_picture(listed, tmp_path, capsys):
    assert main(["audit", str(listed), "--workers", "1"]) == 0
    content = json.loads(listed.read_text())
    picture = Path(listed.parent, content["test"][0]["image"])
    copy = picture.with_name("copy.jpg")
    cv2.imwrite(str(copy), cv2.flip(cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE), 1), [cv2.IMWRITE_JPEG_QUALITY, 90])
    content["training"].append(content["training"][0] | {"image": "copy.jpg", "image_id": "copy", "patient_id": "NEW"})
    listed.write_text(json.dumps(content))
    assert main(["audit", str(listed), "--workers", "1", "--out", str(tmp_path / "found.csv")]) == 1
    assert "leaks in 1" in capsys.readouterr().err
    assert main(["audit", str(listed), "--workers", "1", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert "leaks in 1" in told["error"]
    assert any(image.endswith("copy") for image in told["leaks"][0]["images"])
    assert "copy" in (tmp_path / "found.csv").read_text()


def test_gate_judges_files_and_takes_changes_of_its_policy(folder, tmp_path, capsys):
    out = ["--workers", "1", "--out", str(tmp_path / "gate.csv")]
    assert main(["gate", str(folder / "i0.png"), "--policy", "deploy", *out]) == 0
    assert "1 images" in capsys.readouterr().out
    assert "no_header" in (tmp_path / "gate.csv").read_text()
    assert main(["gate", str(folder / "i0.png"), "--set", "no_header=refuse", *out]) == 0
    assert "1 refused" in capsys.readouterr().out
    assert main(["gate", str(folder / "i0.png"), "--set", "no_header=refuse", *out, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["outcomes"] == {"refuse": 1}
    assert "no_header" in told["rows"][0]["reasons"]
    assert main(["gate", str(folder / "i0.png"), "--set", "no_heder=refuse", *out]) == 1
    assert "no_header" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--key_file", "--set_aside", "--crosswalk"])
def test_what_is_for_the_owner_alone_is_kept_out_of_the_export(option, folder, tmp_path, capsys):
    given = {"--key_file": str(tmp_path / "key"), option: str(tmp_path / "out" / "private")}
    arguments = [word for pair in given.items() for word in pair]
    command = ["deidentify", str(folder / "i0.png"), "--out", str(tmp_path / "out"), "--new_key", *arguments]
    assert main(command) == 1
    assert "put it elsewhere" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_deidentify_makes_a_key_and_says_why_nothing_was_exported(folder, tmp_path, capsys):
    key = ["--key_file", str(tmp_path / "key"), "--new_key", "--workers", "1"]
    assert main(["deidentify", str(folder / "i0.png"), "--out", str(tmp_path / "out"), *key]) == 1
    assert "nothing was exported" in capsys.readouterr().err
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
