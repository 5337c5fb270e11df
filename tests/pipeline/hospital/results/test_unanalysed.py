"""Studies without a score: every one is answered, with its reasons."""

from dataclasses import replace

import highdicom as hd
import pydicom
import pytest
from mammo.pipeline.gate import Reason
from mammo.pipeline.hospital.result import StudyStatus, ViewResult
from mammo.pipeline.hospital.results import WRITERS, write_objects
from mammo.pipeline.hospital.results.report_codes import note
from mammo.pipeline.hospital.results.wording import refused_words
from mammo.transforms.errors import ReadFailure

from .conftest import NOW, lines_of, summed_up, without_scores
from .test_places import walk

CASES = {
    "refused": (StudyStatus.NOT_ANALYSED, "none of 4 images could be analysed", "spot_compression", "implant"),
    "failed": (StudyStatus.FAILED, "RuntimeError in model.py:77"),
}


@pytest.fixture(params=CASES)
def case(request, result, tmp_path):
    """Name and result of a study that was not analysed, and its files of every kind."""
    told = without_scores(result, *CASES[request.param])
    files = {path.stem: path for path in write_objects(told, tmp_path / "out", WRITERS, NOW)}
    return request.param, told, files


def evaluations(group):
    return [(item.name.value, item.value.value) for item in group.get_qualitative_evaluations()]


def test_it_is_answered_by_report_picture_page_and_cad(case, exams):
    _, _, files = case
    assert list(files) == ["sr-1", "overlay-1", "pdf-1", "cad-1"]
    for path in files.values():
        lines = lines_of("dciodvfy", path)
        assert [line for line in lines if line.startswith("Error")] == []
    lines = lines_of("dcentvfy", *exams["MONOCHROME2"], *files.values())
    assert [line for line in lines if line.startswith("Error")] == []


def test_the_report_has_status_reason_and_reason_codes(case):
    name, told, files = case
    report = hd.sr.srread(str(files["sr-1"]))
    groups = {group.tracking_identifier: group for group in report.content.get_image_measurement_groups()}
    status = "FAILED" if name == "failed" else "NOT_ANALYSED"
    assert ("STATUS", status) in evaluations(groups["exam"])
    assert ("MISSING_VIEW", "R_CC") in evaluations(groups["exam"])
    for view in told.views:
        group = groups[f"image {view.name}"]
        assert [value for kind, value in evaluations(group) if kind == "NOTE"] == list(view.reasons)
        assert group.get_measurements() == []
    assert report.CompletionFlag == "PARTIAL"
    comments = [item.TextValue for item in walk(report) if item.get("ValueType") == "TEXT"]
    assert any(told.reason in text for text in comments)
    assert any("read the exam as usual" in text for text in comments)


def test_the_cad_report_says_failed_or_not_attempted(case):
    name, told, files = case
    items = {
        item.ConceptNameCodeSequence[0].CodeMeaning: item
        for item in pydicom.dcmread(files["cad-1"]).ContentSequence
        if item.ValueType == "CODE"
    }
    codes = {name: item.ConceptCodeSequence[0].CodeValue for name, item in items.items()}
    assert codes["CAD Processing and Findings Summary"] == "111245"
    state = "111224" if name == "failed" else "111225"
    assert codes["Summary of Detections"] == codes["Summary of Analyses"] == state
    (impression,) = (
        item.TextValue
        for item in items["CAD Processing and Findings Summary"].ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Impression Description"
    )
    assert told.reason in impression


def test_the_picture_is_a_page_of_text(case):
    _, _, files = case
    ds = pydicom.dcmread(files["overlay-1"])
    assert ds.pixel_array.shape[1] == 1024
    assert (ds.pixel_array > 128).mean() > 0.005
    assert len(ds.SourceImageSequence) == 4


def test_the_page_has_the_reasons_in_words(case, tmp_path):
    _, told, files = case
    document = pydicom.dcmread(files["pdf-1"])
    (tmp_path / "page.pdf").write_bytes(document.EncapsulatedDocument)
    lines_of("pdftotext", tmp_path / "page.pdf", tmp_path / "page.txt")
    said = " ".join((tmp_path / "page.txt").read_text().split())
    assert told.reason in said
    assert all(" ".join(line.split()) in said for line in refused_words(told))
    assert "calibrated: 0.70" not in said  # no word on what scores mean where there are none


def test_without_a_readable_header_there_is_nothing(tmp_path, result):
    lost = tuple(ViewResult("/spool/x.dcm", reasons=("truncated",)) for _ in range(2))
    told = replace(without_scores(result, StudyStatus.NOT_ANALYSED, "none"), views=lost)
    assert write_objects(told, tmp_path / "out", WRITERS, NOW) == []
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def partly(result):
    """One view refused, one repeated, one file unreadable."""
    first, *others = result.views
    refused = replace(first, probability=None, regions=(), reasons=("magnification",), messages=("factor is 1.8",))
    unreadable = ViewResult("/spool/Roe^Jane.dcm", reasons=("undecodable",), messages=("secret of /spool",))
    return summed_up((refused, *others, unreadable), result.pictures, 0.9)


def test_a_study_in_part_names_what_is_missing_everywhere(partly, tmp_path):
    files = {path.stem: path for path in write_objects(partly, tmp_path / "out", WRITERS, NOW)}
    assert "key-1" not in files
    assert len([name for name in files if name.startswith("overlay")]) == 3
    report = hd.sr.srread(str(files["sr-1"]))
    groups = {group.tracking_identifier: group for group in report.content.get_image_measurement_groups()}
    missing = partly.views[0].name
    assert ("MISSING_VIEW", missing.replace(" ", "_")) in evaluations(groups["exam"])
    assert ("MISSING_VIEW", missing.replace(" ", "_")) in evaluations(groups[f"breast {missing[0]}"])
    assert ("NOTE", "undecodable") in evaluations(groups["exam"])
    assert ("NOTE", "magnification") in evaluations(groups[f"image {missing}"])
    assert ("FLAG", "BELOW") in evaluations(groups["exam"])
    cad = pydicom.dcmread(files["cad-1"])
    states = [item.ConceptCodeSequence[0].CodeValue for item in cad.ContentSequence if item.ValueType == "CODE"]
    assert states[1:] == ["111244", "111223", "111223"]  # not all succeeded, with findings; partially, twice
    for path in files.values():
        assert [line for line in lines_of("dciodvfy", path) if line.startswith("Error")] == []
        assert b"secret" not in path.read_bytes()
        assert b"Jane" not in path.read_bytes()


def test_a_repeated_view_is_named(result, exams, tmp_path):
    again = result.views[0]
    twice = summed_up((*result.views, replace(again, probability=0.9)), result.pictures)
    (path,) = write_objects(twice, tmp_path / "out", ["sr"], NOW)
    groups = hd.sr.srread(str(path)).content.get_image_measurement_groups()
    (breast,) = (group for group in groups if group.tracking_identifier == f"breast {again.laterality}")
    assert [name for name, _ in evaluations(breast)].count("REPEATED_VIEW") == 1


def test_an_image_of_unknown_side_and_view_is_shown_as_such(result, tmp_path):
    lost = tuple(replace(view, laterality=None, view=None) for view in result.views)
    told = replace(summed_up(result.views, result.pictures), views=lost)
    for path in write_objects(told, tmp_path / "out", ["sr", "overlay", "presentation", "mask", "cad"], NOW):
        assert [line for line in lines_of("dciodvfy", path) if line.startswith("Error")] == []


@pytest.mark.parametrize("code", [*Reason, *ReadFailure])
def test_every_reason_has_a_code_with_its_own_text(code):
    coded = note(code.value)
    assert coded.value == code.value
    assert coded.meaning
