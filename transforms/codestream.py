"""The picture size that a compressed frame itself declares, read without decoding it."""

import struct

__all__ = ["codestream_components", "codestream_shape", "is_whole_jpeg"]

# Start-of-frame markers of JPEG (ITU T.81 table B.1) and JPEG-LS (T.87); C4, C8 and CC are other segments.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_JPEG_STANDALONE = frozenset(range(0xD0, 0xD9)) | {0x01}
_JPEG_2000_SIZE = b"\xff\x4f\xff\x51"  # SOC and SIZ (ITU T.800 A.5.1)


def codestream_shape(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns of a JPEG, JPEG-LS or JPEG 2000 codestream; None for other bytes.

    A decoder allocates what the codestream declares, whatever Rows (0028,0010) and Columns (0028,0011) say:
    both have to be looked at before a frame from outside is decoded.
    """
    start = frame.find(_JPEG_2000_SIZE, 0, 4096)
    if start >= 0 and len(frame) >= start + 24:
        right, bottom, left, top = struct.unpack_from(">4I", frame, start + 8)
        return bottom - top, right - left
    return _jpeg_shape(frame) if frame[:2] == b"\xff\xd8" else None


def _jpeg_shape(frame: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker in _JPEG_FRAMES:
            return struct.unpack_from(">HH", frame, at + 5)
        if marker == 0xFF or marker in _JPEG_STANDALONE:
            at += 1 if marker == 0xFF else 2
            continue
        at += 2 + struct.unpack_from(">H", frame, at + 2)[0]
    return None


def codestream_components(frame: bytes) -> int | None:
    """Components that a JPEG 2000 codestream declares, up to 16,384; None for other bytes."""
    start = frame.find(_JPEG_2000_SIZE, 0, 4096)
    if start < 0 or len(frame) < start + 42:
        return None
    return int(struct.unpack_from(">H", frame, start + 40)[0])


def is_whole_jpeg(frame: bytes) -> bool:
    """Whether a JPEG or JPEG-LS codestream ends with its end-of-image marker, padding aside."""
    return frame[-64:].rstrip(b"\0").endswith(b"\xff\xd9")
