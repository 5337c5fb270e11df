"""Comments leave compressed frames, decoded pixels stay, and what is no plain frame is refused."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mammo.pipeline.deidentify import deidentify
from mammo.pipeline.deidentify.codestreams import clean_jpeg, clean_jpeg_2000
from mammo.pipeline.deidentify.refusal import SetAsideError
from mammo.transforms import LoadMammogramd
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

Mammogram = Callable[[], Dataset]
Write = Callable[..., Path]
SECRET = b"Zebrowska^Quirina"
ROWS, COLUMNS = 40, 56
PICTURE = np.random.default_rng(1).integers(0, 4096, (ROWS, COLUMNS), dtype=np.uint16)


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">HH", marker, len(content) + 2) + content


def jpeg() -> bytes:
    return cv2.imencode(".jpg", (PICTURE >> 4).astype(np.uint8))[1].tobytes()


def compressed(mammogram: Mammogram, syntax: str) -> Dataset:
    ds = mammogram()
    ds.Rows, ds.Columns, ds.PixelData = ROWS, COLUMNS, PICTURE.tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.compress(syntax, generate_instance_uid=False)
    return ds


def frame_of(mammogram: Mammogram, syntax: str) -> bytes:
    return get_frame(compressed(mammogram, syntax).PixelData, 0, number_of_frames=1)


def with_frame(mammogram: Mammogram, fragments: list[bytes], bits: int = 12) -> Dataset:
    ds = mammogram()
    ds.Rows, ds.Columns, ds.BitsStored, ds.HighBit = ROWS, COLUMNS, bits, bits - 1
    ds.BitsAllocated = 8 if bits == 8 else 16
    ds.PixelData = encapsulate(fragments)
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    return ds


def decoded(path: Path) -> np.ndarray:
    return LoadMammogramd()({"image": path})["image"].numpy()


def jpeg_2000_with_comments(frame: bytes) -> bytes:
    """A comment in the main header and one in the header of the first tile-part, whose length grows with it."""
    comment = segment(0xFF64, b"\0\1" + SECRET)
    tile = frame.index(b"\xff\x90")
    length = int.from_bytes(frame[tile + 6 : tile + 10], "big")
    head = frame[tile : tile + 6] + (length + len(comment)).to_bytes(4, "big") + frame[tile + 10 : tile + 12]
    return frame[:tile] + comment + head + comment + frame[tile + 12 :]


def hostile_frames(mammogram: Mammogram) -> dict[str, tuple[bytes, bytes, str, int]]:
    """A frame, the same with a secret in all places for text, its transfer syntax and bits stored."""
    plain, jls, j2k = jpeg(), frame_of(mammogram, JPEGLSLossless), frame_of(mammogram, JPEG2000Lossless)
    texts = segment(0xFFFE, SECRET) + segment(0xFFE1, b"Exif\0\0" + SECRET) + segment(0xFFEE, SECRET)
    scan = plain.index(b"\xff\xda")
    return {
        "jpeg": (plain, plain[:2] + texts + plain[2:scan] + texts + plain[scan:], JPEGBaseline8Bit, 8),
        "jpeg-ls": (jls, jls[:2] + texts + jls[2:], JPEGLSLossless, 12),
        "jpeg 2000": (j2k, jpeg_2000_with_comments(j2k), JPEG2000Lossless, 12),
    }


@pytest.mark.parametrize("name", ["jpeg", "jpeg-ls", "jpeg 2000"])
def test_comments_leave_the_frame_and_the_pixels_stay(
    tmp_path: Path, mammogram: Mammogram, write: Write, key: bytes, name: str
) -> None:
    plain, hostile, syntax, bits = hostile_frames(mammogram)[name]
    expected = decoded(write(with_frame(mammogram, [plain], bits), tmp_path / "plain.dcm", syntax))
    behind = [hostile + SECRET, SECRET]  # text after the end of the frame, and a fragment of no frame
    path = write(with_frame(mammogram, behind, bits), tmp_path / "a.dcm", syntax)
    report = deidentify([path], tmp_path / "out", key=key)
    assert (report.set_aside, report.written) == ([], 1)
    assert report.comments >= 2
    written = next((tmp_path / "out").rglob("*.dcm"))
    assert SECRET not in written.read_bytes()
    assert dcmread(written).file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(decoded(written), expected)


def test_entropy_coded_data_stay_byte_for_byte() -> None:
    frame = jpeg()
    scan = frame.index(b"\xff\xda")
    clean = clean_jpeg(frame)
    assert clean.data.endswith(frame[scan:])
    assert (clean.shape, clean.precision) == ((ROWS, COLUMNS), 8)


def test_a_clean_frame_stays_as_it_is(mammogram: Mammogram) -> None:
    once = clean_jpeg(jpeg()).data
    assert clean_jpeg(once).data == once
    assert clean_jpeg(frame_of(mammogram, JPEGLSLossless)).precision == 12
    once = clean_jpeg_2000(frame_of(mammogram, JPEG2000Lossless)).data
    again = clean_jpeg_2000(once)
    assert again.data == once
    assert (again.shape, again.precision) == ((ROWS, COLUMNS), 12)


def test_the_last_tile_part_may_have_no_length(mammogram: Mammogram) -> None:
    frame = clean_jpeg_2000(frame_of(mammogram, JPEG2000Lossless)).data
    tile = frame.index(b"\xff\x90")
    without = frame[: tile + 6] + bytes(4) + frame[tile + 10 :]
    assert clean_jpeg_2000(without + SECRET).data == without


def changed(frame: bytes, how: str) -> bytes:
    scan = frame.index(b"\xff\xda")
    return {
        "not a frame": SECRET,
        "cut in a segment": frame[:30],
        "cut in the scan": frame[:-20],
        "unknown segment": frame[:2] + segment(0xFFF0, SECRET) + frame[2:],
        "table with a tail": frame[:scan] + segment(0xFFDB, b"\0" + bytes(64) + SECRET) + frame[scan:],
        "restart interval with a tail": frame[:scan] + segment(0xFFDD, b"\0\0" + SECRET) + frame[scan:],
        "colour": cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes(),
        "two images": frame[:scan] + frame[frame.index(b"\xff\xc0") :],
    }[how]


@pytest.mark.parametrize(
    "how",
    [
        "not a frame",
        "cut in a segment",
        "cut in the scan",
        "unknown segment",
        "table with a tail",
        "restart interval with a tail",
        "colour",
        "two images",
    ],
)
def test_a_jpeg_frame_with_anything_else_is_refused(how: str) -> None:
    with pytest.raises(SetAsideError) as caught:
        clean_jpeg(changed(jpeg(), how))
    assert caught.value.reason == "codestream"


@pytest.mark.parametrize("how", ["jp2 file", "unknown segment", "cut", "long tile-part", "tail between tile-parts"])
def test_a_jpeg_2000_frame_with_anything_else_is_refused(mammogram: Mammogram, how: str) -> None:
    frame = frame_of(mammogram, JPEG2000Lossless)
    tile = frame.index(b"\xff\x90")
    hostile = {
        "jp2 file": cv2.imencode(".jp2", PICTURE)[1].tobytes(),
        "unknown segment": frame[:tile] + segment(0xFF70, SECRET) + frame[tile:],
        "cut": frame[: tile + 20],
        "long tile-part": frame[: tile + 6] + b"\x7f\0\0\0" + frame[tile + 10 :],
        "tail between tile-parts": frame[:-2] + SECRET + frame[-2:],
    }[how]
    with pytest.raises(SetAsideError) as caught:
        clean_jpeg_2000(hostile)
    assert caught.value.reason == "codestream"


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_compression_and_pixels_are_kept(
    tmp_path: Path, mammogram: Mammogram, write: Write, key: bytes, syntax: str
) -> None:
    path = write(compressed(mammogram, syntax), tmp_path / "a.dcm", syntax)
    deidentify([path], tmp_path / "out", key=key)
    written = next((tmp_path / "out").rglob("*.dcm"))
    assert dcmread(written).file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(decoded(written)[0], (PICTURE / 4095).astype(np.float32))


def test_bytes_behind_rle_segments_stay_behind(tmp_path: Path, mammogram: Mammogram, write: Write, key: bytes) -> None:
    frame = frame_of(mammogram, RLELossless)
    path = write(with_frame(mammogram, [frame + SECRET + b" "]), tmp_path / "a.dcm", RLELossless)
    report = deidentify([path], tmp_path / "out", key=key)
    contents: list[Any] = [file.read_bytes() for file in (tmp_path / "out").rglob("*.dcm")]
    assert report.written + len(report.set_aside) == 1
    assert not any(SECRET in content for content in contents)
