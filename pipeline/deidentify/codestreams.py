"""Compressed frames without the text that JPEG and JPEG 2000 let encoders put beside the pixels.

A frame is taken apart into its segments (ITU-T T.81 annex B, T.87 annex C, T.800 annex A). Those that decoding needs
stay byte for byte, comments and application data go, and a frame with any other content is refused. Decoded
pixels are therefore the same. What lies within the entropy-coded data is not looked at.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .refusal import Refusal, SetAsideError

__all__ = ["Codestream", "clean_jpeg", "clean_jpeg_2000"]


class Codestream(NamedTuple):
    """A cleaned frame.

    Attributes:
        data: the frame.
        shape: rows and columns that it declares.
        precision: bits a sample that it declares.
        comments: segments of text or application data that were taken out or emptied.
    """

    data: bytes
    shape: tuple[int, int]
    precision: int
    comments: int


_EOI, _SOS, _DHT, _DQT, _DNL, _DRI, _LSE, _JPEG_LS = 0xD9, 0xDA, 0xC4, 0xDB, 0xDC, 0xDD, 0xF8, 0xF7
_FRAMES = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, 0xCC} | {_JPEG_LS}  # C8 is reserved, CC is DAC
_TEXT = frozenset(range(0xE0, 0xF0)) | {0xFE}  # APPn and COM
_PRESET_PARAMETERS = 1
# Within entropy-coded data FF is followed by 00 or a restart marker; in JPEG-LS by a byte below 80.
_MARKER_IN_JPEG = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
_MARKER_IN_JPEG_LS = re.compile(rb"\xff+[\x80-\xcf\xd8-\xfe]")


def clean_jpeg(frame: bytes) -> Codestream:
    """Take COM and APPn segments, and whatever follows the end of the image, out of a JPEG or JPEG-LS frame.

    APPn (JFIF, Adobe, Exif) say nothing about the samples of an image of one component.

    Raises:
        SetAsideError: ``codestream`` for a frame that is not built as its standard says.
    """
    parts, comments = [b"\xff\xd8"], 0
    precision = rows = columns = 0
    for marker, segment, scan in _jpeg_segments(frame):
        if marker in _TEXT:
            comments += 1
            continue
        _check_jpeg_segment(marker, segment)
        if marker in _FRAMES:
            if rows:
                raise _broken("it holds two images")
            precision, rows, columns = struct.unpack_from(">BHH", segment, 2)
        parts += [bytes([0xFF, marker]), segment, scan]
    if not rows or not columns:
        raise _broken("it declares no size")
    return Codestream(b"".join([*parts, b"\xff\xd9"]), (rows, columns), precision, comments)


def _jpeg_segments(frame: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Marker, segment from its length on, and the entropy-coded data behind it, up to EOI."""
    if frame[:2] != b"\xff\xd8":
        raise _broken("it does not begin with SOI")
    at, in_scan = 2, _MARKER_IN_JPEG
    while True:
        marker, at = _jpeg_marker(frame, at)
        if marker == _EOI:
            return
        segment, scan = _segment(frame, at), b""
        at += len(segment)
        if marker == _JPEG_LS:
            in_scan = _MARKER_IN_JPEG_LS
        if marker == _SOS:
            end = in_scan.search(frame, at)
            if end is None:
                raise _broken("it ends without EOI")
            scan = frame[at : end.start()]
            at = end.start()
        yield marker, segment, scan


def _jpeg_marker(frame: bytes, at: int) -> tuple[int, int]:
    """The marker at ``at`` and the place behind it; it may be preceded by bytes FF."""
    start = at
    while frame[at : at + 1] == b"\xff":
        at += 1
    if at == start or at >= len(frame):
        raise _broken("a marker is missing")
    return frame[at], at + 1


def _segment(frame: bytes | bytearray, at: int) -> bytes:
    """A segment from its two bytes of length on."""
    length = int.from_bytes(frame[at : at + 2], "big")
    if length < 2 or at + length > len(frame):
        raise _broken("a segment is longer than the frame")
    return bytes(frame[at : at + length])


def _check_jpeg_segment(marker: int, segment: bytes) -> None:
    """Refuse a segment that is unknown, of a colour image, or longer than what its standard puts into it."""
    length, content = len(segment), segment[2:]
    if marker in _FRAMES:
        fits = length == 11 and segment[7] == 1
    elif marker == _SOS:
        fits = length == 8 and segment[2] == 1
    elif marker == _DQT:
        fits = _filled(content, lambda rest: 1 + (128 if rest[0] >> 4 else 64))
    elif marker == _DHT:
        fits = _filled(content, lambda rest: 17 + sum(rest[1:17]))
    elif marker == _LSE:
        fits = length == 13 and segment[2] == _PRESET_PARAMETERS
    else:
        fits = marker in (_DNL, _DRI) and length == 4
    if not fits:
        raise _broken(f"segment FF{marker:02X} is not one of a grayscale image, or has another length")


def _filled(content: bytes, size: Callable[[bytes], int]) -> bool:
    """Whether tables, of the sizes that they declare, fill a segment to the last byte."""
    while content:
        if size(content) > len(content):
            return False
        content = content[size(content) :]
    return True


_SOT, _SOD, _COMMENT, _EOC = 0xFF90, 0xFF93, 0xFF64, b"\xff\xd9"
_JPEG_2000_SEGMENTS = frozenset(
    # CAP SIZ COD COC TLM PLM PLT CPF, QCD QCC RGN POC PPM PPT CRG COM
    0xFF00 | low
    for low in b"\x50\x51\x52\x53\x55\x57\x58\x59\x5c\x5d\x5e\x5f\x60\x61\x63\x64"
)
_TILE_PART_HEADER = 12
_ONE_COMPONENT = 41


def clean_jpeg_2000(frame: bytes) -> Codestream:
    """Empty the comments of a JPEG 2000 codestream in place, and drop what follows its end.

    The comments keep their length, because tile-parts are found by counting bytes.

    Raises:
        SetAsideError: ``codestream`` for a frame that is not built as its standard says, a JP2 file among them.
    """
    if frame[:4] != b"\xff\x4f\xff\x51":
        raise _broken("it is not a JPEG 2000 codestream (SOC, SIZ)")
    size = _segment(frame, 4)
    if len(size) != _ONE_COMPONENT or size[36:38] != b"\0\1":
        raise _broken("it does not hold exactly one component")
    right, bottom, left, top = struct.unpack_from(">4I", size, 4)
    data = bytearray(frame)
    at, comments = _empty_comments(data, 2, _SOT)
    while data[at : at + 2] == _SOT.to_bytes(2, "big"):
        length = int.from_bytes(data[at + 6 : at + 10], "big")
        body, found = _empty_comments(data, at + _TILE_PART_HEADER, _SOD)
        comments += found
        # The last tile-part may have length 0: then it reaches to EOC, and FFD9 does not occur before.
        at = at + length if length else data.find(_EOC, body)
        if at < body or at > len(data):
            raise _broken("a tile-part is longer than the frame")
    if data[at : at + 2] != _EOC and any(data[at:]):
        raise _broken("something other than EOC follows the last tile-part")
    return Codestream(bytes(data[:at]) + _EOC, (bottom - top, right - left), (size[38] & 0x7F) + 1, comments)


def _empty_comments(data: bytearray, at: int, last: int) -> tuple[int, int]:
    """Zero the comments of a header from ``at`` to the marker ``last``; where that is, and how many there were."""
    comments = 0
    while (marker := int.from_bytes(data[at : at + 2], "big")) != last:
        if marker not in _JPEG_2000_SEGMENTS:
            raise _broken(f"segment {marker:04X} is not one of a JPEG 2000 header")
        length = len(_segment(data, at + 2))
        if marker == _COMMENT:
            data[at + 4 : at + 2 + length] = bytes(length - 2)
            comments += 1
        at += 2 + length
    return at, comments


def _broken(what: str) -> SetAsideError:
    message = f"a compressed frame cannot be exported: {what}; decompress the file with a DICOM tool first"
    return SetAsideError(Refusal.CODESTREAM, message)
