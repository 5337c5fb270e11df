"""The folder contract: what lies in OUT, when it is whole, and how the command ends."""

import json
import shutil

import pydicom
import pytest
import torch
import yaml
from mammo.pipeline.cli import main
from mammo.pipeline.evidence.hashes import sha256_of
from mammo.pipeline.hospital import process as processing
from mammo.pipeline.hospital.decode import here
from mammo.pipeline.hospital.loading import load_model
from mammo.pipeline.hospital.process import RESULT, process_files, studies_of
from mammo.pipeline.hospital.study import StudyEngine
from mammo.pipeline.phantom import write_study

from .conftest import paths_of


@pytest.fixture(scope="module")
def engine(model):
    return StudyEngine(model, decode=here(model.transform))


@pytest.fixture(scope="module")
def checkpoint(model, tmp_path_factory):
    """A run folder as finetune leaves it, as far as loading asks for it."""
    run = tmp_path_factory.mktemp("run")
    (run / "checkpoints").mkdir()
    torch.save(model.network.state_dict(), run / "checkpoints" / "best.pt")
    named = {"bundle_root": "$str(bundles.bundle_root('swin_mim'))", "size": "micro", "tasks": ["pathology"]}
    (run / "config.yaml").write_text(yaml.safe_dump(named | {"image_size": [64, 64]}))
    return run / "checkpoints" / "best.pt"


def test_the_result_names_every_file_with_its_hash(tmp_path, engine, exam):
    result = process_files(paths_of(exam), engine, tmp_path / "out", ["sr", "overlay", "presentation"])
    record = json.loads((tmp_path / "out" / RESULT).read_text())
    there = {path.name for path in (tmp_path / "out").iterdir()}
    assert there == {RESULT, *record["files"]}
    assert len(there) == 1 + 1 + 1 + 4 + 4  # result, page, report, overlays, presentation states
    assert all(sha256_of(tmp_path / "out" / name) == digest for name, digest in record["files"].items())
    assert record["status"] == "analysed"
    assert record["job"] == result.job
    told = [path for path in there if path.endswith(".dcm")]
    assert {pydicom.dcmread(tmp_path / "out" / name).StudyInstanceUID for name in told} == {result.study_instance_uid}


def test_objects_of_another_study_do_not_stay_in_the_folder(tmp_path, engine, exam):
    other = [path for path, _ in write_study(tmp_path / "other", index=5, seed=7, preset="demo", unaffected=False)]
    first = process_files(paths_of(exam), engine, tmp_path / "out", ["sr", "overlay", "presentation"])
    (tmp_path / "out" / "sent.dcm").write_text("somebody else's")
    second = process_files(other, engine, tmp_path / "out", ["sr", "overlay"])
    assert first.study_instance_uid != second.study_instance_uid
    record = json.loads((tmp_path / "out" / RESULT).read_text())
    there = {path.name for path in (tmp_path / "out").iterdir()}
    assert there == {RESULT, "sent.dcm", *record["files"]}
    told = [pydicom.dcmread(tmp_path / "out" / name) for name in record["files"] if name.endswith(".dcm")]
    assert {ds.StudyInstanceUID for ds in told} == {second.study_instance_uid}


def test_another_threshold_is_another_job(checkpoint):
    stamps = []
    for threshold in (0.3, 0.7, 0.7):
        points = checkpoint.parents[1] / "points.json"
        told = {"temperature": 1.0, "thresholds": {"breast_max": {"youden": threshold}}}
        points.write_text(json.dumps(told | {"checkpoint_sha256": sha256_of(checkpoint)}))
        stamps.append(load_model(checkpoint, operating_points=points).stamp)
    assert stamps[0] != stamps[1] == stamps[2]
    assert load_model(checkpoint).stamp not in stamps


def test_there_is_no_result_where_writing_ended_early(tmp_path, engine, exam, monkeypatch):
    """An earlier result goes first, so that nobody takes it for the new one."""
    process_files(paths_of(exam), engine, tmp_path, ["sr"])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(processing, "write_page", full)
    with pytest.raises(OSError, match="no space left for the results"):
        process_files(paths_of(exam), engine, tmp_path, ["sr"])
    assert not (tmp_path / RESULT).exists()
    assert not list(tmp_path.glob(".partial-*"))


def test_what_a_killed_process_left_goes_and_a_full_disk_names_the_folder(tmp_path, engine, exam, monkeypatch):
    (tmp_path / ".partial-left" / "objects").mkdir(parents=True)
    process_files(paths_of(exam), engine, tmp_path, ["sr"])
    assert not list(tmp_path.glob(".partial-*"))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(processing, "write_page", full)
    with pytest.raises(OSError, match=rf"no space left for the results.*another folder.*{tmp_path.name}"):
        process_files(paths_of(exam), engine, tmp_path, ["sr"])


def test_an_engine_that_fails_is_an_answer_too(tmp_path, exam, model):
    def broken(path):
        raise RuntimeError("something about Mrs. Phantom")

    result = process_files(paths_of(exam), StudyEngine(model, decode=broken), tmp_path, ["sr"])
    record = json.loads((tmp_path / RESULT).read_text())
    assert record["status"] == result.status == "failed"
    assert "RuntimeError" in record["reason"]
    assert "Mrs." not in (tmp_path / RESULT).read_text()
    assert "Mrs." not in (tmp_path / "page.html").read_text()


def test_images_of_two_patients_in_one_study_are_not_looked_at_together(tmp_path, engine, exam):
    other = pydicom.dcmread(exam[0].path)
    other.PatientID, other.SOPInstanceUID = "SOMEBODY-ELSE", "1.2.3"
    other.save_as(tmp_path / "other.dcm")
    result = engine.process([*paths_of(exam), tmp_path / "other.dcm"])
    assert result.status == "not_analysed"
    assert "2 patients" in result.reason
    assert result.exam_score is None
    assert not result.scored()


def test_files_are_told_apart_by_study(tmp_path, exam):
    later = write_study(tmp_path / "later", index=1, seed=77, preset="demo", date="20270105", views=("CC",))
    (tmp_path / "note.txt").write_text("not an image")
    found = studies_of([*paths_of(exam), *paths_of(later)])
    assert [len(files) for files in found] == [4, 2]
    assert studies_of([*paths_of(exam), tmp_path / "note.txt"]) == [[*paths_of(exam), tmp_path / "note.txt"]]
    assert [len(files) for files in studies_of([*paths_of(exam), *paths_of(later), tmp_path / "note.txt"])] == [4, 2, 1]


def test_results_that_came_back_with_the_study_are_left_out(tmp_path, engine, exam):
    process_files(paths_of(exam), engine, tmp_path, ["sr", "overlay"])
    came_back = sorted(tmp_path.glob("*.dcm"))
    assert len(came_back) == 5
    assert studies_of([*paths_of(exam), *came_back]) == [paths_of(exam)]


def test_the_command_ends_with_the_worst_of_its_studies(tmp_path, checkpoint, exam, capsys):
    incoming = tmp_path / "in"
    incoming.mkdir()
    for path in paths_of(exam):
        shutil.copy(path, incoming)
    write_study(incoming / "later", index=1, seed=77, preset="demo", date="20270105", views=("CC",), unaffected=False)
    for path in (incoming / "later").iterdir():
        raw = pydicom.dcmread(path)
        raw.PresentationIntentType = "FOR PROCESSING"
        raw.save_as(path)
    words = ["process", str(incoming), str(tmp_path / "out"), "--checkpoint", str(checkpoint), "--results", "sr"]
    assert main(words) == 3
    said = capsys.readouterr().out
    assert "analysed 4 of 4 images" in said
    assert "for_processing" in said
    assert "research use only" in said
    statuses = [json.loads((tmp_path / "out" / name / RESULT).read_text())["status"] for name in ("0001", "0002")]
    assert statuses == ["analysed", "not_analysed"]
    assert main([*words, "--json"]) == 3
    told = json.loads(capsys.readouterr().out)["studies"]
    assert [study["status"] for study in told] == statuses
    assert [study["folder"] for study in told] == [str(tmp_path / "out" / name) for name in ("0001", "0002")]


def test_an_unknown_kind_is_an_error_before_anything_is_read(tmp_path, checkpoint, exam, capsys):
    words = ["process", str(exam[0].path), str(tmp_path / "out"), "--checkpoint", str(checkpoint)]
    assert main([*words, "--results", "hologram"]) == 1
    assert "hologram" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
