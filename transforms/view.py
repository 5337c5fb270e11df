"""Which breast and which projection a mammogram shows: coded tags first, text last."""

import re
from typing import NamedTuple

from monai.utils import StrEnum
from pydicom.dataset import Dataset

__all__ = ["Laterality", "View", "ViewInfo", "read_view"]


class Laterality(StrEnum):
    """Image Laterality (0020,0062) of a single breast."""

    LEFT = "L"
    RIGHT = "R"


class View(StrEnum):
    """Projections of DICOM CID 4014, by the abbreviations of View Position (0018,5101)."""

    CC = "CC"
    MLO = "MLO"
    ML = "ML"
    LM = "LM"
    LMO = "LMO"
    FB = "FB"
    SIO = "SIO"
    ISO = "ISO"
    XCC = "XCC"
    XCCL = "XCCL"
    XCCM = "XCCM"


class ViewInfo(NamedTuple):
    """Side and projection, each with the attribute that said so; None where the file does not tell."""

    laterality: str | None
    laterality_source: str | None
    view: str | None
    view_source: str | None
    view_modifiers: list[str]


# DICOM CID 4014 in SNOMED CT and in the SRT codes that it replaced (PS3.16 annex D); the exaggerated
# cranio-caudal view without a direction is retired but found in archives.
_VIEW_CODES: dict[tuple[str, str], View] = {
    ("SCT", "399162004"): View.CC,
    ("SCT", "399368009"): View.MLO,
    ("SCT", "399260004"): View.ML,
    ("SCT", "399352003"): View.LM,
    ("SCT", "399099002"): View.LMO,
    ("SCT", "399196006"): View.FB,
    ("SCT", "399188001"): View.SIO,
    ("SCT", "441555000"): View.ISO,
    ("SCT", "399192008"): View.XCCL,
    ("SCT", "399101009"): View.XCCM,
    ("SCT", "399265009"): View.XCC,
    ("SRT", "R-10242"): View.CC,
    ("SRT", "R-10226"): View.MLO,
    ("SRT", "R-10224"): View.ML,
    ("SRT", "R-10228"): View.LM,
    ("SRT", "R-10230"): View.LMO,
    ("SRT", "R-10244"): View.FB,
    ("SRT", "R-102D0"): View.SIO,
    ("SRT", "R-40AAA"): View.ISO,
    ("SRT", "R-1024A"): View.XCCL,
    ("SRT", "R-1024B"): View.XCCM,
    ("SRT", "R-102CF"): View.XCC,
}
# Mammography systems wrote SRT as SNM3 or 99SDM until 2003; the code values are the same.
_SRT_SPELLINGS = {"SNM3": "SRT", "99SDM": "SRT"}
_VIEWS = "XCCL|XCCM|XCC|MLO|LMO|SIO|ISO|CC|ML|LM|FB"
_VIEW_WORD = re.compile(rf"(?<![A-Z])(?:[LR][ _-]?)?({_VIEWS})(?![A-Z])")
# A single letter is a side only beside a view.
_SIDE_WORD = re.compile(rf"(?<![A-Z])(LEFT|RIGHT|[LR](?=[ _-]?(?:{_VIEWS})(?![A-Z])))")
# CBIS-DDSM writes both in Patient ID ("Mass-Training_P_00001_LEFT_CC"); any other identifier tells nothing.
_CBIS_PATIENT = re.compile(rf"_(LEFT|RIGHT)_({_VIEWS})(?![A-Z])")
# Text that may name the view, most telling first. CBIS-DDSM writes the view in Patient Orientation.
_VIEW_TEXTS = ("ViewPosition", "PatientOrientation", "SeriesDescription")


def read_view(header: Dataset) -> ViewInfo:
    """Read side and projection of a mammogram.

    View Code Sequence (0054,0220) is authoritative over the text of View Position (0018,5101); Image
    Laterality (0020,0062) over Laterality (0020,0060) of the series; free text comes last.
    """
    side, side_source = _laterality(header)
    view, view_source = _view(header)
    return ViewInfo(side, side_source, view, view_source, _modifiers(header))


def _laterality(header: Dataset) -> tuple[str | None, str | None]:
    for keyword, value in _coded_sides(header):
        if value in ("L", "R"):
            return value, keyword
    described = _SIDE_WORD.search(_text(header, "SeriesDescription"))
    if described:
        return described[1][0], "SeriesDescription"
    cbis = _CBIS_PATIENT.search(_text(header, "PatientID"))
    return (cbis[1][0], "PatientID") if cbis else (None, None)


def _coded_sides(header: Dataset) -> list[tuple[str, str]]:
    sides = [(k, _text(header, k)) for k in ("ImageLaterality", "Laterality")]
    for shared in header.get("SharedFunctionalGroupsSequence") or []:
        for anatomy in shared.get("FrameAnatomySequence") or []:
            sides.append(("FrameLaterality", _text(anatomy, "FrameLaterality")))
    return sides


def _view(header: Dataset) -> tuple[str | None, str | None]:
    for item in header.get("ViewCodeSequence") or []:
        scheme = _text(item, "CodingSchemeDesignator")
        code = _VIEW_CODES.get((_SRT_SPELLINGS.get(scheme, scheme), _text(item, "CodeValue")))
        if code:
            return str(code), "ViewCodeSequence"
    for keyword in _VIEW_TEXTS:
        match = _VIEW_WORD.search(_text(header, keyword))
        if match:
            return match[1], keyword
    cbis = _CBIS_PATIENT.search(_text(header, "PatientID"))
    return (cbis[2], "PatientID") if cbis else (None, None)


def _modifiers(header: Dataset) -> list[str]:
    views = header.get("ViewCodeSequence") or []
    modifiers = [m for view in views for m in view.get("ViewModifierCodeSequence") or []]
    return [str(m.get("CodeMeaning", "")) for m in modifiers]


def _text(header: Dataset, keyword: str) -> str:
    value = header.get(keyword)
    parts = [] if value is None else [value] if isinstance(value, str) else list(value)
    return " ".join(str(part) for part in parts).strip().upper()
