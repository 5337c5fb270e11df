"""Which breast and which projection a mammogram shows: coded tags first, text last."""

import re
from typing import NamedTuple

from monai.utils import StrEnum
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

__all__ = ["Laterality", "View", "ViewInfo", "ViewModifier", "read_view", "sequence_items"]


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
    SPECIMEN = "SPECIMEN"
    """Excised tissue, which CID 4014 lists among the views."""


class ViewModifier(StrEnum):
    """View Modifier Code Sequence (0054,0222), DICOM CID 4015."""

    ANTERIOR_COMPRESSION = "anterior compression"
    AXILLARY_TAIL = "axillary tail"
    AXILLARY_TISSUE = "axillary tissue"
    CLEAVAGE = "cleavage"
    IMPLANT_DISPLACED = "implant displaced"
    INFRA_MAMMARY_FOLD = "infra-mammary fold"
    MAGNIFICATION = "magnification"
    NIPPLE_IN_PROFILE = "nipple in profile"
    ROLLED_INFERIOR = "rolled inferior"
    ROLLED_LATERAL = "rolled lateral"
    ROLLED_MEDIAL = "rolled medial"
    ROLLED_SUPERIOR = "rolled superior"
    SPOT_COMPRESSION = "spot compression"
    TANGENTIAL = "tangential"


class ViewInfo(NamedTuple):
    """Side and projection, each with the attribute that said so; None where the file does not tell.

    ``view_modifiers`` are :class:`ViewModifier`, or the file's own words for what is none. A conflict names the
    attributes that contradict each other, such as ``"ImageLaterality L, SeriesDescription R"``.
    """

    laterality: str | None
    laterality_source: str | None
    view: str | None
    view_source: str | None
    view_modifiers: list[str]
    laterality_conflict: str | None = None
    view_conflict: str | None = None


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
    ("SCT", "127457009"): View.SPECIMEN,
    ("SRT", "G-8310"): View.SPECIMEN,
}
# DICOM CID 4015, likewise.
_MODIFIER_CODES: dict[tuple[str, str], ViewModifier] = {
    ("SCT", "441752004"): ViewModifier.ANTERIOR_COMPRESSION,
    ("SCT", "399011000"): ViewModifier.AXILLARY_TAIL,
    ("SCT", "442580003"): ViewModifier.AXILLARY_TISSUE,
    ("SCT", "399161006"): ViewModifier.CLEAVAGE,
    ("SCT", "399209000"): ViewModifier.IMPLANT_DISPLACED,
    ("SCT", "442593008"): ViewModifier.INFRA_MAMMARY_FOLD,
    ("SCT", "399163009"): ViewModifier.MAGNIFICATION,
    ("SCT", "442581004"): ViewModifier.NIPPLE_IN_PROFILE,
    ("SCT", "414493004"): ViewModifier.ROLLED_INFERIOR,
    ("SCT", "399197002"): ViewModifier.ROLLED_LATERAL,
    ("SCT", "399226006"): ViewModifier.ROLLED_MEDIAL,
    ("SCT", "415670009"): ViewModifier.ROLLED_SUPERIOR,
    ("SCT", "399055006"): ViewModifier.SPOT_COMPRESSION,
    ("SCT", "399110001"): ViewModifier.TANGENTIAL,
    ("SRT", "P2-00161"): ViewModifier.ANTERIOR_COMPRESSION,
    ("SRT", "R-102D1"): ViewModifier.AXILLARY_TAIL,
    ("SRT", "R-40AB2"): ViewModifier.AXILLARY_TISSUE,
    ("SRT", "R-102D2"): ViewModifier.CLEAVAGE,
    ("SRT", "R-102D5"): ViewModifier.IMPLANT_DISPLACED,
    ("SRT", "R-40ABE"): ViewModifier.INFRA_MAMMARY_FOLD,
    ("SRT", "R-102D6"): ViewModifier.MAGNIFICATION,
    ("SRT", "R-40AB3"): ViewModifier.NIPPLE_IN_PROFILE,
    ("SRT", "R-102CA"): ViewModifier.ROLLED_INFERIOR,
    ("SRT", "R-102D3"): ViewModifier.ROLLED_LATERAL,
    ("SRT", "R-102D4"): ViewModifier.ROLLED_MEDIAL,
    ("SRT", "R-102C9"): ViewModifier.ROLLED_SUPERIOR,
    ("SRT", "R-102D7"): ViewModifier.SPOT_COMPRESSION,
    ("SRT", "R-102C2"): ViewModifier.TANGENTIAL,
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
# Consoles that code no modifier name it beside the view ("R CC SPOT MAG"), or the paddle tells.
_MODIFIER_TEXTS = ("ViewPosition", "PaddleDescription", "SeriesDescription")
_MODIFIER_WORDS = (
    (re.compile(r"SPOT"), ViewModifier.SPOT_COMPRESSION),
    (re.compile(r"(?<![A-Z])MAG(?:NIF|NIFIED|NIFICATION)?(?![A-Z])"), ViewModifier.MAGNIFICATION),
    (re.compile(r"IMPLANT[ -]DISPL"), ViewModifier.IMPLANT_DISPLACED),
)
_MODIFIERS = frozenset(str(modifier) for modifier in ViewModifier)
_LONGEST_TEXT = 64  # of a modifier in the file's own words


def read_view(header: Dataset) -> ViewInfo:
    """Read side and projection of a mammogram.

    View Code Sequence (0054,0220) is authoritative over the text of View Position (0018,5101); Image
    Laterality (0020,0062) over Laterality (0020,0060) of the series; free text comes last. What is lower in this
    order and says otherwise is reported as a conflict.
    """
    sides, views = _sides(header), _views(header)
    side, side_source = sides[0] if sides else (None, None)
    view, view_source = views[0] if views else (None, None)
    return ViewInfo(side, side_source, view, view_source, _modifiers(header), _conflict(sides), _conflict(views))


def _sides(header: Dataset) -> list[tuple[str, str]]:
    """Every side the header names, most telling first, with the attribute."""
    found = [(value, keyword) for keyword, value in _coded_sides(header) if value in ("L", "R")]
    described = {word[0] for word in _SIDE_WORD.findall(_text(header, "SeriesDescription"))}
    if len(described) == 1:
        found.append((described.pop(), "SeriesDescription"))
    cbis = _CBIS_PATIENT.search(_text(header, "PatientID"))
    return [*found, (cbis[1][0], "PatientID")] if cbis else found


def _coded_sides(header: Dataset) -> list[tuple[str, str]]:
    sides = [(k, _text(header, k)) for k in ("ImageLaterality", "Laterality")]
    for shared in sequence_items(header, "SharedFunctionalGroupsSequence"):
        for anatomy in sequence_items(shared, "FrameAnatomySequence"):
            sides.append(("FrameLaterality", _text(anatomy, "FrameLaterality")))
    return sides


def _views(header: Dataset) -> list[tuple[str, str]]:
    """Every projection the header names, most telling first, with the attribute."""
    coded = (_VIEW_CODES.get(_code(item)) for item in sequence_items(header, "ViewCodeSequence"))
    found = [(str(view), "ViewCodeSequence") for view in coded if view]
    for keyword in _VIEW_TEXTS:
        named = set(_VIEW_WORD.findall(_text(header, keyword)))
        if len(named) == 1:
            found.append((named.pop(), keyword))
    cbis = _CBIS_PATIENT.search(_text(header, "PatientID"))
    return [*found, (cbis[2], "PatientID")] if cbis else found


def _conflict(named: list[tuple[str, str]]) -> str | None:
    if len({value for value, _ in named}) < 2:
        return None
    return ", ".join(f"{keyword} {value}" for value, keyword in named)


def _modifiers(header: Dataset) -> list[str]:
    views = sequence_items(header, "ViewCodeSequence")
    # Some systems put the sequence beside the views instead of into them.
    items = [m for holder in (*views, header) for m in sequence_items(holder, "ViewModifierCodeSequence")]
    found = [_modifier(item) for item in items]
    text = " ".join(_text(header, keyword) for keyword in _MODIFIER_TEXTS)
    found += [str(modifier) for word, modifier in _MODIFIER_WORDS if word.search(text)]
    return list(dict.fromkeys(word for word in found if word))


def _modifier(item: Dataset) -> str:
    coded = _MODIFIER_CODES.get(_code(item))
    meaning = str(item.get("CodeMeaning", "")).strip()
    if coded is None and meaning.lower() in _MODIFIERS:
        return meaning.lower()
    return str(coded) if coded else meaning[:_LONGEST_TEXT]


def _code(item: Dataset) -> tuple[str, str]:
    scheme = _text(item, "CodingSchemeDesignator")
    return _SRT_SPELLINGS.get(scheme, scheme), _text(item, "CodeValue")


def sequence_items(header: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none where a broken file holds something else under its tag."""
    value = header.get(keyword)
    return [item for item in value if isinstance(item, Dataset)] if isinstance(value, Sequence) else []


def _text(header: Dataset, keyword: str) -> str:
    value = header.get(keyword)
    parts = [] if value is None else [value] if isinstance(value, str) else list(value)
    return " ".join(str(part) for part in parts).strip().upper()
