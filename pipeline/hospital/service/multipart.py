"""Multipart messages of DICOMweb (RFC 2387), without holding an image in memory more than once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .incoming import InstanceError
from .retry import PacsError

__all__ = ["at_most", "first_part", "whole"]

_BOUNDARY = re.compile(r'boundary="?([^";,\s]+)"?', re.IGNORECASE)
_LONGEST_HEADER = 1 << 14


def first_part(chunks: Iterable[bytes], content_type: str) -> Iterator[bytes]:
    """The content of the first part of a message, as it comes in; of another kind of message the whole.

    Raises:
        PacsError: ``not_multipart`` or ``cut_off``: it does not hold what its header promises.
    """
    if not content_type.lower().startswith("multipart/"):
        yield from chunks
        return
    named = _BOUNDARY.search(content_type)
    if named is None:
        raise PacsError("not_multipart")
    delimiter = b"\r\n--" + named[1].encode("latin-1")
    source, data = iter(chunks), b"\r\n"
    while b"\r\n\r\n" not in data[2:]:
        data += _more(source)
        if len(data) > _LONGEST_HEADER and b"\r\n\r\n" not in data[: 2 * _LONGEST_HEADER]:
            raise PacsError("not_multipart")
    header, _, data = data.partition(b"\r\n\r\n")
    if delimiter not in header:
        raise PacsError("not_multipart")
    while (end := data.find(delimiter)) < 0:
        keep = len(delimiter) - 1  # the delimiter may be cut in two
        if len(data) > keep:
            yield data[:-keep]
            data = data[-keep:]
        data += _more(source)
    yield data[:end]


def at_most(size: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Pass bytes on.

    Raises:
        InstanceError: ``too_large``, before more than ``size`` of them are.
    """
    for data in chunks:
        size -= len(data)
        if size < 0:
            raise InstanceError("too_large")
        yield data


def whole(content: bytes, boundary: str) -> bytes:
    """A message with one DICOM object."""
    begin = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return begin + content + f"\r\n--{boundary}--\r\n".encode()


def _more(source: Iterator[bytes]) -> bytes:
    data = next(source, None)
    if data is None:
        raise PacsError("cut_off")
    return data
