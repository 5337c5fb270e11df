"""The folder that is there whole or not at all, and headers as hospitals have them."""

import logging
import os
import sys
import warnings
from dataclasses import replace

import pydicom
import pytest
from mammo.pipeline.hospital.result import StudyStatus
from mammo.pipeline.hospital.results import DEFAULT, WRITERS, check_kinds, write_objects, writing
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from .conftest import NOW, lines_of, planted, without_scores, write_exam

FROM_HEADERS = [kind for kind in WRITERS if kind != "pdf"]
"""The kinds to which it matters how a header is written; the page takes its time."""


def test_the_default_is_report_overlay_and_presentation_state(result, tmp_path):
    names = [path.name for path in write_objects(result, tmp_path / "a" / "b" / "out", now=NOW)]
    assert {name.split("-")[0] for name in names} == set(DEFAULT) == {"sr", "overlay", "presentation"}
    assert sorted(names) == sorted(path.name for path in (tmp_path / "a" / "b" / "out").iterdir())


def test_an_unknown_kind_is_refused_with_the_known_ones(result, tmp_path):
    with pytest.raises(ValueError, match=r"'png'; known are sr, overlay, presentation, mask, heat, key, pdf, cad"):
        write_objects(result, tmp_path / "out", ["sr", "png"])
    assert list(tmp_path.iterdir()) == []


def test_a_kind_that_is_asked_for_twice_is_made_once():
    assert check_kinds(["sr", "cad", "sr"]) == ["sr", "cad"]


def test_a_failure_leaves_neither_folder_nor_rest(result, tmp_path, monkeypatch):
    written = []

    def full(path, content):
        written.append(path)
        if len(written) > 2:
            raise OSError(28, "No space left on device")
        path.write_bytes(content)

    monkeypatch.setattr(writing, "_write", full)
    with pytest.raises(OSError, match="No space"):
        write_objects(result, tmp_path / "out", now=NOW)
    assert list(tmp_path.iterdir()) == []
    assert all(path.parent != tmp_path / "out" for path in written)


def test_an_empty_folder_is_filled(result, tmp_path):
    (tmp_path / "out").mkdir()
    assert write_objects(result, tmp_path / "out", ["cad"], NOW)[0].is_file()


def test_the_same_files_are_left_as_they_are(result, tmp_path):
    (path,) = write_objects(result, tmp_path / "out", ["cad"], NOW)
    before = os.stat(path).st_ino
    assert write_objects(result, tmp_path / "out", ["cad"], NOW) == [path]
    assert os.stat(path).st_ino == before


def test_other_files_are_not_overwritten(result, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cad-1.dcm").write_text("somebody's")
    with pytest.raises(FileExistsError, match="new or an empty folder"):
        write_objects(result, tmp_path / "out", ["cad"], NOW)
    assert (tmp_path / "out" / "cad-1.dcm").read_text() == "somebody's"


def test_files_are_named_by_kind_and_number_only(files):
    assert all(path.name == f"{name}.dcm" for name, path in files.items())
    assert all(name.split("-")[0] in WRITERS for name in files)


def test_a_result_without_pictures_says_what_to_do(result, tmp_path):
    with pytest.raises(ValueError, match="no pictures of R CC; process the study again"):
        write_objects(replace(result, pictures={}), tmp_path / "out", ["overlay"], NOW)


def test_nothing_of_the_patient_is_logged_or_warned_of(result, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("highdicom", "pydicom"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        write_objects(result, tmp_path / "out", WRITERS, NOW)
    assert [str(warning.message) for warning in caught] == []
    assert [record.name for record in caplog.records if record.name.startswith(("highdicom", "pydicom"))] == []


def test_a_missing_library_is_named_with_the_way_out(result, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    for name in [name for name in sys.modules if name.startswith("mammo.pipeline.hospital.results.")]:
        if not name.endswith((".kinds", ".writing")):
            monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'mammo\[hospital\]'"):
        write_objects(result, tmp_path / "out", ["sr"], NOW)


def bare(ds):
    """As little as archives have been seen to send, and some of it wrong."""
    for keyword in ("AccessionNumber", "StudyID", "PatientSex", "ReferringPhysicianName", "StudyTime", "Manufacturer"):
        del ds[keyword]
    del ds.PatientOrientation, ds.ImagerPixelSpacing, ds.RescaleSlope, ds.RescaleIntercept
    wrong = {"PatientBirthDate": "unknown", "PatientAge": "64", "PatientName": "NOCARET", "StudyDate": "2026.01.05"}
    for keyword, value in wrong.items():
        old = ds[keyword]
        ds[keyword] = pydicom.DataElement(old.tag, old.VR, value, validation_mode=pydicom.config.IGNORE)


def view_for_orientation(ds):
    ds.PatientOrientation = ds.ViewPosition  # as CBIS-DDSM does


def window_and_lut(ds):
    item = pydicom.Dataset()
    item.LUTDescriptor, item.LUTExplanation = [4096, 0, 12], "NORMAL"
    item.add_new("LUTData", "US", list(range(4096)))
    ds.VOILUTSequence = [item, item]
    ds.WindowCenter, ds.WindowWidth = [2048, 1000], [4096, 300]


def several_windows(ds):
    ds.WindowCenter, ds.WindowWidth, ds.WindowCenterWidthExplanation = [2048, 1000], [4096, 300], ["A", "B"]
    ds.VOILUTFunction = "SIGMOID"


def lossy(ds):
    ds.LossyImageCompression, ds.LossyImageCompressionRatio = "01", 12
    ds.LossyImageCompressionMethod = "ISO_15444_1"


@pytest.mark.parametrize("change", [bare, view_for_orientation, window_and_lut, several_windows, lossy])
def test_headers_as_hospitals_have_them_give_every_kind(change, tmp_path):
    paths = write_exam(tmp_path / "in", change=change)
    written = write_objects(planted(paths), tmp_path / "out", FROM_HEADERS, NOW)
    assert len(written) == 4 * 4 + 3
    # What is wrong with the patient in the image is as wrong in its results, for both have to be filed together.
    allowed = lines_of("dciodvfy", paths[0]) if change is bare else []
    for path in written:
        errors = {line for line in lines_of("dciodvfy", path) if line.startswith("Error")}
        assert errors <= set(allowed)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_ways_to_store_a_header_give_the_same_objects(syntax, tmp_path):
    paths = write_exam(tmp_path / "in", change=window_and_lut)
    expected = write_objects(planted(paths), tmp_path / "expected", FROM_HEADERS, NOW)
    for path in paths:
        ds = pydicom.dcmread(path)
        if syntax == ExplicitVRBigEndian:
            ds.PixelData = ds.pixel_array.astype(">u2").tobytes()
        ds.file_meta.TransferSyntaxUID = syntax
        list(ds.iterall())  # what was not decoded would be written as it is
        way = {"implicit_vr": syntax.is_implicit_VR, "little_endian": syntax.is_little_endian}
        pydicom.dcmwrite(path, ds, force_encoding=True, **way)
    again = write_objects(planted(paths), tmp_path / "again", FROM_HEADERS, NOW)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in expected]


def test_objects_belong_to_one_patient_where_images_were_mixed_up(result, tmp_path):
    paths = write_exam(tmp_path / "in")
    stranger = pydicom.dcmread(paths[-1])
    stranger.PatientID = "78"
    stranger.save_as(paths[-1])
    mixed = without_scores(planted(paths), StudyStatus.NOT_ANALYSED, "one study of 2 patients")
    for path in write_objects(mixed, tmp_path / "out", WRITERS, NOW):
        ds = pydicom.dcmread(path)
        assert ds.PatientID == ("77" if stranger.ImageLaterality != "R" or stranger.ViewPosition != "CC" else "78")
        assert stranger.SOPInstanceUID.encode() not in path.read_bytes()
