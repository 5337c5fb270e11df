"""Raw report text made fit for a text encoder: sections, sentences, plain characters."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, NamedTuple

import pandas as pd

__all__ = ["Report", "clean_report", "clean_text", "split_report", "split_sentences"]

_SECTIONS = {"findings": "findings", "finding": "findings"} | dict.fromkeys(
    ("impression", "impressions", "conclusion", "conclusions"), "impression"
)
# Sections that say nothing of the picture, or no more than a category.
_OTHERS = (
    *("history", "clinical history", "clinical information", "indication", "reason for exam", "comparison"),
    *("technique", "exam", "examination", "procedure", "assessment", "recommendation", "recommendations", "addendum"),
)
_NAMES = "|".join(sorted((*_SECTIONS, *_OTHERS), key=len, reverse=True))
# Any spelling where a line or sentence begins; within one only capitals, so that "other findings: none" stays whole.
_HEADING = re.compile(rf"(?:^|(?<=[.\n]))[ \t]*((?i:{_NAMES}))[ \t]*:|(?<!\S)({_NAMES.upper()})[ \t]*:")

# The points of "2.5 cm" and of "Dr. " end no sentence.
_END = re.compile(r"(?<=[.!?])(?<!\bdr\.)(?<!\bvs\.)(?<!\bapprox\.)(?<!\be\.g\.)(?<!\bi\.e\.)\s+", re.IGNORECASE)
# At the start of a line or sentence only: the 2 of "BI-RADS 2. No mass" is no list's.
_LIST_NUMBER = re.compile(r"(?:^|(?<=[.!?\n]))([ \t]*)\d{1,2}[.)][ \t]+(?=[^\W\d])", re.MULTILINE)
_BIRADS = re.compile(r"\bbi-?\s?rads\b", re.IGNORECASE)
_TYPESETTING = str.maketrans("\u2010\u2011\u2012\u2013\u2014\u2212\u2018\u2019\u201c\u201d\u00d7", "------''\"\"x")
_WORD_OR_MARKS = re.compile(r"\w+|[^\w\s]+")
_SHORTEST = 3  # words of a sentence that the published cleaning keeps


class Report(NamedTuple):
    """The two sections of a report that describe the picture; an absent one is ``""``."""

    findings: str
    impression: str

    @property
    def texts(self) -> tuple[str, ...]:
        """The sections that hold anything, equal ones once: what :func:`~mammo.pipeline.text.draw_texts` draws from."""
        return tuple(dict.fromkeys(filter(None, self)))


def split_report(text: Any) -> Report:
    """Find the findings and the impression of a whole report by their headings.

    A conclusion counts as impression. Sections of another heading (history, technique, recommendation, ...) are left
    out, and so is what stands before the first heading if one of the two follows. Without a heading all is findings.

    Args:
        text: the report; None and NaN are empty.

    Raises:
        ValueError: for what is neither text nor missing.
    """
    text = _known(text)
    heads = list(_HEADING.finditer(text))
    ends = [*(head.start() for head in heads[1:]), len(text)]
    parts: dict[str, list[str]] = {"findings": [], "impression": []}
    for head, end in zip(heads, ends, strict=False):
        section = _SECTIONS.get((head[1] or head[2]).lower())
        if section:
            parts[section].append(text[head.end() : end].strip())
    if not any(parts.values()):
        parts["findings"].append(text[: heads[0].start()] if heads else text)
    return Report(*("\n".join(filter(None, part)).strip() for part in parts.values()))


def clean_report(findings: Any, impression: Any = None, *, periods: bool = True) -> Report:
    """Both sections through :func:`clean_text`; missing ones, None or NaN, are ``""``."""
    return Report(clean_text(findings, periods=periods), clean_text(impression, periods=periods))


def clean_text(text: Any, *, periods: bool = True) -> str:
    """Lower-case ASCII text on one line, sentence by sentence.

    Numbers stay: sizes, clock positions and categories are what a report is about. So whatever identifies a person
    must be gone before; nothing is de-identified here. "BI-RADS" becomes the one word ``birads``. Letters lose their
    accents, typographic dashes and quotes become plain, and other characters beyond ASCII go.

    Args:
        text: one section of a report; None and NaN are empty.
        periods: every sentence ends with a mark, so that sentences can be sampled and shuffled later; list numbers
            go. False is Mammo-CLIP's form (arXiv:2405.12255): words and marks parted by spaces, no periods (nor
            decimal points), no sentence of fewer than 3 words and marks. "No mass." is then lost.

    Raises:
        ValueError: for what is neither text nor missing.
    """
    text = _BIRADS.sub("birads", _known(text))
    if not periods:
        return _published(text)
    text = _LIST_NUMBER.sub(r"\1", text).translate(_TYPESETTING)
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    said = (sentence for sentence in split_sentences(text) if re.search(r"[a-z0-9]", sentence))
    return " ".join(sentence if sentence[-1] in ".!?" else f"{sentence}." for sentence in said)


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, each with the mark at its end; a text without marks is one sentence."""
    return [" ".join(sentence.split()) for sentence in _END.split(text.strip()) if sentence.strip()]


def _published(text: str) -> str:
    kept = []
    for sentence in " ".join(text.split()).lower().split(". "):
        words = (word.encode("ascii", "ignore").decode().strip(".") for word in _WORD_OR_MARKS.findall(sentence))
        said = list(filter(None, words))
        if len(said) >= _SHORTEST:
            kept.append(" ".join(said))
    return " ".join(kept)


def _known(text: Any) -> str:
    if isinstance(text, str):
        return text
    if text is None or text is pd.NA or (isinstance(text, float) and text != text):
        return ""
    raise ValueError(f"a report must be text or missing, got {type(text).__name__} {text!r}; convert it first")
