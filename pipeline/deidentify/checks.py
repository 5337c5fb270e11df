"""Whether an exported file shows what its source shows, and is there to its last byte."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import cast

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset

from ...transforms.dicom_file import open_dicom
from ...transforms.errors import MammogramError
from ...transforms.grayscale import grayscale_table, voi_count
from .refusal import Refusal, SetAsideError
from .rules import Context
from .views import describe_typed

__all__ = ["check_same_picture", "read_whole"]

_SEQUENCE_DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"
_MEANING = (
    "frames",
    "tomosynthesis",
    "synthetic_2d",
    "laterality",
    "view",
    "view_modifiers",
    "pixel_spacing_mm",
    "magnification",
)
"""What the reader says of an image that must be the same before and after."""


def check_same_picture(source: Dataset, written: Dataset, context: Context) -> None:
    """Refuse an export that would be read as something other than its source.

    Compared are the tables from stored values to grey, of every contrast that the file offers, and what the
    reader says of the image. An element that was left out may have decided either.

    Raises:
        SetAsideError: ``picture_would_change``.
    """
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation"):
        _check_same(source.get(keyword), written.get(keyword), keyword)
    _check_same(_grey_tables(source), _grey_tables(written), "the grey values")
    before, after = describe_typed(source, context), describe_typed(written, context)
    for name in _MEANING:
        _check_same(before[name], after[name], name)


def read_whole(path: Path, max_pixels: int) -> Dataset | None:
    """The header of a file that was exported before; None unless it is there and ends where its pixels end."""
    try:
        header = open_dicom(path, max_pixels)
    except MammogramError:
        return None
    return header if "PixelData" in header and _ends_with_pixels(header, path) else None


def _ends_with_pixels(header: FileDataset, path: Path) -> bool:
    if not header.file_meta.TransferSyntaxUID.is_encapsulated:
        element = cast(RawDataElement, header.get_item("PixelData", keep_deferred=True))
        return bool(element.value_tell + element.length == path.stat().st_size)
    with open(path, "rb") as file:
        file.seek(-len(_SEQUENCE_DELIMITER), os.SEEK_END)
        return file.read() == _SEQUENCE_DELIMITER


def _check_same(before: object, after: object, what: str) -> None:
    if before != after:
        message = f"a value that is not allowed decides about {what}, which would change without it; correct it first"
        raise SetAsideError(Refusal.PICTURE_WOULD_CHANGE, message)


def _grey_tables(header: Dataset) -> list[bytes | None]:
    """Digests of all tables from stored values to grey; None for one that the reader refuses."""
    return [_grey_table(header, voi) for voi in ("none", *range(voi_count(header)))]


def _grey_table(header: Dataset, voi: str | int) -> bytes | None:
    try:
        table = grayscale_table(header, voi).table
    except (ValueError, TypeError, AttributeError):
        return None
    return hashlib.sha256(table.tobytes()).digest()
