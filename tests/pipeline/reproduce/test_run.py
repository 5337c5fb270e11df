"""The whole way: from a folder to the table, with a split that must be the frozen one, going on where it stopped."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.cli import main
from mammo.pipeline.reproduce.catalogue import find_row
from mammo.pipeline.reproduce.results import measure
from mammo.pipeline.reproduce.row import Figure


def test_a_row_ends_in_a_table_and_is_not_run_twice(frozen_row, phantom, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["reproduce", str(frozen_row), "--data", str(phantom), "--output_dir", str(out)]
    assert main([*command, "--dry_run"]) == 0
    assert "finetune" in capsys.readouterr().out
    assert not (out / "runs").exists()
    assert main([*command, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content == json.loads((out / "reproduce.json").read_text())
    auc, by_patient = content["figures"]
    assert auc["published"] == 0.75
    assert auc["ours"]["low"] <= auc["ours"]["value"] <= auc["ours"]["high"]
    assert by_patient["published"] is None
    assert by_patient["measure"] == "auc, patient_max"
    table = (out / "reproduce.md").read_text()
    assert "| auc | 0.75 |" in table
    assert "It is small." in table
    assert "arXiv:2501.00001" in table

    ended = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/completed.json")}
    next(out.glob("runs/evaluate-*/completed.json")).unlink()
    assert main(command) == 0  # only what is not finished
    again = {path: path.stat().st_mtime_ns for path in ended}
    assert [path.parent.name.split("-")[0] for path in ended if again[path] != ended[path]] == ["evaluate"]


def test_a_patient_in_the_wrong_section_stops_the_row(frozen_row, phantom, tmp_path, capsys):
    split = tmp_path / "split.json"
    content = json.loads(split.read_text())
    moved = content["sections"]["test"]["patients_hashed"].pop()
    content["sections"]["training"]["patients_hashed"].append(moved)
    split.write_text(json.dumps(content))
    assert main(["reproduce", str(frozen_row), "--data", str(phantom), "--output_dir", str(tmp_path / "out")]) == 1
    text = capsys.readouterr().err
    assert "this is not the split of split.json" in text
    assert "test: 1 patients do not belong there: P_" in text
    assert not (tmp_path / "out" / "runs").exists()


def predictions(folder, probabilities):
    """Two labels of every patient, two images each; label b is not known of the last one."""
    folder.mkdir()
    rows = [
        {
            "image_id": f"{patient}{view}",
            "patient_id": patient,
            "split": "test",
            "label_a": patient % 2,
            "probability_a": probabilities[patient],
            "label_b": -1 if patient == len(probabilities) - 1 else int(patient < 3),
            "probability_b": 0.5,
        }
        for patient in range(len(probabilities))
        for view in "xy"
    ]
    pd.DataFrame(rows).to_csv(folder / "predictions.csv", index=False)
    return folder


def test_our_figure_is_that_of_the_test_patients(tmp_path):
    folder = predictions(tmp_path / "seed", [0.1, 0.2, 0.3, 0.8, 0.4, 0.35])
    row = replace(find_row("phantom-swin"), figures=[Figure("auc", label="a")])
    (found,) = measure(row, [folder])
    assert found["ours"]["value"] == pytest.approx(6 / 9)  # by hand: 6 of 9 pairs of patients are in order


def test_the_published_number_is_placed_beside_our_interval_as_it_is_rounded(tmp_path):
    generator = np.random.default_rng(0)
    folder = predictions(tmp_path / "seed", generator.uniform(0, 0.6, 80) + 0.2 * (np.arange(80) % 2))

    def told(value):
        row = replace(find_row("phantom-swin"), figures=[Figure("auc", value, label="a")])
        return measure(row, [folder], draws=200)[0]

    ours = told(None)["ours"]
    assert told(None)["verdict"] == ""
    assert "above" in told(ours["high"] + 0.02)["verdict"]
    assert "below" in told(ours["low"] - 0.02)["verdict"]
    for value in (ours["value"], ours["high"] + 0.004, ours["low"] - 0.004):
        assert "in our interval" in told(value)["verdict"]


def test_one_label_of_many_leaves_out_what_is_not_known_of_it(tmp_path):
    folder = predictions(tmp_path / "seed", [0.1, 0.9, 0.2, 0.8, 0.3, 0.7])
    row = replace(find_row("phantom-swin"), figures=[Figure("auc", label="a"), Figure("auc", label="b")])
    a, b = measure(row, [folder, folder], draws=50)
    assert (a["rows"], b["rows"]) == (12, 10)
    assert a["ours"]["value"] == 1.0
    assert b["ours"]["value"] == 0.5


def test_a_label_that_was_not_predicted_is_named(tmp_path):
    folder = predictions(tmp_path / "seed", [0.1, 0.9, 0.2, 0.8, 0.3, 0.7])
    row = replace(find_row("phantom-swin"), figures=[Figure("auc", label="c")])
    with pytest.raises(ValueError, match="no label 'c'; they have a, b"):
        measure(row, [folder])
