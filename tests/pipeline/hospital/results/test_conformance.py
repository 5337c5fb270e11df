"""Every kind of object, of left and right, CC and MLO, MONOCHROME1 and MONOCHROME2, before the validators."""

import highdicom as hd
import pydicom
import pytest
from mammo.pipeline.hospital.results import SERIES_NUMBERS, WRITERS, write_objects

from .conftest import NOW, PER_VIEW, lines_of

NAMES = [f"{kind}-{n}" for kind in WRITERS for n in range(1, 5 if kind in PER_VIEW else 2)]


def test_there_is_an_object_of_each_kind_and_of_each_view_where_it_is_about_views(files):
    assert list(files) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_dciodvfy_finds_no_error(name, files):
    assert [line for line in lines_of("dciodvfy", files[name]) if line.startswith(("Error", "Abort"))] == []


def test_dcentvfy_finds_patient_study_and_series_consistent_with_the_images(objects, exams):
    for polarity, files in objects.items():
        lines = lines_of("dcentvfy", *exams[polarity], *files.values())
        # Accession Number is of the study; its module table for reports lists it with the series.
        assert [line for line in lines if line.startswith("Error") or "AccessionNumber" not in line] == []


@pytest.mark.parametrize("name", ["sr-1", "cad-1", "key-1"])
def test_dsrdump_reads_reports_without_errors(name, files):
    lines = lines_of("dsrdump", files[name])
    assert [line for line in lines if line.startswith(("E:", "F:"))] == []
    assert any("AI " in line for line in lines)


def test_highdicom_reads_reports_and_segmentations_back(files):
    report = hd.sr.srread(str(files["sr-1"]))
    assert len(report.content.get_planar_roi_measurement_groups()) == 4
    assert len(report.content.get_image_measurement_groups()) == 1 + 2 + 4  # exam, breasts, images
    for name in ("mask-1", "heat-1"):
        assert hd.seg.segread(str(files[name])).number_of_segments == 1
    for kind in ("mask", "heat"):
        segments = [hd.seg.segread(str(files[f"{kind}-{n}"])).SegmentSequence[0] for n in range(1, 5)]
        regions = [segment.AnatomicRegionSequence[0] for segment in segments]
        assert {region.CodeMeaning for region in regions} == {"Breast"}
        told = [region.AnatomicRegionModifierSequence[0].CodeMeaning for region in regions]
        assert told == [
            {"L": "Left", "R": "Right"}[pydicom.dcmread(files[f"overlay-{n}"]).ImageLaterality] for n in range(1, 5)
        ]
    flag = hd.ko.KeyObjectSelectionDocument.from_dataset(pydicom.dcmread(files["key-1"]))
    assert len(flag.content.get_references()) == 2


def test_a_series_has_one_kind_one_description_and_one_modality(files):
    series = {}
    for name, path in files.items():
        ds = pydicom.dcmread(path)
        told = name.split("-")[0], ds.SeriesDescription, ds.Modality, int(ds.SeriesNumber), ds.get("Laterality")
        assert series.setdefault(ds.SeriesInstanceUID, told) == told
        assert int(ds.SeriesNumber) % 10 == SERIES_NUMBERS[told[0]] % 10
    assert len(series) == len(WRITERS) + 1  # presentation states have a series for each breast


def test_instances_are_numbered_within_their_kind(files):
    for kind in PER_VIEW:
        numbers = [int(pydicom.dcmread(path).InstanceNumber) for name, path in files.items() if name.startswith(kind)]
        assert numbers == [1, 2, 3, 4]


def test_a_report_names_the_earlier_one_of_its_study_and_none_of_another_patient(result, objects, tmp_path):
    files = objects["MONOCHROME2"]
    (path,) = write_objects(result, tmp_path / "late", ["sr"], NOW, files["sr-1"])
    before, after = pydicom.dcmread(files["sr-1"]), pydicom.dcmread(path)
    (study,) = after.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    (document,) = series.ReferencedSOPSequence
    assert (study.StudyInstanceUID, series.SeriesInstanceUID) == (before.StudyInstanceUID, before.SeriesInstanceUID)
    assert document.ReferencedSOPInstanceUID == before.SOPInstanceUID
    assert [line for line in lines_of("dciodvfy", path) if line.startswith(("Error", "Abort"))] == []
    before.PatientID = "another"
    before.save_as(tmp_path / "another.dcm")
    (path,) = write_objects(result, tmp_path / "alone", ["sr"], NOW, tmp_path / "another.dcm")
    assert "PredecessorDocumentsSequence" not in pydicom.dcmread(path)


def test_nothing_is_compressed_since_only_that_is_taken_by_every_receiver(files):
    for path in files.values():
        assert not pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID.is_compressed
