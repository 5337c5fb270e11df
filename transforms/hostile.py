"""Bounds on what a DICOM data set may be: depth, number of elements, and identifiers that are identifiers."""

import re
from os import PathLike

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from .errors import MammogramError, ReadFailure, refusing

__all__ = ["check_identifiers", "check_structure"]

_DEEPEST = 12  # functional groups of tomosynthesis go five deep
_MOST_ITEMS = 20_000  # a tomosynthesis of 100 slices has some 1,500
# Strictly a component has no leading zero (PS3.5 9.1); archives hold such UIDs, and they do no harm.
_UID = re.compile(r"[0-9.]{1,64}")


def check_structure(header: Dataset, path: str | PathLike[str]) -> None:
    """Refuse sequences nested so deeply, or so many, that walking them would hang.

    A file of 60 kilobytes can hold 3,000 sequences in one another. pydicom reads it at once, since it leaves
    sequences as bytes until they are asked for; whoever copies or prints it never comes back. Here one level after the
    other is looked at, without recursion and no further than the bound.

    Raises:
        MammogramError: ``too_large`` beyond the bounds, ``undecodable`` for a sequence that cannot be parsed.
    """
    level: list[Dataset] = [header]
    items = 0
    for _ in range(_DEEPEST):
        with refusing(path, ReadFailure.UNDECODABLE, "a sequence cannot be parsed"):
            level = [item for dataset in level for item in _items(dataset)]
        items += len(level)
        if not level or items > _MOST_ITEMS:
            break
    if level or items > _MOST_ITEMS:
        message = f"sequences nest more than {_DEEPEST} deep, or hold more than {_MOST_ITEMS} items"
        raise MammogramError(path, ReadFailure.TOO_LARGE, message)


def check_identifiers(header: Dataset, path: str | PathLike[str]) -> None:
    """Refuse UIDs that are none: one such as ``../../etc/passwd`` may become a file's name somewhere.

    Raises:
        MammogramError: ``invalid_uid``, with the attribute and without its value.
    """
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "SOPClassUID"):
        value = header.get(keyword)
        if value and not _UID.fullmatch(str(value)):
            message = f"{keyword} is not of digits and dots, 64 at most"
            raise MammogramError(path, ReadFailure.INVALID_UID, message)


def _items(dataset: Dataset) -> list[Dataset]:
    """Items of all sequences of a data set; only sequences are parsed."""
    found: list[Dataset] = []
    for tag, element in list(dataset.items()):  # as read: what was left on disk stays there
        if isinstance(element, RawDataElement) and not _may_be_sequence(element):
            continue
        parsed = dataset[tag]
        if parsed.VR == "SQ":
            found += parsed.value
    return found


def _may_be_sequence(element: RawDataElement) -> bool:
    """Whether an element that is still bytes could be a sequence; large ones on disk only if they are known to be."""
    vr = element.VR or (dictionary_VR(element.tag) if dictionary_has_tag(element.tag) else "UN")
    return vr == "SQ" or (vr == "UN" and element.value is not None)
