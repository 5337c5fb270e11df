"""Codes of reports: DICOM's where it has them, ours (99MAMMO) for what only this software says."""

from __future__ import annotations

from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from ..page_words import in_words
from .wording import ascii_text

__all__ = [
    "CALIBRATED_SCORE",
    "CALIBRATION",
    "FLAG",
    "MISSING_VIEW",
    "NOTE",
    "REGION_SCORE",
    "REPEATED_VIEW",
    "SCHEME",
    "SCORE",
    "SIDES",
    "STATUS",
    "THRESHOLD",
    "VIEWS",
    "VIEW_USED",
    "calibration_of",
    "coded",
    "flag_of",
    "note",
    "screening_view",
    "status_of",
]

SCHEME = "99MAMMO"
_MEANING = 64  # characters of Code Meaning (0008,0104)

SCORE = CodedConcept("SCORE", SCHEME, "AI suspicion score, 0 to 1, no probability of disease")
CALIBRATED_SCORE = CodedConcept("CALIBRATED_SCORE", SCHEME, "AI suspicion score of an image, temperature-scaled")
REGION_SCORE = CodedConcept("REGION_SCORE", SCHEME, "Share of the highest value of the view's map")
THRESHOLD = CodedConcept("THRESHOLD", SCHEME, "Operating point of the AI suspicion score")
STATUS = CodedConcept("STATUS", SCHEME, "Analysis status")
CALIBRATION = CodedConcept("CALIBRATION", SCHEME, "Calibration of the AI suspicion score")
FLAG = CodedConcept("FLAG", SCHEME, "Comparison with the operating point")
VIEW_USED = CodedConcept("VIEW_USED", SCHEME, "View that the score comes from")
REPEATED_VIEW = CodedConcept("REPEATED_VIEW", SCHEME, "View with several images, of which the mean counts")
MISSING_VIEW = CodedConcept("MISSING_VIEW", SCHEME, "Screening view without a score")
NOTE = CodedConcept("NOTE", SCHEME, "Reason or remark")

SIDES = {"L": codes.SCT.Left, "R": codes.SCT.Right}
VIEWS = {"CC": codes.cid4014.CranioCaudal, "MLO": codes.cid4014.MedioLateralObliqueProjection}

_STATUS = {
    "analysed": CodedConcept("ANALYSED", SCHEME, "Analysed"),
    "not_analysed": CodedConcept("NOT_ANALYSED", SCHEME, "Not analysed"),
    "failed": CodedConcept("FAILED", SCHEME, "Analysis failed"),
}
_CALIBRATION = {
    True: CodedConcept("CALIBRATED", SCHEME, "Also temperature-scaled on validation images"),
    False: CodedConcept("NOT_CALIBRATED", SCHEME, "Not calibrated"),
}
_FLAG = {
    True: CodedConcept("AT_OR_ABOVE", SCHEME, "At or above the operating point"),
    False: CodedConcept("BELOW", SCHEME, "Below the operating point, which does not mean normal"),
    None: CodedConcept("NO_THRESHOLD", SCHEME, "There is no operating point"),
}


def coded(code: Code) -> CodedConcept:
    """A code of pydicom's dictionary as DICOM files can hold it: some meanings there have spaces without width."""
    return CodedConcept(code.value, code.scheme_designator, ascii_text(code.meaning)[:_MEANING])


def status_of(status: str) -> CodedConcept:
    """The value of :class:`~mammo.pipeline.hospital.result.StudyStatus` as a code."""
    return _STATUS[status]


def calibration_of(calibrated: bool) -> CodedConcept:
    """Whether there is a calibrated score beside the network's own."""
    return _CALIBRATION[calibrated]


def flag_of(flagged: bool | None) -> CodedConcept:
    """How a score compares with the operating point; None without one."""
    return _FLAG[flagged]


def note(reason: str) -> CodedConcept:
    """A reason code of gate or reader, its own text as Code Value: Long Code Value (0008,0119) beyond 16 characters."""
    return CodedConcept(ascii_text(reason), SCHEME, ascii_text(in_words(reason))[:_MEANING])


def screening_view(name: str) -> CodedConcept:
    """A view with its side, such as ``R MLO``."""
    return CodedConcept(ascii_text(name).replace(" ", "_")[:16], SCHEME, ascii_text(name)[:_MEANING])
