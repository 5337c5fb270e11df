"""``mammo compare``: two runs, or several seeds a side, as a table and as JSON."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.cli import main
from mammo.pipeline.comparison import compare_runs, comparison_table
from scipy.special import expit
from sklearn.metrics import roc_auc_score

TASK = {"name": "pathology", "classes": ["benign", "malignant"], "ordered": False}


def make_run(folder, noise, seed):
    luck, truth = np.random.default_rng(seed), np.random.default_rng(0)
    labels = np.repeat(truth.integers(0, 2, 80), 2)
    table = pd.DataFrame({
        "image_id": [f"i{k}" for k in range(160)], "patient_id": [f"{k // 2:03d}" for k in range(160)],
        "split": ["validation"] * 80 + ["test"] * 80, "label": labels,
        "probability": expit(labels + noise * luck.normal(size=160)),
    })  # fmt: skip
    (folder / "test").mkdir(parents=True)
    table.to_csv(folder / "test/predictions.csv", index=False)
    (folder / "test/metrics.json").write_text(json.dumps({"task": TASK}))
    return folder, table[table["split"] == "test"]


@pytest.fixture
def runs(tmp_path):
    return [make_run(tmp_path / name, noise, seed) for seed, (name, noise) in enumerate([("a", 0.3), ("b", 3.0)])]


def test_two_runs_print_a_table_and_write_json(runs, tmp_path, capsys):
    out = tmp_path / "comparison.json"
    folders = [str(folder) for folder, _ in runs]
    assert main(["compare", *folders, "--out", str(out), "--draws", "50"]) == 0
    printed = capsys.readouterr().out
    aucs = [roc_auc_score(table["label"], table["probability"]) for _, table in runs]
    row = next(line for line in printed.splitlines() if line.startswith("image: auc"))
    assert [f"{auc:.3f}" in row for auc in aucs] == [True, True]
    assert f"{aucs[0] - aucs[1]:+.3f}" in row
    assert "DeLong p" in printed
    written = json.loads(out.read_text())
    assert main(["compare", *folders, "--out", str(out), "--draws", "50", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == written
    assert (written["a"], written["b"]) == ([folders[0]], [folders[1]])
    assert written["bootstrap"]["draws"] == 50
    assert written["levels"]["patient_max"]["measures"]["auc"]["a"]["value"] > 0.5


def test_several_seeds_a_side(runs, tmp_path, capsys):
    more = make_run(tmp_path / "c", 0.5, 7)[0]
    command = ["compare", "--a", str(runs[0][0]), str(more), "--b", str(runs[1][0])]
    assert main([*command, "--draws", "20", "--out", str(tmp_path / "out.json")]) == 0
    assert "a: 2 run(s), b: 1 run(s); 95 % intervals by resampling patients and seeds" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["one"], ["one", "two", "three"], ["--a", "one"], []])
def test_anything_but_two_sides_is_refused(words, capsys):
    assert main(["compare", *words]) == 1
    assert "takes two run folders, or --a RUN ... and --b RUN ..." in capsys.readouterr().err


def test_runs_of_two_tasks_are_refused(runs):
    (folder, _), (other, _) = runs
    (other / "test/metrics.json").write_text(json.dumps({"task": TASK | {"name": "density"}}))
    with pytest.raises(ValueError, match="different tasks"):
        compare_runs([folder], [other], draws=5)


def test_what_is_undefined_stays_readable(runs, tmp_path):
    folder, _ = runs[0]
    path = shutil.copytree(folder, tmp_path / "few") / "test/predictions.csv"
    table = pd.read_csv(path, dtype={"patient_id": str})
    table[table["patient_id"].isin(["000", "001", "079"])].to_csv(path, index=False)
    result = compare_runs([tmp_path / "few"], [tmp_path / "few"], draws=5)
    assert "undefined" in comparison_table(result)


def make_margins(folder, noise, seed):
    luck, truth = np.random.default_rng(seed), np.random.default_rng(0).integers(0, 2, (160, 2))
    scores = expit(truth + noise * luck.normal(size=truth.shape))
    table = pd.DataFrame({
        "image_id": [f"i{k}" for k in range(160)], "patient_id": [f"{k // 2:03d}" for k in range(160)],
        "split": ["validation"] * 80 + ["test"] * 80, "label_a": truth[:, 0], "label_b": truth[:, 1],
        "probability_a": scores[:, 0], "probability_b": scores[:, 1],
    })  # fmt: skip
    folder.mkdir()
    table.to_csv(folder / "predictions.csv", index=False)
    return folder, table[table["split"] == "test"]


def test_runs_of_many_labels_are_compared_by_macro_auc(tmp_path, capsys):
    made = [make_margins(tmp_path / name, noise, k) for k, (name, noise) in enumerate([("a", 0.3), ("b", 3.0)])]
    out = tmp_path / "out.json"
    assert main(["compare", *(str(folder) for folder, _ in made), "--out", str(out), "--draws", "20"]) == 0
    tables = [table for _, table in made]
    areas = [roc_auc_score(t[["label_a", "label_b"]], t[["probability_a", "probability_b"]]) for t in tables]
    told = json.loads(out.read_text())["levels"]["image"]["measures"]["auc"]
    assert told["difference"]["value"] == pytest.approx(areas[0] - areas[1])
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("image: auc "))
    assert f"{areas[0] - areas[1]:+.3f} ({told['difference']['low']:+.3f} to" in row


def test_many_labels_are_not_compared_with_classes(runs, tmp_path):
    (runs[0][0] / "test/metrics.json").unlink()
    margins = make_margins(tmp_path / "margins", 1.0, 0)[0]
    with pytest.raises(ValueError, match="different questions"):
        compare_runs([runs[0][0]], [margins], draws=5)
