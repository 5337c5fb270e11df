"""Files that were made to harm: each is an image or one typed error, and soon."""

import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mammo.transforms import LoadMammogramd, MammogramError, MammogramReader
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

WriteDicom = Callable[..., Path]
RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8) * 60


def reason_of(path: Path, **options: object) -> str:
    with pytest.raises(MammogramError) as error:
        MammogramReader(**options).read(path)
    return error.value.reason


def nested(depth: int) -> bytes:
    """A private sequence of explicit length with as many more inside one another, in implicit VR."""
    content = b""
    for _ in range(depth):
        item = b"\xfe\xff\x00\xe0" + len(content).to_bytes(4, "little") + content
        content = b"\x08\x00\x40\x11" + len(item).to_bytes(4, "little") + item  # Referenced Image Sequence
    return content


@pytest.mark.parametrize("depth", [13, 300, 3000])
def test_deeply_nested_sequences_are_refused_at_once(write_dicom: WriteDicom, depth: int) -> None:
    path = write_dicom(RAMP, syntax=ImplicitVRLittleEndian)
    data = path.read_bytes()
    at = data.index(b"\x08\x00\x60\x00")  # before Modality, since tags ascend
    path.write_bytes(data[:at] + data[at:].replace(b"\xe0\x7f\x10\x00", nested(depth) + b"\xe0\x7f\x10\x00", 1))
    start = time.monotonic()
    assert reason_of(path) == "too_large"
    assert time.monotonic() - start < 5


def test_sequences_as_deep_as_archives_have_them_are_read(write_dicom: WriteDicom, header: Dataset) -> None:
    level = Dataset()
    for _ in range(8):
        outer = Dataset()
        outer.RequestAttributesSequence = Sequence([level])
        level = outer
    header.SharedFunctionalGroupsSequence = [level]
    assert LoadMammogramd()({"image": write_dicom(RAMP)})["image"].shape == (1, 8, 8)


def test_a_sequence_of_very_many_items_is_refused(write_dicom: WriteDicom, header: Dataset) -> None:
    header.ReferencedImageSequence = Sequence([Dataset() for _ in range(20_001)])
    assert reason_of(write_dicom(RAMP)) == "too_large"


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("uid", ["../../../etc/cron.d/x", "1.2/../3", "1" * 65, "1.2 3", "C:\\x"])
@pytest.mark.filterwarnings("ignore")
def test_identifiers_that_could_be_paths_are_refused(write_dicom: WriteDicom, keyword: str, uid: str) -> None:
    path = write_dicom(RAMP)
    dataset = dcmread(path)
    dataset[keyword] = pydicom_element(keyword, uid)
    dataset.save_as(path)
    with pytest.raises(MammogramError) as error:
        MammogramReader().read(path)
    assert error.value.reason == "invalid_uid"
    assert uid not in error.value.message


def pydicom_element(keyword: str, value: str) -> object:
    from pydicom.datadict import tag_for_keyword
    from pydicom.dataelem import DataElement

    return DataElement(tag_for_keyword(keyword), "UI", value, validation_mode=0)


def test_the_components_of_a_codestream_are_looked_at_before_it_is_decoded(write_dicom: WriteDicom) -> None:
    dataset = dcmread(write_dicom(np.tile(RAMP, (8, 8))))
    dataset.compress(JPEG2000Lossless)
    buffer = BytesIO()
    dataset.save_as(buffer)
    data = bytearray(buffer.getvalue())
    at = data.index(b"\xff\x4f\xff\x51") + 40
    data[at : at + 2] = (16384).to_bytes(2, "big")
    path = Path(dataset.filename)
    path.write_bytes(data)
    with pytest.raises(MammogramError, match="declares 16384 components"):
        MammogramReader().read(path)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.99])
def test_a_cut_jpeg_ls_frame_is_not_decoded(write_dicom: WriteDicom, share: float) -> None:
    """CharLS looks for what is missing for seconds, also in a file of 3 kB."""
    path = write_dicom(RAMP)
    dataset = dcmread(path)
    dataset.compress(JPEGLSLossless)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([frame[: int(len(frame) * share)]])
    dataset.save_as(path)
    before = time.process_time()
    assert reason_of(path) == "truncated"
    assert time.process_time() - before < 1


def test_a_decoder_s_panic_is_a_typed_error(write_dicom: WriteDicom) -> None:
    path = write_dicom(np.tile(RAMP, (8, 8)))
    dataset = dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path)
    data = bytearray(path.read_bytes())
    at = data.index((2).to_bytes(4, "little") + (64).to_bytes(4, "little")) + 64
    data[at:-40] = b"\x7f" * len(data[at:-40])  # every run asks for more bytes than follow
    path.write_bytes(data)
    assert reason_of(path) in ("undecodable", "truncated")


@pytest.mark.parametrize("frames", [10**9, "many"])
@pytest.mark.filterwarnings("ignore:Invalid value")
def test_a_number_of_frames_that_the_file_does_not_hold_ends_soon(write_dicom: WriteDicom, frames: object) -> None:
    path = write_dicom(RAMP, NumberOfFrames=2)
    data = path.read_bytes()
    at = data.index(b"\x28\x00\x08\x00IS")
    text = str(frames).encode()
    text += b" " * (len(text) % 2)
    path.write_bytes(data[: at + 6] + len(text).to_bytes(2, "little") + text + data[at + 10 :])
    assert reason_of(path, frame="max") in ("truncated", "undecodable")


@given(cuts=st.lists(st.tuples(st.integers(132, 2000), st.binary(max_size=12), st.integers(0, 12)), max_size=4))
@settings(max_examples=150, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.filterwarnings("ignore")
def test_any_change_of_a_file_gives_an_image_or_a_typed_error(
    tmp_path: Path, whole_file: bytes, cuts: list[tuple[int, bytes, int]]
) -> None:
    data = whole_file
    for at, inserted, removed in cuts:
        data = data[:at] + inserted + data[at + removed :]
    path = tmp_path / "changed.dcm"
    path.write_bytes(data)
    try:
        image = LoadMammogramd()({"image": path})["image"]
    except MammogramError:
        return
    assert 0 <= image.min() <= image.max() <= 1


@pytest.fixture
def whole_file(write_dicom: WriteDicom) -> bytes:
    return write_dicom(RAMP, WindowCenter=[900, 1000], WindowWidth=[800, 2000], VOILUTFunction="SIGMOID").read_bytes()


@pytest.mark.parametrize("shape", [(700, 1), (5, 3000)])
def test_a_strip_of_pixels_is_no_picture(write_dicom: WriteDicom, shape: tuple[int, int]) -> None:
    pixels = np.arange(shape[0] * shape[1], dtype=np.uint16).reshape(shape) % 4000
    assert reason_of(write_dicom(pixels)) == "not_a_mammogram"


def test_a_jpeg_whose_size_cannot_be_found_is_not_decoded(write_dicom: WriteDicom) -> None:
    frame = cv2.imencode(".jpg", np.tile(RAMP, (8, 8)).astype(np.uint8))[1].tobytes()
    path = write_dicom(np.tile(RAMP, (8, 8)).astype(np.uint8))
    dataset = dcmread(path)
    at = frame.index(b"\xff\xc0")
    for content, expected in ((frame, None), (frame[:at] + b"\0" + frame[at:], "undecodable")):
        dataset.PixelData = encapsulate([content])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        dataset.save_as(path)
        if expected is None:
            assert MammogramReader().read(path).shape == (64, 64)
        else:
            assert reason_of(path) == expected


def test_a_negative_number_of_frames_is_refused(write_dicom: WriteDicom) -> None:
    assert reason_of(write_dicom(RAMP, NumberOfFrames=-1), frame="max") == "undecodable"
