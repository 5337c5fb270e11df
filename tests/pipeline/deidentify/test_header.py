"""What an exported header holds: what reading needs, pseudonyms in the place of identifiers, and nothing else."""

import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from mammo.pipeline.deidentify import PROFILE, Pseudonyms
from mammo.pipeline.deidentify.header import IMPLEMENTATION_CLASS_UID
from mammo.pipeline.deidentify.views import MODIFIER_CODES, VIEW_CODES
from mammo.transforms.view import View, ViewModifier, read_view
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import BreastTomosynthesisImageStorage, SecondaryCaptureImageStorage

Export = Callable[..., Any]
Mammogram = Callable[[], Dataset]
KEPT = [
    "Modality",
    "PresentationIntentType",
    "Manufacturer",
    "ManufacturerModelName",
    "PatientSex",
    "PatientAge",
    "PatientOrientation",
    "ImageLaterality",
    "ViewPosition",
    "BodyPartExamined",
    "DetectorType",
    "ImagerPixelSpacing",
    "KVP",
    "CompressionForce",
    "ExposureInuAs",
    "Rows",
    "Columns",
    "BitsStored",
    "WindowCenter",
    "WindowWidth",
    "RescaleSlope",
    "PresentationLUTShape",
    "PixelData",
    "SOPClassUID",
    "ImageType",
    "BurnedInAnnotation",
    "BreastImplantPresent",
    "PixelIntensityRelationshipSign",
    "InstanceNumber",
]


def day(text: str) -> date:
    return date.fromisoformat(text)


def test_what_reading_needs_is_kept(mammogram: Mammogram, export: Export) -> None:
    source, (_, written) = mammogram(), export(mammogram())
    assert {keyword: written[keyword].value for keyword in KEPT} == {k: source[k].value for k in KEPT}


def test_nothing_is_there_but_the_profile_and_what_the_exporter_writes(mammogram: Mammogram, export: Export) -> None:
    _, written = export(mammogram())
    own = {
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "AccessionNumber",
        "StudyID",
        "StudyTime",
        "ReferringPhysicianName",
        "PatientIdentityRemoved",
        "DeidentificationMethod",
        "DeidentificationMethodCodeSequence",
        "BurnedInAnnotation",
        "LongitudinalTemporalInformationModified",
        "ViewPosition",
        "ViewCodeSequence",
        "PixelData",
    }
    assert {element.keyword for element in written} <= set(PROFILE) | own
    for keyword in ("PatientBirthDate", "StudyID", "StudyTime", "ReferringPhysicianName"):
        assert not written[keyword].value


def test_identifiers_are_pseudonyms_of_the_key(mammogram: Mammogram, export: Export, key: bytes) -> None:
    _, written = export(mammogram())
    names = Pseudonyms(key)
    assert written.PatientID == written.PatientName == names.patient("PAT42")
    assert written.AccessionNumber == names.accession("ACC123")
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        assert written[keyword].value == names.uid(mammogram()[keyword].value)


def test_dates_move_together_and_times_go(mammogram: Mammogram, export: Export, key: bytes) -> None:
    source, (_, written) = mammogram(), export(mammogram())
    days = Pseudonyms(key).days(written.PatientID)
    for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        assert (day(source[keyword].value) - day(written[keyword].value)).days == days
    assert not [element.keyword for element in written if element.VR == "TM" and element.value]
    assert written.LongitudinalTemporalInformationModified == "MODIFIED"


def test_two_studies_of_a_patient_keep_their_distance(mammogram: Mammogram, export: Export) -> None:
    later = mammogram()
    later.StudyInstanceUID, later.StudyDate = "1.2.3.7", "20220305"
    written = [export(ds)[1] for ds in (mammogram(), later)]
    assert written[0].PatientID == written[1].PatientID
    assert (day(written[1].StudyDate) - day(written[0].StudyDate)).days == 734


def test_dates_can_be_removed(mammogram: Mammogram, export: Export) -> None:
    _, written = export(mammogram(), dates="remove")
    assert not [element for element in written if element.VR in ("DA", "DT") and element.value]
    assert written.LongitudinalTemporalInformationModified == "REMOVED"
    assert [item.CodeValue for item in written.DeidentificationMethodCodeSequence] == ["113100", "113108"]


def test_what_was_done_is_said(mammogram: Mammogram, export: Export) -> None:
    _, written = export(mammogram())
    assert written.PatientIdentityRemoved == "YES"
    assert written.DeidentificationMethod[0] == "mammo allow-list profile 1"
    assert [item.CodeValue for item in written.DeidentificationMethodCodeSequence] == ["113100", "113108", "113107"]


def test_file_meta_and_preamble_are_new(mammogram: Mammogram, export: Export) -> None:
    _, written = export(mammogram())
    assert written.preamble == bytes(128)
    keywords = {element.keyword for element in written.file_meta}
    assert not keywords & {"SourceApplicationEntityTitle", "PrivateInformation", "PrivateInformationCreatorUID"}
    assert written.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert written.file_meta.MediaStorageSOPInstanceUID == written.SOPInstanceUID


@pytest.mark.parametrize(("age", "birth", "expected"), [("095Y", "", "090Y"), ("", "19280301", "090Y"), ("", "", None)])
def test_age_is_capped_and_found_from_the_birth_date(
    mammogram: Mammogram, export: Export, age: str, birth: str, expected: str | None
) -> None:
    ds = mammogram()
    ds.PatientAge, ds.PatientBirthDate = age, birth
    _, written = export(ds)
    assert (written.get("PatientAge") or None) == expected


def test_without_patient_id_a_study_is_a_patient(mammogram: Mammogram, export: Export) -> None:
    one, other = mammogram(), mammogram()
    one.PatientID = other.PatientID = ""
    other.StudyInstanceUID = "1.2.3.7"
    written = [export(ds)[1].PatientID for ds in (one, one, other)]
    assert written[0] == written[1] != written[2]
    assert all(re.fullmatch("P[0-9a-f]{20}", name) for name in written)


@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("side", ["L", "R"])
def test_every_side_and_view_is_written_as_code(mammogram: Mammogram, export: Export, view: View, side: str) -> None:
    ds = mammogram()
    del ds.ViewPosition
    ds.ImageLaterality, ds.SeriesDescription = side, ""
    ds.ViewCodeSequence[0].CodeValue = VIEW_CODES[view].value
    ds.ViewCodeSequence[0].CodingSchemeDesignator = "SCT"
    found = read_view(export(ds)[1])
    assert (found.laterality, found.view, found.view_source) == (side, view, "ViewCodeSequence")
    assert found.view_modifiers == [ViewModifier.IMPLANT_DISPLACED]


def test_every_modifier_has_a_code() -> None:
    assert {str(modifier) for modifier in ViewModifier} == set(MODIFIER_CODES)


@pytest.mark.parametrize("text", ["R MLO", "RMLO Doe Jane", "right mlo"])
def test_side_and_view_in_free_text_only_are_found_and_the_text_is_not_kept(
    mammogram: Mammogram, export: Export, text: str
) -> None:
    ds = mammogram()
    ds.SOPClassUID = SecondaryCaptureImageStorage
    del ds.ImageLaterality, ds.ViewPosition, ds.ViewCodeSequence, ds.PatientOrientation
    ds.SeriesDescription = text
    _, written = export(ds)
    assert (written.ImageLaterality, written.ViewPosition) == ("R", "MLO")
    assert written.ViewCodeSequence[0].CodeValue == "399368009"
    assert "SeriesDescription" not in written


def test_synthetic_pictures_stay_synthetic_without_their_description(mammogram: Mammogram, export: Export) -> None:
    ds = mammogram()
    ds.SeriesDescription, ds.ImageType = "L MLO C-View", ["DERIVED", "PRIMARY", "DOE"]
    _, written = export(ds)
    assert list(written.ImageType) == ["DERIVED", "PRIMARY", "GENERATED_2D"]


def test_frames_keep_side_spacing_and_contrast(mammogram: Mammogram, export: Export) -> None:
    ds = mammogram()
    ds.SOPClassUID, ds.NumberOfFrames, ds.PixelData = BreastTomosynthesisImageStorage, 2, ds.PixelData * 2
    del ds.ImageLaterality, ds.ImagerPixelSpacing
    group, anatomy, measures = Dataset(), Dataset(), Dataset()
    anatomy.FrameLaterality, anatomy.PatientName, measures.PixelSpacing = "L", "Doe", [0.1, 0.1]
    group.FrameAnatomySequence, group.PixelMeasuresSequence, group.ImageComments = [anatomy], [measures], "Doe"
    ds.SharedFunctionalGroupsSequence = [group]
    _, written = export(ds)
    shared = written.SharedFunctionalGroupsSequence[0]
    assert {element.keyword for element in shared} == {"FrameAnatomySequence", "PixelMeasuresSequence"}
    assert [element.keyword for element in shared.FrameAnatomySequence[0]] == ["FrameLaterality"]
    assert shared.PixelMeasuresSequence[0].PixelSpacing == [0.1, 0.1]


@pytest.mark.parametrize(
    ("keyword", "value", "kept"),
    [
        ("Manufacturer", "GE MEDICAL SYSTEMS", True),
        ("Manufacturer", "SIEMENS", True),
        ("Manufacturer", "IMS s.r.l.", True),
        ("Manufacturer", "Doe Imaging", False),
        ("ManufacturerModelName", "Mammomat Inspiration", True),
        ("ManufacturerModelName", "Senographe DS ADS_54.11", False),
        ("ManufacturerModelName", "Selenia\\Doe", False),
        ("PaddleDescription", "24X29CM", True),
        ("PaddleDescription", "10CM SPOT CONTACT", True),
        ("PaddleDescription", "SPOT Doe", False),
        ("PaddleDescription", "4111111111111111", False),
    ],
)
def test_free_text_of_devices_is_kept_if_every_word_is_known(
    mammogram: Mammogram, export: Export, keyword: str, value: str, kept: bool
) -> None:
    ds = mammogram()
    setattr(ds, keyword, value)
    report, written = export(ds)
    assert (written.get(keyword) == value) == kept
    assert report.withheld == ({} if kept else {keyword: 1})


def test_a_device_that_the_user_vouches_for_is_kept(mammogram: Mammogram, export: Export) -> None:
    ds = mammogram()
    ds.ManufacturerModelName = "Brand New 7"
    assert "ManufacturerModelName" not in export(ds)[1]
    assert export(ds, known_devices=["Brand New 7"])[1].ManufacturerModelName == "Brand New 7"


def test_unknown_terms_of_image_type_are_emptied_in_their_place(mammogram: Mammogram, export: Export) -> None:
    ds = mammogram()
    ds.ImageType = ["ORIGINAL", "PRIMARY", "DOE JANE", "LOW_ENERGY"]
    report, written = export(ds)
    assert list(written.ImageType) == ["ORIGINAL", "PRIMARY", "", "LOW_ENERGY"]
    assert report.withheld == {"ImageType": 1}


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("KVP", "29000"), ("KVP", "29 Doe"), ("CompressionForce", "nan"), ("SeriesNumber", "4111111111"), ("KVP", "1_0")],
)
def test_numbers_out_of_limits_are_left_out_and_counted(
    mammogram: Mammogram, export: Export, write: Callable[..., Path], tmp_path: Path, keyword: str, value: str
) -> None:
    ds = mammogram()
    setattr(ds, keyword, "7".ljust(len(value) + len(value) % 2, "7"))
    path = write(ds, tmp_path / "a.dcm")
    before = str(ds[keyword].value).encode()
    data = path.read_bytes()
    assert data.count(before) == 1
    path.write_bytes(data.replace(before, value.ljust(len(before)).encode()))
    report, written = export(path)
    assert not written.get(keyword)
    assert report.withheld == {keyword: 1}


def test_decimals_keep_their_digits(mammogram: Mammogram, export: Export) -> None:
    ds = mammogram()
    ds.ImagerPixelSpacing = ["0.0700000000", ".07"]
    assert [str(v.original_string) for v in export(ds)[1].ImagerPixelSpacing] == ["0.0700000000", ".07"]


def test_rules_are_made_for_the_vr_of_their_element() -> None:
    kinds = {"number": {"DS"}, "whole": {"IS", "US", "SS", "US or SS"}, "date": {"DA", "DT"}, "age": {"AS"}}
    for keyword, rule in PROFILE.items():
        kind = rule.__qualname__.split(".")[0]
        assert dictionary_VR(tag_for_keyword(keyword)) in kinds.get(kind, {dictionary_VR(tag_for_keyword(keyword))})


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="needs dciodvfy of dicom3tools")
def test_dciodvfy_finds_no_error(mammogram: Mammogram, export: Export, tmp_path: Path) -> None:
    _, written = export(mammogram())
    written.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    run = subprocess.run(["dciodvfy", tmp_path / "a.dcm"], capture_output=True, text=True, check=False)
    assert [line for line in run.stderr.splitlines() if line.startswith("Error")] == []


def test_the_documentation_lists_what_is_kept() -> None:
    text = (Path(__file__).parents[3] / "docs" / "deidentification.md").read_text()
    table = text.split("## What a copy holds")[1].split("## ")[0]
    assert set(re.findall(r"`([A-Z]\w+)`", table)) == set(PROFILE)
