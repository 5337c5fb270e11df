"""The words of the page for people: what a status, a score, a reason and a warning mean to a radiologist."""

from __future__ import annotations

import re
from typing import NamedTuple

from .result import StudyResult, StudyStatus

__all__ = ["Headline", "calibration_note", "headline", "in_words", "numbers", "side_in_words", "tidy"]

REASONS = {
    # Files that could not be read: mammo.transforms.errors.ReadFailure.
    "missing": "File is not there",
    "not_an_image": "No image",
    "truncated": "File is cut off",
    "undecodable": "File cannot be decoded",
    "unsupported_transfer_syntax": "Compression is not supported",
    "unsupported_pixel_format": "Pixel format is not supported",
    "invalid_voi": "Stored window is not valid",
    "invalid_uid": "Identifier is not valid",
    "invalid_crop": "Stored crop is not valid",
    "too_large": "Image is too large",
    "all_zero": "Image is empty",
    "crashed": "Reading the file failed",
    "timed_out": "Reading the file took too long",
    # Images that were read: mammo.pipeline.gate.Reason.
    "not_a_mammogram": "Not a mammogram",
    "specimen": "Specimen image",
    "tomosynthesis": "Tomosynthesis",
    "multi_frame": "Several frames",
    "chosen_frame": "One frame of several",
    "synthetic_2d": "Synthetic 2-D image",
    "contrast_enhanced": "Contrast-enhanced image",
    "secondary_capture": "Secondary capture",
    "no_header": "No DICOM header",
    "for_processing": "Raw detector image",
    "unknown_intent": "Raw or processed is not stated",
    "side_unknown": "Side is not stated",
    "side_conflict": "Statements on the side contradict each other",
    "side_disagrees": "Picture and stated side disagree",
    "orientation_disagrees": "Picture and stated orientation disagree",
    "view_unknown": "View is not stated",
    "view_not_standard": "Neither CC nor MLO",
    "view_conflict": "Statements on the view contradict each other",
    "spot_compression": "Spot compression view",
    "magnification": "Magnification view",
    "implant": "Breast implant",
    "implant_displaced": "Implant-displaced view",
    "special_view": "Special view",
    "partial_view": "Partial view",
    "biopsy": "Taken during a biopsy",
    "lossy": "Lossy compression",
    "beyond_bits_stored": "Pixel values beyond the stated range",
    "burned_in_declared": "Text in the picture is declared",
    "side_marker": "Side marker in the picture",
    "burned_in_text": "Text in the picture",
    "mask_empty": "No breast was found",
    "mask_full_frame": "Breast fills the whole frame",
    "mask_two_breasts": "More than one breast in the picture",
    "mask_cut_off": "Breast is cut off on both sides",
    "mask_no_wall": "No chest wall was found",
    "mask_small": "Breast is very small in the frame",
    "over_cropped": "Picture is cropped into the breast",
}  # fmt: skip

READ_AS_USUAL = ("No result is not a negative result: read the exam as usual.",)
_SIDES = {"L": "left breast", "R": "right breast"}
_LONGEST = 400
_LEAST_DIGITS, _MOST_DIGITS = 3, 9

# Three and more numbers with dots, 16 characters and more: a UID, whatever stands around it.
_UID = re.compile(r"(?<!\d)(?=[\d.]{16})\d+(?:\.\d+){2,}")
_FOLDERS = re.compile(r"(?:\b[A-Za-z]:[\\/]|\\\\|(?<![\w.])/)(?:[^'\"<>:/\\\n]+[\\/])+")


class Headline(NamedTuple):
    """The answer at the top of the page.

    Attributes:
        badge: the status in two words.
        title: the answer in one sentence.
        lines: what must be known with it.
        gaps: those of the lines that tell what a reader may take for granted and is not so.
        tone: ``above``, ``below``, ``plain`` or ``none``; style only, the words say it as well.
    """

    badge: str
    title: str
    lines: tuple[str, ...]
    gaps: tuple[str, ...]
    tone: str


def headline(result: StudyResult) -> Headline:
    """Status and answer of a study in plain words; there is none without."""
    if result.exam_score is None:
        told = f"Reason: {tidy(result.reason or 'none is known').rstrip('.')}."
        if result.status is StudyStatus.FAILED:
            badge, title = "Failed", "The software failed: there is no AI result for this exam"
        else:
            badge, title = "Not analysed", "This exam was not analysed: there is no AI result"
        return Headline(badge, title, (told, *_absent(result), *READ_AS_USUAL), READ_AS_USUAL, "none")
    score, threshold = numbers(result.exam_score, result.threshold)
    if result.threshold is None:
        title, tone = f"Exam score {score}; there is no operating point to compare it with", "plain"
        meaning = "Without an operating point the score says nothing by itself: read the exam as usual."
    elif result.flagged:
        title, tone = f"Exam score {score} is at or above the operating point {threshold}", "above"
        meaning = "At or above the operating point is a hint to look closely. It is no finding."
    else:
        title, tone = f"Exam score {score} is below the operating point {threshold}", "below"
        meaning = "Below the operating point does not mean normal: read the exam as usual."
    gaps = _gaps(result)
    lines = (f"{_whose(result)} Scores are not calibrated: they are no percentages.", meaning, *gaps)
    return Headline("Analysed in part" if gaps else "Analysed", title, lines, gaps, tone)


def _whose(result: StudyResult) -> str:
    side = side_in_words(result.exam_breast)
    if len(result.breasts) < 2:
        return f"The exam score is that of the {side}, the only one with a score."
    return f"The exam score is the higher of the two breasts' scores: {side}."


def _gaps(result: StudyResult) -> tuple[str, ...]:
    told = []
    if result.missing_views:
        told.append(f"Not scored: {', '.join(result.missing_views)}. Nothing is said about what only they show.")
    refused = sum(view.probability is None for view in result.views)
    if refused:
        were = "was" if refused == 1 else "were"
        told.append(f"{refused} of {len(result.views)} images {were} not analysed; the reasons are below.")
    return (*told, *_absent(result))


def _absent(result: StudyResult) -> tuple[str, ...]:
    """Images of the exam that never came: without this nobody would miss the second of two images of a view."""
    if not result.absent:
        return ()
    count = len(result.absent)
    images, shown = ("1 image", "it shows") if count == 1 else (f"{count} images", "they show")
    why = ", ".join(sorted({in_words(code).lower() for code in result.absent}))
    fetched = f"{images} of this exam could not be fetched from the archive ({why})."
    return (f"{fetched} Nothing is said about what only {shown}.",)


def calibration_note(result: StudyResult) -> str:
    """Whether scores are probabilities, and of what."""
    raw = (
        "The scores of exam, breasts and images are the network's own output, between 0 and 1. They are not calibrated:"
        " 0.70 does not mean 70 of 100 such exams. A higher score ranks an exam higher, no more."
    )
    if any(view.probability_calibrated is not None for view in result.views):
        return (
            f"{raw} The calibrated score of an image is its score adjusted (temperature scaling) to the images of the"
            " model's validation. It holds for images and patients like those and may be off at another site. The"
            " operating point belongs to the exam score, which is not calibrated."
        )
    return f"{raw} No calibration is known for this model."


def in_words(code: str) -> str:
    """A reason or warning code for people; one that is not known keeps its name."""
    return REASONS.get(code, tidy(code.replace("_", " ")))


def side_in_words(laterality: str | None) -> str:
    """``left breast``, ``right breast`` or ``breast of unknown side``."""
    return _SIDES.get(laterality or "", "breast of unknown side")


def numbers(score: float, threshold: float | None = None) -> tuple[str, str]:
    """Score and operating point with as many digits as it takes to tell them apart, three to nine."""
    if threshold is None:
        return f"{score:.{_LEAST_DIGITS}f}", ""
    for digits in range(_LEAST_DIGITS, _MOST_DIGITS + 1):
        shown = f"{score:.{digits}f}", f"{threshold:.{digits}f}"
        if shown[0] != shown[1]:
            break
    return shown


def tidy(text: str) -> str:
    """A text of a file nobody vouches for, fit for the page: one line, no UID, of paths the file name only."""
    line = "".join(c if c.isprintable() else " " for c in text)
    line = _UID.sub("(UID)", _FOLDERS.sub("", line))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
