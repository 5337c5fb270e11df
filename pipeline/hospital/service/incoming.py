"""What came in: as little of a file as is needed to put it in its place, and whether it may stay."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info, read_partial
from pydicom.tag import BaseTag, Tag

from ..naming import is_ours
from .names import valid_uid

__all__ = ["MAMMOGRAMS", "Incoming", "InstanceError", "examine", "may_stay"]

MAMMOGRAMS = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.1.2",  # Digital Mammography X-Ray Image, For Presentation
        "1.2.840.10008.5.1.4.1.1.1.2.1",  # Digital Mammography X-Ray Image, For Processing
        "1.2.840.10008.5.1.4.1.1.13.1.3",  # Breast Tomosynthesis Image
        "1.2.840.10008.5.1.4.1.1.13.1.4",  # Breast Projection X-Ray Image, For Presentation
        "1.2.840.10008.5.1.4.1.1.13.1.5",  # Breast Projection X-Ray Image, For Processing
    }
)
"""SOP Classes that are kept. What is none of these is answered with success and dropped; the gate judges these."""

DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
"""Transfer syntaxes in which a small file can hold gigabytes: deflated, and references that are."""

_WANTED = tuple(
    map(
        Tag,
        ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "Manufacturer", "SeriesDescription", "PatientID"),
    )
)
_LAST = Tag("StudyInstanceUID")
_LONGEST = 1 << 12
"""Bytes of an element; longer ones are left on disk and taken as empty."""


class InstanceError(ValueError):
    """An instance that is not taken.

    Args:
        reason: a code for counting; no text of the file is ever part of it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Incoming(NamedTuple):
    """The identity of one file.

    Attributes:
        study: Study Instance UID (0020,000D), valid.
        instance: SOP Instance UID (0008,0018), valid.
        sop_class: SOP Class UID (0008,0016), valid.
        patient: Patient ID (0010,0020), may be empty.
        ours: whether this service made it.
    """

    study: str
    instance: str
    sop_class: str
    patient: str
    ours: bool


def examine(path: Path) -> Incoming:
    """Read the few elements up to Study Instance UID; nothing is printed, copied or walked through.

    Raises:
        InstanceError: ``deflated``, ``not_dicom``, ``undecodable`` or ``invalid_uid``.
    """
    try:
        syntax = str(read_file_meta_info(path).get("TransferSyntaxUID") or "")
    except Exception as error:  # a hostile header can make the parser raise anything
        raise InstanceError("not_dicom") from error
    if syntax in DEFLATED:
        raise InstanceError("deflated")
    try:
        header = _header(path)
        texts = {tag: _text(header, tag) for tag in _WANTED}
    except (Exception, RecursionError) as error:
        raise InstanceError("undecodable") from error
    sop_class, instance, study, manufacturer, description, patient = (texts[tag] for tag in _WANTED)
    if not (valid_uid(study) and valid_uid(instance) and valid_uid(sop_class)):
        raise InstanceError("invalid_uid")
    return Incoming(study, instance, sop_class, patient, is_ours(manufacturer, description))


def may_stay(sop_class: str, ours: bool) -> bool:
    """Whether an instance is kept: a mammogram, and no result of ours, which would be answered for ever."""
    return sop_class in MAMMOGRAMS and not ours


def _header(path: Path) -> Dataset:
    with open(path, "rb") as file:
        return read_partial(file, _is_beyond, defer_size=_LONGEST, specific_tags=list(_WANTED))


def _text(header: Dataset, tag: BaseTag) -> str:
    """An element's bytes as they are: pydicom's own conversion warns with the values."""
    element = header.get_item(tag, keep_deferred=True)
    value = element.value if isinstance(element, RawDataElement) else None
    return value.decode("latin-1").rstrip("\0 ") if isinstance(value, bytes) else ""


def _is_beyond(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag > _LAST
