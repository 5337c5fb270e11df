import struct

import cv2
import numpy as np
import pytest
from mammo.transforms.codestream import codestream_shape


@pytest.mark.parametrize("suffix", [".jpg", ".jp2"])
def test_declared_size_is_that_of_the_encoded_picture(suffix: str) -> None:
    encoded = cv2.imencode(suffix, np.zeros((70, 90), np.uint8))[1].tobytes()
    assert codestream_shape(encoded) == (70, 90)


def test_jpeg_ls_declares_its_size() -> None:
    frame = b"\xff\xd8" + b"\xff\xf7" + struct.pack(">HBHHB", 11, 12, 300, 200, 1) + b"\0" * 8
    assert codestream_shape(frame) == (300, 200)


@pytest.mark.parametrize("frame", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\xff", b"RLE" * 100, b"\xff\x4f\xff\x51"])
def test_other_or_broken_bytes_declare_nothing(frame: bytes) -> None:
    assert codestream_shape(frame) is None
