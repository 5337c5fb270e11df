"""Evidence: frozen, checked, and every change is found."""

import json
import shutil
from types import SimpleNamespace

import pandas as pd
import pytest
from mammo.pipeline.cli import main
from mammo.pipeline.evaluation import MetricsWriter
from mammo.pipeline.evidence.hashes import BLOCK_BYTES, sha256_of
from mammo.pipeline.evidence.record import EvidenceWriter
from mammo.pipeline.evidence.verify import differences, verify_run


def test_an_untouched_run_is_verified(run, capsys):
    assert main(["verify", str(run)]) == 0
    assert "everything is as it was evaluated" in capsys.readouterr().out


def test_evidence_names_what_was_run(run):
    evidence = json.loads((run / "test/evidence.json").read_text())
    assert {"predictions.csv", "metrics.json", "operating_points.json", "config.yaml"} <= set(evidence["files"])
    assert set(evidence["inputs"]) == {"datalist", "checkpoint", "training"}
    assert (evidence["seed"], evidence["git_revision"], evidence["command"]) == (3, "0123456789ab", "mammo evaluate")
    assert evidence["inputs"]["checkpoint"]["sha256"] == sha256_of(run / "checkpoints/best.pt")


@pytest.mark.parametrize("name", ["test/config.yaml", "checkpoints/best.pt", "config.yaml", "../datalist.json"])
def test_a_changed_file_is_named_and_the_exit_status_is_1(run, name, capsys):
    path = run / name
    path.write_bytes(path.read_bytes() + b"\n")
    assert main(["verify", str(run)]) == 1
    assert f"{path.name} has another SHA-256" in capsys.readouterr().err
    assert main(["verify", str(run), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert any(path.name in line for line in told["different"])
    assert told["same"]


def test_a_polished_figure_is_found_by_recomputation(run):
    path = run / "test/metrics.json"
    metrics = json.loads(path.read_text())
    metrics["levels"]["image"]["auc"]["value"] += 0.01
    path.write_text(json.dumps(metrics))
    found = verify_run(run).different
    assert any(line.startswith("metrics.json, levels.image.auc.value: ") for line in found)
    assert any("metrics.json has another SHA-256" in line for line in found)


def test_a_changed_prediction_changes_the_metrics(run):
    path = run / "test/predictions.csv"
    table = pd.read_csv(path)
    table.assign(probability=1 - table["probability"]).to_csv(path, index=False)
    found = verify_run(run).different
    assert any(line.startswith("metrics.json, ") for line in found)
    assert any(line.startswith("operating_points.json, ") for line in found)
    assert any("more figures differ" in line for line in found)


def test_explanations_and_twin_are_frozen_and_do_not_outlive_their_predictions(run):
    test, twin = run / "test", run / "twin.pt"
    twin.write_bytes(b"weights")
    (test / "twin").mkdir()
    frozen = ["slices.csv", "explanations.csv", "explanations.json", "behaviour.csv", "twin/explanations.csv"]
    for name in (*frozen, "twin/behaviour.csv"):
        (test / name).write_text("a\n")
    where = {"datalist": run.parent / "datalist.json", "checkpoint": run / "checkpoints/best.pt"}
    EvidenceWriter(test, **where, twin=twin).write()
    assert verify_run(run).different == []
    (test / "twin/behaviour.csv").write_text("b\n")
    twin.write_bytes(b"others")
    assert len(verify_run(run).different) == 2
    writer = MetricsWriter(test / "metrics.json", predictions=SimpleNamespace(path=test / "predictions.csv"), draws=20)
    writer(SimpleNamespace())
    assert not [name for name in frozen[1:] if (test / name).exists()]


def test_a_folder_reached_through_a_link_stays_verified(run, tmp_path):
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/link").symlink_to(run / "test")
    where = {"datalist": run.parent / "datalist.json", "checkpoint": run / "checkpoints/best.pt"}
    EvidenceWriter(tmp_path / "deep/er/link", **where).write()
    assert verify_run(run).different == []


def test_a_risk_model_is_hashed_and_not_recomputed(run):
    (run / "test/metrics.json").write_text(json.dumps({"concordance": {"value": 0.7}}))
    where = {"datalist": run.parent / "datalist.json", "checkpoint": run / "checkpoints/best.pt"}
    EvidenceWriter(run / "test", **where).write()
    report = verify_run(run)
    assert report.different == []
    assert report.notes[0] == "metrics.json is not that of a classifier: hashed, not recomputed"


def test_only_a_fitted_temperature_may_differ_by_what_an_optimiser_leaves():
    told, found = ({"calibration": {"temperature": t}, "auc": t} for t in (1.5, 1.5 + 1e-7))
    assert list(differences(told, found)) == ["auc: 1.5 told, 1.5000001 found"]


def test_what_is_gone_is_said_with_the_way_out(run, tmp_path):
    moved = shutil.move(tmp_path / "datalist.json", tmp_path / "elsewhere.json")
    (missing,) = verify_run(run).different
    assert missing.startswith("datalist: ")
    assert missing.endswith("is not there; give its place with --datalist")
    assert verify_run(run, moved={"datalist": moved}).different == []


def test_a_tree_that_moves_as_a_whole_stays_verified(run, tmp_path):
    (tmp_path / "new").mkdir()
    for name in ("run", "datalist.json"):
        shutil.move(tmp_path / name, tmp_path / "new" / name)
    assert verify_run(tmp_path / "new/run").different == []


def test_other_versions_are_a_note_and_no_difference(run):
    path = run / "test/evidence.json"
    evidence = json.loads(path.read_text()) | {"versions": {"numpy": "0.1", "no-such-package": "2"}}
    path.write_text(json.dumps(evidence))
    report = verify_run(run)
    assert report.different == []
    assert report.notes[0].startswith("numpy was 0.1, is ")
    assert report.notes[1] == "no-such-package was 2, is not installed"


def test_a_folder_without_evidence_is_refused(run, tmp_path, capsys):
    (run / "test/evidence.json").unlink()
    assert main(["verify", str(run)]) == 1
    assert "no evidence.json; evaluate the classifier again" in capsys.readouterr().err
    assert main(["verify", str(tmp_path)]) == 1
    assert "no predictions.csv" in capsys.readouterr().err


def test_differences_are_placed_and_rounding_is_none():
    told = {"a": [1.0, {"b": None}], "c": "x", "d": True, "e": 1}
    assert list(differences(told, told | {"a": [1.0 + 1e-12, {"b": None}]})) == []
    found = {"a": [1.1, {"b": 0.0}], "c": "x", "d": 1, "f": 2}
    assert list(differences(told, found)) == [
        "a[0]: 1.0 told, 1.1 found",
        "a[1].b: None told, 0.0 found",
        "d: True told, 1 found",
        "e: 1 told, nothing found",
        "f: nothing told, 2 found",
    ]


def test_the_hash_of_a_long_file_is_that_of_the_whole(tmp_path):
    import hashlib

    content = b"ab" * BLOCK_BYTES
    (tmp_path / "long").write_bytes(content)
    assert sha256_of(tmp_path / "long") == hashlib.sha256(content).hexdigest()
