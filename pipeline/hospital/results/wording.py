"""The words of result objects: those of the page for people, in ASCII, which every DICOM character set holds."""

from __future__ import annotations

import unicodedata

from ..page_words import headline, in_words, numbers, side_in_words, tidy
from ..result import BreastResult, StudyResult, ViewResult

__all__ = ["ascii_text", "breast_words", "exam_words", "hanging", "refused_words", "score_words"]

_HANGING = ("R CC", "L CC", "R MLO", "L MLO")


def hanging(view: ViewResult) -> tuple[int, str, str]:
    """Sorts images as they hang, others by name, then by identifier."""
    place = _HANGING.index(view.name) if view.name in _HANGING else len(_HANGING)
    return place, view.name, view.sop_instance_uid or ""


def ascii_text(text: str) -> str:
    """A text without accents; what ASCII lacks is a question mark, what has no width is gone."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) not in ("Mn", "Cf"))
    return plain.encode("ascii", "replace").decode("ascii")


def score_words(view: ViewResult) -> str:
    """The score of an image, and whether it is calibrated; why there is none where there is none."""
    if view.probability is None:
        return "no score"
    if view.probability_calibrated is None:
        return f"{numbers(view.probability)[0]} (not calibrated)"
    return f"{numbers(view.probability)[0]} (calibrated {numbers(view.probability_calibrated)[0]})"


def exam_words(result: StudyResult) -> list[str]:
    """The answer to a study: status, exam score against the threshold, and what it does not mean."""
    told = headline(result)
    return [ascii_text(line) for line in (f"{told.badge}: {told.title}", *told.lines)]


def breast_words(breast: BreastResult, threshold: float | None) -> str:
    """One breast: score, threshold, and from which views."""
    score, limit = numbers(breast.score, threshold)
    told = "no threshold" if threshold is None else f"{'at or above' if breast.score >= threshold else 'below'} {limit}"
    repeated = f"; repeated {', '.join(breast.repeated)}, the mean of its images counts" if breast.repeated else ""
    side = side_in_words(breast.laterality)
    return ascii_text(f"{side.capitalize()}: score {score}, {told}; views {', '.join(breast.views)}{repeated}")


def refused_words(result: StudyResult) -> list[str]:
    """Every image without a score and why: what the gate found in words, of an unreadable file its code in words."""
    told = []
    for view in sorted(result.views, key=hanging):
        if view.probability is not None:
            continue
        reasons = [in_words(code) for code in view.reasons] or ["not processed"]
        # What is said of an unreadable file may quote anything.
        messages = view.messages if view.sop_instance_uid is not None else ()
        for number, message in enumerate(messages[: len(reasons)]):
            reasons[number] += f" ({tidy(message)})"
        told.append(ascii_text(f"{view.name}: {'; '.join(reasons)}"))
    return told
