"""What may stand in an element that is kept: closed lists of terms, numbers within limits, and what is made anew.

No rule passes text on because of where it stands. A value is kept if it is one of a known list or a number that
the attribute can have; everything else is withheld and counted, so that a name typed into any field stays behind.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from .dates import age_in_years, capped_age, shift_date
from .pseudonyms import Pseudonyms

__all__ = [
    "Context",
    "Profile",
    "Rule",
    "add_element",
    "age",
    "code_of",
    "copy_allowed",
    "date",
    "items",
    "lut_data",
    "number",
    "pattern",
    "short_text",
    "terms",
    "uid",
    "values_of",
    "whole",
]


@dataclass
class Context:
    """What rules need to know of the file they work on.

    Attributes:
        pseudonyms: makes new identifiers.
        days: how far dates are moved back; None where dates are left out.
        known_devices: names of manufacturers and models that the user vouches for.
        withheld: elements with a value that no rule allowed, counted by keyword.
        keyword: of the element that is being looked at.
    """

    pseudonyms: Pseudonyms
    days: int | None
    known_devices: Collection[str] = ()
    withheld: Counter[str] = field(default_factory=Counter)
    keyword: str = ""


Rule = Callable[[Any, Context], Any]
"""From the value that was found, never empty, to the value that is written; None leaves the element out.

Raises any exception for a value that may not be kept.
"""

Profile = Mapping[str, Rule]

_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
_LONGEST_DECIMAL = 32  # DS allows 16 characters, but exporters write more, and cutting them would change the value
_LONGEST_TEXT = 4096


def copy_allowed(source: Dataset, profile: Profile, context: Context) -> Dataset:
    """A new dataset with what ``profile`` allows of ``source``; nothing else of ``source`` is looked at."""
    result = Dataset()
    for keyword, rule in profile.items():
        if keyword not in source:
            continue
        context.keyword = keyword
        try:
            value = source[keyword].value
            kept = [] if _is_empty(value) else rule(value, context)
            if kept is not None:
                add_element(result, keyword, kept)
        except Exception:  # a hostile value can make the parser or a rule raise anything; it is counted
            context.withheld[keyword] += 1
    return result


def add_element(dataset: Dataset, keyword: str, value: Any) -> None:
    """Set an element in the VR of the dictionary; ``[]`` is an empty value. Numbers may come as text."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword} is not in the DICOM dictionary")
    vr = dictionary_VR(tag)
    if vr == "US or SS":
        numbers = [int(v) for v in values_of(value)]
        vr = "SS" if numbers and min(numbers) < 0 else "US"
    elif vr == "US or OW":
        vr = "OW"
    if vr in ("US", "SS", "UL", "SL"):
        value = [int(v) for v in values_of(value)]
    elif vr in ("FD", "FL"):
        value = [float(v) for v in values_of(value)]
    if vr != "SQ" and isinstance(value, list) and len(value) < 2:
        value = value[0] if value else None
    dataset.add(DataElement(tag, vr, value))


def values_of(value: Any) -> list[Any]:
    """The values of an element as a list; text and bytes are one value."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        return [value]
    return list(value)


def terms(*allowed: str, most: int = 1, otherwise: str | None = None) -> Rule:
    """Text from a closed list.

    Args:
        allowed: the list, in capitals.
        most: how many values there may be.
        otherwise: what is written in the place of a value that is not in the list; None refuses the element.
    """
    known = frozenset(allowed if otherwise is None else (*allowed, otherwise))

    def rule(value: Any, context: Context) -> list[str]:
        found = [_text(v).upper() for v in _limited(value, most)]
        if known.issuperset(found):
            return found
        if otherwise is None:
            raise ValueError("not one of the known terms")
        context.withheld[context.keyword] += 1
        return [term if term in known else otherwise for term in found]

    return rule


def pattern(expression: str, most: int = 1) -> Rule:
    """Text that a regular expression describes to the last character."""
    compiled = re.compile(expression, re.ASCII)

    def rule(value: Any, context: Context) -> list[str]:
        found = [_text(v).upper() for v in _limited(value, most)]
        if not all(compiled.fullmatch(text) for text in found):
            raise ValueError("not of the expected form")
        return found

    return rule


def number(low: float, high: float, most: int = 1) -> Rule:
    """Decimal numbers within limits, with the digits they had."""

    def rule(value: Any, context: Context) -> list[str]:
        found = [_decimal(v) for v in _limited(value, most)]
        if not all(low <= float(text) <= high for text in found):
            raise ValueError("out of limits")
        return found

    return rule


def whole(low: int, high: int, most: int = 1) -> Rule:
    """Whole numbers within limits."""

    def rule(value: Any, context: Context) -> list[int]:
        found = [float(_decimal(v)) for v in _limited(value, most)]
        if not all(v.is_integer() and low <= v <= high for v in found):
            raise ValueError("not a whole number within the limits")
        return [int(v) for v in found]

    return rule


def items(profile: Profile, most: int) -> Rule:
    """A sequence of at most ``most`` items, each with what ``profile`` allows; its depth is that of the profile."""

    def rule(value: Any, context: Context) -> list[Dataset]:
        if not isinstance(value, DicomSequence) or len(value) > most:
            raise ValueError(f"not a sequence of at most {most} items")
        return [copy_allowed(item, profile, context) for item in value]

    return rule


def lut_data(value: Any, context: Context) -> bytes:
    """LUT Data (0028,3006), US or OW, as little-endian words."""
    if isinstance(value, bytes):
        return value
    numbers = [int(_decimal(v)) for v in values_of(value)]
    return b"".join(number.to_bytes(2, "little") for number in numbers)


def code_of(item: Dataset) -> tuple[str, str]:
    """Coding Scheme Designator and Code Value of an item; SRT for the names that it had before.

    Raises:
        ValueError: where one of them is not text.
    """
    scheme, value = (_text(item.get(keyword)) for keyword in ("CodingSchemeDesignator", "CodeValue"))
    return ("SRT" if scheme in ("SNM3", "99SDM") else scheme), value


def short_text(value: Any, context: Context) -> list[str | int | float]:
    """Text or numbers as they are, to be looked through; nothing of it may be written."""
    return [v if isinstance(v, (int, float)) else _text(v) for v in values_of(value)]


def uid(value: Any, context: Context) -> str:
    """Another UID, the same for the same one."""
    return context.pseudonyms.uid(_text(value))


def date(value: Any, context: Context) -> str | None:
    """A date moved with all dates of the patient, or none."""
    return None if context.days is None else shift_date(_text(value), context.days)


def age(value: Any, context: Context) -> str:
    """Age in whole years, 90 for all over 89."""
    return capped_age(age_in_years(_text(value)))


def _is_empty(value: Any) -> bool:
    return value is None or (hasattr(value, "__len__") and len(value) == 0)


def _limited(value: Any, most: int) -> list[Any]:
    found = values_of(value)
    if len(found) > most:
        raise ValueError(f"more than {most} values")
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise ValueError("not a short text")
    return value.strip("\0 ")


def _decimal(value: Any) -> str:
    if isinstance(value, (int, float)):
        # DS and IS keep the text they were read from; binary numbers have none.
        value = getattr(value, "original_string", None) or repr(value)
    text = _text(value)
    if len(text) > _LONGEST_DECIMAL or not _DECIMAL.fullmatch(text):
        raise ValueError("not a decimal number")
    return text
