"""Texts of breasts that are written from labels, and where the texts of a run come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from monai.utils import StrEnum, look_up_option

from ..text.synthesis import Details, absent_types, implied_facts, write_sentences
from ..text.vocabulary import FINDINGS
from .breast_pairs import BreastTexts, TextSource, report_texts

__all__ = ["Texts", "label_texts", "report_and_label_texts", "text_source"]

WORDS = ("type", "shapes", "margins", "calcification_types", "distributions", "assessment")
"""What a sentence says of a finding; where and how large it is differs between the views."""


class Texts(StrEnum):
    """Where texts come from: written reports, labels, or both, of which each serves where the other is missing."""

    REPORTS = "reports"
    LABELS = "labels"
    BOTH = "both"


def label_texts(records: Sequence[Mapping[str, Any]], rng: np.random.Generator | None = None) -> BreastTexts:
    """A report of what is labelled on the images of a breast, after Mammo-CLIP's image-label data (arXiv:2405.12255).

    A sentence for every finding and one for every type that was looked for and not found
    (:func:`~mammo.pipeline.text.synthesis.write_sentences`, details as they are known, no side and no density). With a
    generator every call draws other words and half of the details, so that questions for a kind alone find their
    answers, and a second wording as ``augmented``. Nothing is told of images without ``findings`` of the vocabulary and
    without ``looked_for``.
    """
    findings = [one for record in records for one in record.get("findings", ()) if one.get("type") in FINDINGS]
    told = [{name: one[name] for name in WORDS if name in one} for one in findings]
    there = [one for place, one in enumerate(told) if one not in told[:place]]
    absent = absent_types(there)
    sought = {name for record in records for name in record.get("looked_for", ())}
    denied = [name for name in FINDINGS if name in sought and name in absent]
    if not there and not denied:
        return BreastTexts([], [])
    drawn = [
        write_sentences(_less(there, rng), denied, details=Details.KNOWN, rng=rng)
        for _ in range(1 if rng is None else 2)
    ]
    wordings = [" ".join(sentences) for sentences in drawn]
    facts = {sentence: fact for sentences in drawn for sentence, fact in sentences.items()}
    implied = {fact for one in there for fact in implied_facts(one)}
    return BreastTexts(wordings[:1], wordings[1:], facts, sorted(implied))


def _less(findings: Sequence[Mapping[str, Any]], rng: np.random.Generator | None) -> list[dict[str, Any]]:
    """The findings with half of what is known of them."""
    return [
        {name: value for name, value in one.items() if name == "type" or rng is None or rng.random() < 0.5}
        for one in findings
    ]


def report_and_label_texts(records: Sequence[Mapping[str, Any]], rng: np.random.Generator | None = None) -> BreastTexts:
    """The reports, with what the labels say as another wording of each that has none; or whichever there is."""
    told = report_texts(records)
    if not told.texts:
        return label_texts(records, rng)
    if told.augmented or rng is None:
        return told
    reworded = [label_texts(records, rng) for _ in told.texts]
    facts = {sentence: fact for one in reworded for sentence, fact in one.facts.items()}
    implied = [fact for one in reworded[:1] for fact in one.implied]
    return BreastTexts(told.texts, [text for one in reworded for text in one.texts], facts, implied)


_SOURCES: Mapping[Texts, TextSource] = {
    Texts.REPORTS: report_texts,
    Texts.LABELS: label_texts,
    Texts.BOTH: report_and_label_texts,
}


def text_source(name: str) -> TextSource:
    """The source of a name.

    Raises:
        ValueError: a name that :class:`Texts` does not have.
    """
    return _SOURCES[look_up_option(name, Texts)]
