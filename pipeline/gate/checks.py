"""What is remarkable in the facts of one image. Pure: facts in, reasons with a sentence each out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydicom.config import IGNORE
from pydicom.uid import UID, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

from ...transforms.dicom_file import MAMMOGRAPHY_MODALITIES
from ...transforms.segmentation import MaskQuality
from ...transforms.sop_classes import FOR_PRESENTATION, FOR_PROCESSING, IMAGE_CLASSES, SECONDARY_CAPTURES
from ...transforms.view import View, ViewModifier
from .reasons import Reason

__all__ = ["Facts", "Finding", "find_reasons"]

Facts = Mapping[str, Any]
"""Of :func:`~mammo.transforms.header.describe_header` and :func:`~mammo.transforms.pixel_facts.pixel_facts`, and of
the record, as ``listed_laterality``, ``listed_view`` and ``implant``. What is absent or None is unknown."""

Finding = tuple[Reason, str]

# JPEG 2000 and HTJ2K share one syntax for both; there the header alone tells.
_LOSSY_SYNTAXES = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless})
# Image Type (0008,0008): PS3.3 tables C.8-74a to C.8-74e and C.8.21.6-1a. Low-energy images are like any mammogram.
_BIOPSY_TYPES = ("STEREO", "PREFIRE", "POSTFIRE", "POSTBIOPSY", "POSTMARKER", "TOMO_SCOUT")
_BIOPSY_PADDLES = ("BIOPSY", "NEEDLE", "STEREO")
_CONTRAST_TYPES = frozenset({"SUBTRACTION", "ADDITION", "RECOMBINED", "HIGH_ENERGY"})

_STANDARD_VIEWS = (View.CC.value, View.MLO.value)
_LEAST_MAGNIFICATION = 1.3  # contact views have up to 1.1, magnified ones 1.5 and more
_SMALL_SHARE, _CROPPED_SHARE = 0.05, 0.9  # 0.11 to 0.73 on film, 0.43 to 0.92 on tight crops
_LONGEST_VALUE = 40

_MODIFIER_REASONS = {
    ViewModifier.SPOT_COMPRESSION.value: Reason.SPOT_COMPRESSION,
    ViewModifier.MAGNIFICATION.value: Reason.MAGNIFICATION,
    ViewModifier.IMPLANT_DISPLACED.value: Reason.IMPLANT_DISPLACED,
}
_HARMLESS_MODIFIERS = frozenset(
    (
        ViewModifier.NIPPLE_IN_PROFILE.value,
        ViewModifier.INFRA_MAMMARY_FOLD.value,
        ViewModifier.ANTERIOR_COMPRESSION.value,
    )
)
_MASKS = {
    MaskQuality.EMPTY.value: (Reason.MASK_EMPTY, "no breast was found in the picture"),
    MaskQuality.FULL_FRAME.value: (Reason.MASK_FULL_FRAME, "no air was found: the breast fills the frame"),
    MaskQuality.TWO_BREASTS.value: (Reason.MASK_TWO_BREASTS, "two regions or two chest walls; expected one breast"),
    MaskQuality.CUT_OFF.value: (Reason.MASK_CUT_OFF, "the breast reaches the frame on both sides"),
    MaskQuality.NO_CHEST_WALL_EDGE.value: (
        Reason.MASK_NO_WALL,
        "no chest wall on either side: perhaps no whole breast",
    ),
}


def find_reasons(facts: Facts) -> list[Finding]:
    """Everything remarkable in the facts of an image, each reason once, in the order of :class:`Reason`."""
    found = [finding for check in _CHECKS for finding in check(facts)]
    return sorted(found, key=_place) if len(found) > 1 else found


def _kind(facts: Facts) -> Iterator[Finding]:
    sop_class, modality, part = facts.get("sop_class"), facts.get("modality"), facts.get("body_part")
    if sop_class and sop_class not in IMAGE_CLASSES:
        yield Reason.NOT_A_MAMMOGRAM, f"SOP Class (0008,0016) is {_shown(UID(sop_class, IGNORE).name)}"
    elif modality and modality not in MAMMOGRAPHY_MODALITIES:
        yield Reason.NOT_A_MAMMOGRAM, f"Modality (0008,0060) is {_shown(modality)}; expected MG"
    elif part and modality != "MG" and part.upper() != "BREAST":
        yield Reason.NOT_A_MAMMOGRAM, f"Body Part Examined (0018,0015) is {_shown(part)}; expected BREAST"
    if facts.get("view") == View.SPECIMEN.value or facts.get("positioner") == "NONE":
        yield Reason.SPECIMEN, "a specimen: View Code Sequence (0054,0220) or Positioner Type (0018,1508) says so"


def _frames(facts: Facts) -> Iterator[Finding]:
    frames, frame = facts.get("frames") or 1, facts.get("frame")
    if frame is not None and frames > 1:
        chosen = "the maximum" if frame == "max" else f"frame {frame}"
        yield Reason.CHOSEN_FRAME, f"{chosen} of {frames} frames, not a 2-D mammogram"
    elif facts.get("tomosynthesis"):
        yield (
            Reason.TOMOSYNTHESIS,
            f"tomosynthesis, {frames} frame{'s' if frames > 1 else ''}; choose a frame to use it",
        )
    elif frames > 1:
        yield Reason.MULTI_FRAME, f"Number of Frames (0028,0008) is {frames}; choose one to use it"


def _origin(facts: Facts) -> Iterator[Finding]:
    if facts.get("synthetic_2d"):
        yield Reason.SYNTHETIC_2D, "a picture computed from tomosynthesis, not an exposure"
    image_type = facts.get("image_type")
    if image_type and not _CONTRAST_TYPES.isdisjoint(image_type.upper().split("\\")):
        yield Reason.CONTRAST_ENHANCED, f"Image Type (0008,0008) is {_shown(image_type)}: contrast-enhanced"
    if facts.get("is_dicom") is False:
        yield Reason.NO_HEADER, "not DICOM: intent, view, implants and compression cannot be checked"
        return
    sop_class, intent = facts.get("sop_class"), facts.get("presentation_intent")
    if sop_class in SECONDARY_CAPTURES:
        yield Reason.SECONDARY_CAPTURE, "SOP Class (0008,0016) is Secondary Capture: a digitised film or a screen shot"
    if intent == "FOR PROCESSING" or sop_class in FOR_PROCESSING:
        yield Reason.FOR_PROCESSING, "Presentation Intent Type (0008,0068) is FOR PROCESSING: raw detector values"
    elif intent != "FOR PRESENTATION" and sop_class not in FOR_PRESENTATION:
        yield Reason.UNKNOWN_INTENT, "Presentation Intent Type (0008,0068) does not say FOR PRESENTATION"


def _side(facts: Facts) -> Iterator[Finding]:
    side, listed = facts.get("laterality"), facts.get("listed_laterality")
    if not (side or listed) and facts.get("is_dicom") is not False:
        yield Reason.SIDE_UNKNOWN, "neither Image Laterality (0020,0062) nor Laterality (0020,0060) says L or R"
    if facts.get("laterality_conflict"):
        yield Reason.SIDE_CONFLICT, f"the header contradicts itself: {_shown(facts['laterality_conflict'])}"
    elif side and listed and side != listed:
        yield Reason.SIDE_CONFLICT, f"the file says {_shown(side)}, the dataset's table {_shown(listed)}"
    wall = facts.get("wall")
    if not wall:
        return
    # A\F: rows run to anterior, away from the chest wall. CBIS-DDSM writes the view here instead.
    orientation = facts.get("patient_orientation") or ""
    told = {"A": "left", "P": "right"}.get(orientation[:1]) if "\\" in orientation else None
    natural = {"L": "left", "R": "right"}.get(side or listed or "")
    if natural and wall != natural and wall != told:
        yield Reason.SIDE_DISAGREES, f"the chest wall is on the {wall}, as of the other breast, and no tag explains it"
    if told and wall != told:
        shown = f"the chest wall is on the {wall}, but Patient Orientation (0020,0020) is {_shown(orientation)}"
        yield Reason.ORIENTATION_DISAGREES, shown


def _view(facts: Facts) -> Iterator[Finding]:
    told, listed = facts.get("view"), facts.get("listed_view")
    view = told or listed
    if view and view not in _STANDARD_VIEWS:
        yield Reason.VIEW_NOT_STANDARD, f"the view is {_shown(view)}; expected CC or MLO"
    elif not view and facts.get("is_dicom") is not False:
        yield (
            Reason.VIEW_UNKNOWN,
            "neither View Code Sequence (0054,0220) nor View Position (0018,5101) says which view",
        )
    if facts.get("view_conflict"):
        yield Reason.VIEW_CONFLICT, f"the header contradicts itself: {_shown(facts['view_conflict'])}"
    elif told and listed and told != listed:
        yield Reason.VIEW_CONFLICT, f"the file says {_shown(told)}, the dataset's table {_shown(listed)}"


def _technique(facts: Facts) -> Iterator[Finding]:
    modifiers = facts.get("view_modifiers")
    words = modifiers.split("; ") if modifiers else ()
    factor = facts.get("magnification") or 1.0
    for word, reason in _MODIFIER_REASONS.items():
        if word in words:
            yield reason, f"the view is modified: {word}"
        elif reason is Reason.MAGNIFICATION and factor >= _LEAST_MAGNIFICATION:
            yield reason, f"Estimated Radiographic Magnification Factor (0018,1114) is {factor:g}"
    special = [word for word in words if word not in _MODIFIER_REASONS and word not in _HARMLESS_MODIFIERS]
    if special:
        yield Reason.SPECIAL_VIEW, f"the view is modified: {_shown(', '.join(special))}"
    if facts.get("breast_implant") == "YES" or facts.get("implant"):
        yield Reason.IMPLANT, "Breast Implant Present (0028,1300), or the dataset's table, says yes"
    if facts.get("partial_view") == "YES":
        yield Reason.PARTIAL_VIEW, "Partial View (0028,1350) is YES"
    image_type, paddle = (facts.get("image_type") or "").upper(), (facts.get("paddle") or "").upper()
    if image_type and any(value.startswith(_BIOPSY_TYPES) for value in image_type.split("\\")):
        yield Reason.BIOPSY, f"Image Type (0008,0008) is {_shown(image_type)}: taken during a biopsy"
    elif paddle and any(word in paddle for word in _BIOPSY_PADDLES):
        yield Reason.BIOPSY, f"Paddle Description (0018,11A4) is {_shown(paddle)}: taken during a biopsy"


def _storage(facts: Facts) -> Iterator[Finding]:
    if facts.get("lossy") == "01" or facts.get("transfer_syntax") in _LOSSY_SYNTAXES:
        ratio = facts.get("lossy_ratio")
        yield Reason.LOSSY, f"lossy compression (0028,2110){f', {ratio:g} to 1' if ratio else ''}"
    if facts.get("beyond_bits_stored"):
        yield Reason.BEYOND_BITS_STORED, f"pixel values beyond Bits Stored (0028,0101), {facts.get('bits_stored')}"


def _pixels(facts: Facts) -> Iterator[Finding]:
    if facts.get("burned_in_annotation") == "YES":
        yield Reason.BURNED_IN_DECLARED, "Burned In Annotation (0028,0301) is YES: text that may name the patient"
    regions, area = facts.get("burned_in_px") or 0, facts.get("burned_in_share") or 0.0
    if regions == 1:
        yield Reason.SIDE_MARKER, f"one text-like region outside the breast, {area:.1%} of the frame"
    elif regions:
        yield Reason.BURNED_IN_TEXT, f"{regions} text-like regions outside the breast, {area:.1%} of the frame"
    quality, share = facts.get("mask_quality"), facts.get("breast_share")
    if quality in _MASKS:
        yield _MASKS[quality]
    if share is None or quality in (MaskQuality.EMPTY.value, MaskQuality.FULL_FRAME.value):
        return
    if share < _SMALL_SHARE:
        yield Reason.MASK_SMALL, f"the breast takes {share:.1%} of the frame; perhaps not the breast was found"
    elif share >= _CROPPED_SHARE:
        yield Reason.OVER_CROPPED, f"the breast takes {share:.0%} of the frame: the picture was cut into it"


_CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    _kind,
    _frames,
    _origin,
    _side,
    _view,
    _technique,
    _storage,
    _pixels,
)


_PLACES = {reason: place for place, reason in enumerate(Reason)}


def _place(finding: Finding) -> int:
    return _PLACES[finding[0]]


def _shown(value: str) -> str:
    """A value of a file nobody vouches for, fit for a terminal and a table."""
    short = value if len(value) <= _LONGEST_VALUE else value[: _LONGEST_VALUE - 3] + "..."
    return "'" + "".join(c if c.isprintable() else "?" for c in short) + "'"
