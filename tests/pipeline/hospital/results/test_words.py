"""What every object says of itself, and what none may say."""

import re
from dataclasses import replace

import highdicom as hd
import matplotlib
import pydicom
import pytest
from mammo.pipeline.hospital.result import NOTICE
from mammo.pipeline.hospital.results import write_objects
from mammo.pipeline.hospital.results.common import ObjectContext
from mammo.pipeline.hospital.results.document_page import draw_page
from mammo.pipeline.hospital.results.wording import ascii_text

from .conftest import NAME, NOW, STAMP, lines_of, planted, write_exam
from .test_conformance import NAMES

CYRILLIC_IS_TEXT = matplotlib.__version_info__ >= (3, 11)
"""Before, the PDF has it as outlines."""
CLAIMS = re.compile(r"malign|cancer|benign|carcinoma|tumou?r|bi-?rads", re.IGNORECASE)


def texts(ds):
    """Every text in an object, but for names of codes in Algorithm Identification."""
    for element in ds.iterall():
        if element.VR in ("LO", "LT", "ST", "UT", "SH", "CS", "PN", "UC"):
            yield from (str(value) for value in (element.value if element.VM > 1 else [element.value]))


@pytest.mark.parametrize("name", NAMES)
def test_an_object_is_labelled_as_made_by_an_ai_for_research(name, files):
    ds = pydicom.dcmread(files[name])
    assert re.fullmatch(r"AI .+ - research use only", ds.SeriesDescription)
    assert ds.Manufacturer == "mammo"
    assert ds.ManufacturerModelName == STAMP.name
    assert STAMP.weights_sha256[:12] in ds.SoftwareVersions
    assert ds.DeviceSerialNumber == STAMP.weights_sha256[:16]
    assert any(item.ContributionDescription == NOTICE for item in ds.ContributingEquipmentSequence)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_diagnosed(name, files):
    found = [text for text in texts(pydicom.dcmread(files[name])) if CLAIMS.search(text)]
    assert found == []


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_other_alphabets_survives(name, files):
    ds = pydicom.dcmread(files[name])
    assert ds.SpecificCharacterSet == "ISO_IR 192"
    assert ds.PatientName == NAME
    assert (ds.PatientID, ds.IssuerOfPatientID, ds.AccessionNumber) == ("77", "Hospital", "A123")
    assert (ds.StudyDescription, ds.PatientAge, ds.PatientBirthDate) == ("Screening", "064Y", "19610203")


def test_what_is_not_the_patients_is_ascii(files):
    for path in files.values():
        others = [text for text in texts(pydicom.dcmread(path)) if text != NAME]
        assert all(text.isascii() for text in others)


def test_reports_are_neither_final_nor_verified(files):
    for name in ("sr-1", "cad-1", "pdf-1"):
        assert pydicom.dcmread(files[name]).VerificationFlag == "UNVERIFIED"
    report = pydicom.dcmread(files["sr-1"])
    assert (report.PreliminaryFlag, report.CompletionFlag) == ("PRELIMINARY", "COMPLETE")


def test_the_report_tells_scores_threshold_and_calibration_of_exam_and_breasts(files):
    groups = hd.sr.srread(str(files["sr-1"])).content.get_image_measurement_groups()
    told = {group.tracking_identifier: group for group in groups}
    assert set(told) == {"exam", "breast L", "breast R", "image R CC", "image L CC", "image R MLO", "image L MLO"}
    expected = {"exam": (0.7, "AT_OR_ABOVE"), "breast L": (0.7, "AT_OR_ABOVE"), "breast R": (0.3, "BELOW")}
    for name, (score, flag) in expected.items():
        assert {item.name.value: item.value for item in told[name].get_measurements()} == {
            "SCORE": pytest.approx(score),
            "THRESHOLD": 0.5,
        }
        evaluations = [(item.name.value, item.value.value) for item in told[name].get_qualitative_evaluations()]
        assert ("FLAG", flag) in evaluations
        assert ("CALIBRATION", "NOT_CALIBRATED") in evaluations
    used = [item.value for item in told["breast L"].get_qualitative_evaluations() if item.name.value == "VIEW_USED"]
    assert used == [
        pydicom.sr.codedict.codes.cid4014.CranioCaudal,
        pydicom.sr.codedict.codes.cid4014.MedioLateralObliqueProjection,
    ]


def test_only_the_views_of_the_flagged_breast_are_key_objects(files):
    document = pydicom.dcmread(files["key-1"])
    images = {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in images_of(document)}
    report = hd.sr.srread(str(files["sr-1"]))
    left = {
        group.source_images[0].referenced_sop_instance_uid
        for group in report.content.get_image_measurement_groups()
        if group.tracking_identifier.startswith("image L")
    }
    assert images == left


def images_of(document):
    return [item for item in document.ContentSequence if item.ValueType == "IMAGE"]


@pytest.mark.parametrize("threshold", [0.8, None])
def test_no_flag_gives_no_key_objects(exams, tmp_path, threshold):
    assert write_objects(planted(exams["MONOCHROME2"], threshold), tmp_path / "out", ["key"], NOW) == []
    assert not (tmp_path / "out").exists()


def test_the_caption_stands_below_the_picture_and_is_not_empty(files):
    picture = pydicom.dcmread(files["overlay-1"]).pixel_array
    below = picture[300:]
    assert picture.shape[1] == 225
    assert below.shape[0] > 60
    assert (below > 128).any(axis=2).mean() > 0.03


def test_the_page_says_what_the_report_says(files, tmp_path):
    document = pydicom.dcmread(files["pdf-1"])
    page = tmp_path / "page.pdf"
    page.write_bytes(document.EncapsulatedDocument[: document.EncapsulatedDocumentLength])
    said = "\n".join(lines_of("pdftotext", page, tmp_path / "page.txt")) + (tmp_path / "page.txt").read_text()
    for words in (
        "research use only",
        "Exam score 0.700 is at or above the operating point 0.500",
        "Left breast: score 0.700",
        "Right breast: score 0.300",
        "L MLO: AI score 0.700 (not calibrated)",
        STAMP.weights_sha256,
        *(["Иванова Анна"] if CYRILLIC_IS_TEXT else []),
        "2026-01-05",
        "A123",
        NOTICE,
    ):
        assert words in said
    assert said.count("\f") == 1  # one page


def test_what_the_font_of_the_page_lacks_is_left_to_the_header(tmp_path):
    def arabic(ds):
        ds.PatientName, ds.PatientID = "محمد^علي", "山田"

    paths = write_exam(tmp_path / "in", change=arabic)
    (path,) = write_objects(planted(paths), tmp_path / "out", ["pdf"], NOW)
    document = pydicom.dcmread(path)
    assert (document.PatientName, document.PatientID) == ("محمد^علي", "山田")
    page = tmp_path / "page.pdf"
    page.write_bytes(document.EncapsulatedDocument)
    lines_of("pdftotext", page, tmp_path / "page.txt")
    assert (tmp_path / "page.txt").read_text().count("(in the header)") == 2


def test_a_page_with_much_to_say_is_one_page_and_nothing_stands_below_it(exams, tmp_path):
    result = planted(exams["MONOCHROME2"])
    refused = replace(result.views[0], probability=None, regions=(), reasons=("implant",), messages=("long " * 80,))
    many = tuple(replace(refused, path=f"{n}", sop_instance_uid=f"1.2.{n}") for n in range(30))
    told = replace(result, views=(*result.views, *many), missing_views=("R CC", "L CC"))
    context = replace(ObjectContext.of(result, NOW), result=told)
    (tmp_path / "page.pdf").write_bytes(draw_page(context))
    lines_of("pdftotext", "-bbox", tmp_path / "page.pdf", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<page ") == 1
    height = float(re.search(r'<page width="[\d.]+" height="([\d.]+)"', page)[1])
    assert max(map(float, re.findall(r'yMax="([\d.]+)"', page))) < height - 10
    assert "decisions." in page  # the notice, which comes last


def test_ascii_text_keeps_letters_and_loses_accents_and_spaces_without_width():
    assert ascii_text("Müller\u200b 山 naïve") == "Muller ? naive"
