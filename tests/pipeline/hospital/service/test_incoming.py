"""What comes in is identified without being walked through, and hostile files cost nothing."""

import struct
import time
import tracemalloc
import zlib

import pytest
from mammo.pipeline.hospital.naming import is_ours
from mammo.pipeline.hospital.service.incoming import InstanceError, examine, may_stay
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian


def test_a_mammogram_tells_who_it_is(make, tmp_path):
    about = examine(make.write(tmp_path / "a", study="1.2.3", instance="1.2.3.4"))
    assert about == ("1.2.3", "1.2.3.4", make.mammogram, "SECRET-ID", False)


def test_our_results_and_other_objects_may_not_stay(make, tmp_path):
    ours = examine(make.write(tmp_path / "a", Manufacturer="mammo", SeriesDescription="AI overlay - research use only"))
    assert ours.ours
    assert not may_stay(ours.sop_class, ours.ours)
    assert may_stay(make.mammogram, False)
    assert not may_stay(make.report, False)
    assert not is_ours("mammo", "R CC")
    assert not is_ours("vendor", "AI marks")


def reason_of(path):
    tracemalloc.start()
    began = time.monotonic()
    with pytest.raises(InstanceError) as caught:
        examine(path)
    assert time.monotonic() - began < 5
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()
    assert str(caught.value) == caught.value.reason  # no text of the file
    return caught.value.reason


@pytest.mark.parametrize("uid", ["../../../etc/cron.d/x", "1.2.3/4", "1" * 65, "", "1.2.3\\1.2.4"])
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SOPInstanceUID"])
def test_what_is_no_uid_is_refused_without_a_warning(make, tmp_path, keyword, uid):
    from pydicom import config

    with config.disable_value_validation():
        path = tmp_path / "a"
        ds = make.dicom()
        ds[keyword]._value = uid
        ds.save_as(path, enforce_file_format=True)
    assert reason_of(path) == "invalid_uid"


def test_a_deflated_bomb_is_refused_before_it_is_inflated(make, tmp_path):
    path = make.write(tmp_path / "a")
    ds = make.dicom()
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.save_as(path, enforce_file_format=True)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    with open(path, "ab") as file:
        for _ in range(64):
            file.write(deflater.compress(bytes(1 << 22)))
        file.write(deflater.flush())
    assert reason_of(path) == "deflated"


@pytest.mark.parametrize("undefined", [False, True])
def test_nested_sequences_are_refused_or_passed_over_at_once(make, tmp_path, undefined):
    ds = make.dicom()
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    path = tmp_path / "a"
    ds.save_as(path, implicit_vr=True, enforce_file_format=True)
    data = path.read_bytes()
    nested = b""
    for _ in range(3000):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF if undefined else len(nested)) + nested
        end = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0) if undefined else b""
        nested = struct.pack("<HHI", 0x0008, 0x1140, 0xFFFFFFFF if undefined else len(item)) + item + end
    place = data.index(struct.pack("<HH", 0x0010, 0x0010))
    path.write_bytes(data[:place] + nested + data[place:])
    began = time.monotonic()
    if undefined:  # has to be parsed to find its end
        with pytest.raises(InstanceError, match="undecodable"):
            examine(path)
    else:
        assert examine(path).study == "1.2.3"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("content", [b"", b"no DICOM", bytes(128) + b"DICM", bytes(300)])
def test_what_is_no_dicom_is_refused(tmp_path, content):
    path = tmp_path / "a"
    path.write_bytes(content)
    assert reason_of(path) in ("not_dicom", "undecodable", "invalid_uid")


def test_an_identifier_of_a_gigabyte_is_not_read(make, tmp_path):
    path = make.write(tmp_path / "a", PatientID="")
    data = path.read_bytes()
    place = data.index(struct.pack("<HH2sH", 0x0010, 0x0020, b"LO", 0))
    with open(path, "wb") as file:
        # As UT, whose length has four bytes; the file is as long as it says, with nothing on disk.
        file.write(data[:place] + struct.pack("<HH2sHI", 0x0010, 0x0020, b"UT", 0, 1 << 30))
        file.seek(1 << 30, 1)
        file.write(data[place + 8 :])
    tracemalloc.start()
    assert examine(path).patient == ""
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()
