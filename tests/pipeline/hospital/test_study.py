"""A study is always answered, and every region lies where it was seen."""

import json
from copy import deepcopy
from dataclasses import replace
from statistics import fmean

import numpy as np
import pydicom
import pytest
import torch
from mammo.pipeline.explain import TokenGradCAM
from mammo.pipeline.gate import gate_policy
from mammo.pipeline.hospital.decode import here
from mammo.pipeline.hospital.model import HospitalModel
from mammo.pipeline.hospital.result import StudyStatus
from mammo.pipeline.hospital.study import StudyEngine
from mammo.pipeline.phantom import write_study
from mammo.transforms import PrepareMammogramd, ResizeMode, to_grid_box

from .conftest import POINTS, STAMP, paths_of


@pytest.fixture(scope="module")
def result(engine, exam):
    return engine.process(paths_of(exam))


def test_four_views_give_a_score_of_each_breast_and_of_the_exam(result):
    assert result.status == StudyStatus.ANALYSED
    assert result.missing_views == ()
    by_name = {view.name: view.probability for view in result.views}
    assert set(by_name) == {"L CC", "L MLO", "R CC", "R MLO"}
    scores = {breast.laterality: breast.score for breast in result.breasts}
    assert scores == {side: pytest.approx(fmean([by_name[f"{side} CC"], by_name[f"{side} MLO"]])) for side in "LR"}
    assert result.exam_score == max(scores.values())
    assert result.flagged == (result.exam_score >= 0.5)


def test_probabilities_are_those_of_the_network_on_the_prepared_image(result, model, exam):
    for path, view in exam:
        item = PrepareMammogramd("image", spatial_size=(128, 64))({"image": str(path)})
        with torch.no_grad():
            logits = model.network(torch.cat([item["image"], item["mask"]]).as_tensor()[None])
        expected = float(logits.softmax(dim=1)[0, 1])
        [found] = [v for v in result.views if v.name == f"{view.laterality[0]} {view.view}"]
        assert found.probability == pytest.approx(expected, abs=1e-4)
        odds = found.probability_calibrated / (1 - found.probability_calibrated)
        assert np.log(odds) == pytest.approx(np.log(found.probability / (1 - found.probability)) / 2, abs=1e-6)


def test_the_order_of_files_and_files_given_twice_change_nothing(engine, exam, result):
    again = engine.process([*reversed(paths_of(exam)), *paths_of(exam)])
    assert again == result
    assert again.job == result.job


def test_another_model_or_another_image_is_another_job(result):
    other_weights = replace(result, model=replace(result.model, weights_sha256="1" * 64))
    late_image = replace(result, views=result.views[:3])
    assert len({result.job, other_weights.job, late_image.job}) == 3


def test_an_image_that_never_came_is_told_and_makes_another_job(engine, exam, result):
    partial = engine.process(paths_of(exam), ["http_404"])
    assert partial.views == result.views
    assert partial.record()["absent"] == ("http_404",)
    assert partial.job != result.job


def test_another_gate_is_another_job(model, exam, result):
    strict = StudyEngine(
        model, policy=gate_policy("deploy", {"burned_in_declared": "accept"}), decode=here(model.transform)
    )
    other = strict.process(paths_of(exam))
    assert [view.probability for view in other.views] == [view.probability for view in result.views]
    assert other.job != result.job


def test_the_record_is_plain_json_and_names_no_patient(result, exam):
    text = json.dumps(result.record())
    header = pydicom.dcmread(exam[0].path)
    assert str(header.PatientID) not in text
    assert str(header.PatientName) not in text
    assert "research use only" in text


@pytest.mark.parametrize("mode", [ResizeMode.PAD, ResizeMode.STRETCH])
@pytest.mark.parametrize("index", [1, 2], ids=["one side", "the other"])
def test_what_is_seen_in_the_network_lies_on_the_lesion_in_the_original(tmp_path, model, mode, index):
    """A map that is hot at the planted lesion, on the network's grid: both sides, both views, mirrored and cut."""
    exam = [written for written in write_study(tmp_path, index=index, seed=77, preset="demo") if written.view.lesion]
    seeing = HospitalModel(
        model.network, PrepareMammogramd("image", spatial_size=(128, 64), mode=mode), STAMP, points=POINTS
    )
    sides = set()
    for path, view in exam:
        item = seeing.transform({"image": str(path)})
        heat = torch.zeros(128, 64)
        row0, column0, row1, column1 = (round(edge) for edge in to_grid_box(view.lesion.box, item["to_original"]))
        heat[row0:row1, column0:column1] = 1.0
        seeing.answer = lambda images, heat=heat: (torch.zeros(1, 2), heat[None])
        [found] = StudyEngine(seeing, decode=here(seeing.transform)).process([path]).views
        assert _overlap(found.regions[0].box, view.lesion.box) > 0.6
        sides.add(view.laterality)
    assert len(exam) == 2


def _overlap(a, b):
    rows, columns = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(rows, 0) * max(columns, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def test_the_map_of_one_pass_is_grad_cam(model, exam):
    item = here(model.transform)(exam[0].path).item
    network = deepcopy(model.network)
    torch.nn.init.normal_(network.head.weight)
    found = HospitalModel(network, model.transform, STAMP).score(item)
    expected = TokenGradCAM(network)(torch.cat([item["image"], item["mask"]])[None])
    torch.testing.assert_close(found.heat, expected[0], rtol=1e-4, atol=1e-5)


def test_a_failure_of_the_model_still_names_the_images(model, exam):
    failing = HospitalModel(model.network, model.transform, STAMP)
    failing.answer = lambda images: 1 / 0
    result = StudyEngine(failing, decode=here(model.transform)).process(paths_of(exam))
    assert result.status == StudyStatus.FAILED
    assert len(result.views) == 4
    assert not result.scored()
    assert result.study_instance_uid is not None
