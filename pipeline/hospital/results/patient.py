"""Whose exam a page of paper is about, in characters that its font has."""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.ft2font import FT2Font
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

__all__ = ["patient_words"]

_LONGEST = 60
IN_HEADER = "(in the header)"


def patient_words(identity: Dataset) -> str:
    """Name, ID, date of birth, date of the study and accession number.

    A page that leaves the archive must say whose it is. What the font cannot write, such as Han characters or text
    that runs from right to left, is in the header only, and the page says so.
    """
    name = _value(identity, "PatientName")
    name = str(getattr(name, "alphabetic", name)).replace("^", " ")
    born, taken = (_day(str(_value(identity, keyword))) for keyword in ("PatientBirthDate", "StudyDate"))
    number, accession = (str(_value(identity, keyword)) for keyword in ("PatientID", "AccessionNumber"))
    told = [f"Patient: {_shown(name)}", f"ID: {_shown(number)}", f"born: {_shown(born)}", f"exam of: {_shown(taken)}"]
    return "   ".join([*told, *([f"accession: {_shown(accession)}"] if accession.strip() else [])])


def _value(identity: Dataset, keyword: str) -> Any:
    with disable_value_validation():  # its warnings quote values
        value = identity.get(keyword)
    return "" if value is None else value


def _day(date: str) -> str:
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if len(date) == 8 and date.isdigit() else date


def _shown(text: str) -> str:
    text = " ".join(text.split())[:_LONGEST]
    if not text:
        return "-"
    left_to_right = all(unicodedata.bidirectional(c) not in ("R", "AL", "AN") for c in text)
    return text if left_to_right and all(ord(c) in _glyphs() for c in text) else IN_HEADER


@cache
def _glyphs() -> frozenset[int]:
    path = Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return frozenset(FT2Font(str(path)).get_charmap())
