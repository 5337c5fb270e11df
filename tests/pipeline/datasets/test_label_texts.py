"""Texts written from labels: what is labelled is told, what was looked for is denied, and nothing else is said."""

import numpy as np
import pytest
from mammo.pipeline.datasets.label_texts import label_texts, report_and_label_texts, text_source
from mammo.pipeline.text import sentences, split_sentences

MASS = {"type": "mass", "shapes": ["OVAL"], "margins": ["SPICULATED"], "box": [0.0, 0.0, 9.0, 9.0]}
SPECKS = {"type": "calcification", "calcification_types": ["PUNCTATE"], "distributions": ["CLUSTERED"]}
SOUGHT = ["mass", "calcification"]


def image(**known):
    return {"image_id": "i", "dataset": "d", "patient_id": "p", "laterality": "L", "view": "CC", **known}


def generator(seed=0):
    return np.random.default_rng(seed)


def test_a_finding_is_told_and_what_was_looked_for_besides_is_denied():
    (text,) = label_texts([image(findings=[MASS], looked_for=SOUGHT)]).texts
    told, denied = text.removesuffix(".").split(". ")
    assert "oval mass with spiculated margins" in told
    assert f"{denied}." in set(sentences("calcification", present=False))


def test_nothing_is_denied_that_nobody_looked_for():
    (text,) = label_texts([image(findings=[MASS])]).texts
    assert "calcification" not in text
    assert label_texts([image(findings=[])]).texts == []
    assert label_texts([image(density="D")]).texts == []


def test_a_breast_has_what_either_view_has_and_a_lesion_seen_twice_is_told_once():
    seen_twice = [image(findings=[MASS | {"box": [k, k, 5.0, 5.0]}], looked_for=SOUGHT) for k in (1.0, 2.0)]
    assert label_texts(seen_twice).texts == label_texts(seen_twice[:1]).texts
    both = [image(findings=[MASS], looked_for=SOUGHT), image(findings=[SPECKS], looked_for=SOUGHT)]
    (text,) = label_texts(both).texts
    assert "oval mass" in text
    assert "grouped punctate calcifications" in text
    assert "no " not in text.lower()


def test_words_are_drawn_anew_but_the_same_for_the_same_generator():
    records = [image(findings=[], looked_for=SOUGHT)]
    drawn = [label_texts(records, generator(seed)) for seed in range(20)]
    assert len({one.texts[0] for one in drawn}) > 10
    assert all(len(one.texts) == len(one.augmented) == 1 for one in drawn)
    assert drawn[3] == label_texts(records, generator(3))
    words = {name: set(sentences(name, present=False)) for name in SOUGHT}
    for one in drawn:
        first, second = (f"{part}." for part in one.texts[0].removesuffix(".").split(". "))
        assert {first in words["mass"], second in words["mass"]} == {True, False}
        assert {first in words["calcification"], second in words["calcification"]} == {True, False}


def test_sentences_that_differ_in_words_alone_say_the_same():
    records = [image(findings=[{"type": "mass"}], looked_for=SOUGHT)]
    said = {frozenset(label_texts(records, generator(seed)).facts.values()) for seed in range(20)}
    ((told, denied),) = (sorted(one) for one in said)
    assert denied == "no calcification"
    assert told not in label_texts([image(findings=[SPECKS], looked_for=SOUGHT)]).facts.values()
    told_again = report_and_label_texts([records[0] | {"report": "Some words."}], generator())
    assert set(told_again.facts.values()) == {told, denied}
    assert set(split_sentences(told_again.augmented[0])) <= told_again.facts.keys()


def test_half_of_the_details_are_told_and_all_of_them_imply_each_half():
    told, plain = image(findings=[MASS | {"assessment": 4}]), image(findings=[{"type": "mass"}])
    other = image(findings=[MASS | {"shapes": ["ROUND"], "margins": ["OBSCURED"]}])
    drawn = [label_texts([told], generator(seed)) for seed in range(60)]
    facts = {fact for one in drawn for fact in one.facts.values()}
    assert len(facts) == 8  # with or without suspicion, shape and margins
    assert {tuple(one.implied) for one in drawn} == {tuple(sorted(facts))}
    assert facts & set(label_texts([other]).implied) == set(label_texts([plain]).implied)
    assert len(label_texts([plain]).implied) == 1
    (whole,) = label_texts([told]).facts.values()
    assert "oval" in whole
    assert "spiculated" in whole


def test_types_without_words_are_passed_over():
    assert label_texts([image(findings=[{"type": "other"}], looked_for=["other"])]).texts == []
    assert label_texts([image(findings=[{"subtlety": 3}])]).texts == []


def test_labels_reword_reports_that_have_no_rewording_and_serve_where_there_is_no_report():
    labelled = {"findings": [MASS], "looked_for": SOUGHT}
    told = report_and_label_texts([image(report="One. Two.", **labelled)], generator())
    assert told.texts == ["One. Two."]
    assert "mass" in told.augmented[0]
    parts = report_and_label_texts([image(texts=["One.", "Two."], **labelled)], generator())
    assert [len(parts.texts), len(parts.augmented)] == [2, 2]
    own = report_and_label_texts([image(texts=["One."], augmented_texts=["First."], **labelled)], generator())
    assert own.augmented == ["First."]
    assert report_and_label_texts([image(report="One.")], generator()).augmented == []
    assert report_and_label_texts([image(**labelled)], generator(4)) == label_texts([image(**labelled)], generator(4))


def test_a_source_has_a_name():
    assert text_source("labels") is label_texts
    with pytest.raises(ValueError, match="reports"):
        text_source("label")
