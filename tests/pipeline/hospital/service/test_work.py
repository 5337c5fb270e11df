"""What runs in the worker process, with the real engine on random weights."""

import json

import pydicom
import pytest
import torch
import yaml
from mammo.networks import MammogramClassifier, SwinEncoder
from mammo.pipeline.hospital.service.messages import Answer, Ready, Task, Trouble
from mammo.pipeline.hospital.service.work import StudyWork
from mammo.pipeline.isolated import call_isolated, pack


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    (run / "checkpoints").mkdir()
    options = {"size": "micro", "image_size": [128, 64], "tasks": ["pathology"]}
    (run / "config.yaml").write_text(yaml.safe_dump(options | {"image_mean": 0.449, "image_std": 0.226}))
    torch.manual_seed(0)
    network = MammogramClassifier(SwinEncoder(size="micro", image_mean=0.449, image_std=0.226))
    torch.save(network.state_dict(), run / "checkpoints" / "best.pt")
    return run / "checkpoints" / "best.pt"


@pytest.fixture(scope="module")
def process(checkpoint):
    """Asks one worker process after another question."""
    work = pack(StudyWork(checkpoint, results=("sr", "overlay")))
    return lambda task: call_isolated(work, task, timeout_s=500)


def files(exam):
    return tuple(str(view.path) for view in exam)


def test_the_model_is_ready_when_a_phantom_came_through_it(process):
    ready = process(None)
    assert isinstance(ready, Ready)
    assert len(ready.model) == 64
    assert process(None) == ready


def test_a_study_gives_objects_and_an_answer_that_names_them(process, exam, tmp_path):
    said = process(Task(files(exam), str(tmp_path)))
    assert isinstance(said, Answer), said
    assert said.outcome == "analysed"
    record = json.loads((tmp_path / "result.json").read_text())
    assert record["job"] == said.result
    assert len(list(tmp_path.glob("*.dcm"))) == 5


def test_a_study_that_was_given_up_is_answered_under_identifiers_of_its_own(process, exam, tmp_path):
    good, given_up = tmp_path / "good", tmp_path / "given_up"
    good.mkdir()
    given_up.mkdir()
    first = process(Task(files(exam), str(good)))
    said = process(Task(files(exam), str(given_up), "timed_out", absent=("http_404",)))
    assert isinstance(said, Answer), said
    assert (said.outcome, said.codes) == ("failed", ("timed_out",))
    assert said.result != first.result
    (report,) = [ds for ds in map(pydicom.dcmread, given_up.glob("*.dcm")) if ds.Modality == "SR"]
    assert "timed_out" in str(report).lower() or "TIMED_OUT" in str(report)
    assert "1 image of this exam could not be fetched" in report.to_json()
    known = {pydicom.dcmread(path).SOPInstanceUID for path in good.glob("*.dcm")}
    assert report.SOPInstanceUID not in known
    assert report.StudyInstanceUID == pydicom.dcmread(exam[0].path).StudyInstanceUID


def test_an_error_comes_back_without_its_text(process, tmp_path):
    said = process(Task((str(tmp_path / "Secret^Name.dcm"),), str(tmp_path / "file" / "is" / "none"), "crashed"))
    assert isinstance(said, Trouble)
    assert "Secret" not in repr(said)


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"results": ("nonsense",)}, "unknown kind of result object: 'nonsense'"),
        ({"gate": "open"}, "unknown gate policy 'open'"),
        ({"operating_points": "nothing.json"}, "nothing.json"),
    ],
)
def test_settings_that_make_no_sense_are_explained_before_any_study(checkpoint, tmp_path, change, advice):
    change = {name: tmp_path / value if name == "operating_points" else value for name, value in change.items()}
    said = StudyWork(checkpoint, **change)(None)
    assert isinstance(said, Trouble)
    assert advice in said.advice
