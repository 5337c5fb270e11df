"""Cleaning: sections found, sentences kept apart, plain characters, and the published form."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mammo.pipeline.text import Report, clean_report, clean_text, split_report, split_sentences

REPORT = """BILATERAL MAMMOGRAM
HISTORY: Screening. Findings were normal before.
Findings: 1. A 2.5 cm mass in the RIGHT breast.
2. No calcifications. Significant findings: none.
IMPRESSION: BI-RADS 4. Suspicious mass.
RECOMMENDATION: Biopsy."""


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan, np.float64("nan"), pd.NA, "", "  \n"])
@pytest.mark.parametrize("periods", [True, False])
def test_missing_text_is_empty(missing, periods):
    assert clean_text(missing, periods=periods) == ""
    assert clean_report(missing, missing, periods=periods).texts == ()
    assert split_report(missing) == Report("", "")


def test_what_is_not_text_is_refused():
    with pytest.raises(ValueError, match=r"must be text or missing, got float 2\.5"):
        clean_text(2.5)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("No mass.", "no mass."),
        ("A 2.5 cm mass\nat 10:00.  Stable", "a 2.5 cm mass at 10:00. stable."),
        ("1. Oval mass.\n2. No calcification.", "oval mass. no calcification."),
        ("BI-RADS 2. No mass.", "birads 2. no mass."),
        ("Bi-Rads: 4. Bi RADS 0", "birads: 4. birads 0."),
        ("Seen by Dr. Lee. Benign.", "seen by dr. lee. benign."),
        ("Bénin \u2013 \u201cmass\u201d 3\u00d74 mm", 'benin - "mass" 3x4 mm.'),
        ("masse 良性 . ... Any mass?", "masse . any mass?"),
    ],
)
def test_sentences_keep_their_marks_and_numbers(raw, clean):
    assert clean_text(raw) == clean


def test_published_form_has_no_periods_and_no_short_sentences():
    raw = "A 2.5 cm mass, seen. No mass. BI-RADS 2 category: bénigne.\nNothing else is seen."
    assert clean_text(raw, periods=False) == "a 2 5 cm mass , seen birads 2 category : bnigne nothing else is seen"


def test_sections_are_found_by_their_headings():
    report = split_report(REPORT)
    assert report.findings.startswith("1. A 2.5 cm mass")
    assert report.findings.endswith("Significant findings: none.")
    assert report.impression == "BI-RADS 4. Suspicious mass."


def test_repeated_sections_are_joined_and_a_text_without_headings_is_findings():
    twice = "FINDINGS: Right: mass. FINDINGS: Left: normal. CONCLUSION: biopsy"
    assert split_report(twice) == Report("Right: mass.\nLeft: normal.", "biopsy")
    assert split_report("An oval mass.") == Report("An oval mass.", "")
    assert split_report("An oval mass.\nHISTORY: pain") == Report("An oval mass.", "")


def test_equal_sections_are_one_text():
    assert clean_report("No mass.", "NO MASS").texts == ("no mass.",)
    assert clean_report("No mass.", "Benign.").texts == ("no mass.", "benign.")


@settings(deadline=None, max_examples=100)
@given(st.text(alphabet=st.sampled_from("aB é.!?1\n -\u2013:;良"), max_size=40))
def test_clean_text_is_plain_and_stays_as_it_is_when_cleaned_again(raw):
    text = clean_text(raw)
    assert text.isascii()
    assert text == text.lower() == " ".join(text.split())
    assert " ".join(split_sentences(text)) == text
    assert not text or text[-1] in ".!?"


def test_abbreviations_and_decimals_end_no_sentence():
    text = "Seen by Dr. Lee. A 2.5 cm mass, e.g. a cyst! Old vs. new?  Benign"
    assert split_sentences(text) == ["Seen by Dr. Lee.", "A 2.5 cm mass, e.g. a cyst!", "Old vs. new?", "Benign"]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(["no mass.", "a 2.5 cm mass is seen.", "any change?", "birads 2."]), max_size=6))
def test_sentences_come_apart_as_they_were_joined(parts):
    assert split_sentences(" ".join(parts)) == parts
    assert clean_text(" ".join(parts)) == " ".join(parts)
