"""Which images and texts make a pair, and which reports are equal."""

import pytest
from mammo.pipeline.retrieval.pairs import distinct_reports, pair_reports


def record(name, patient="P1", side="L", view="CC", report="No mass.", **known):
    return (
        {"image_id": name, "dataset": "tiny", "patient_id": patient, "laterality": side, "view": view}
        | ({"report": report} if report else {})
        | known
    )


def test_a_breast_has_its_views_and_the_texts_of_both_once():
    mass = {"findings": [{"type": "mass"}]}
    records = [
        record("a", report="A mass.", **mass),
        record("b", view="MLO", texts=["A mass.", "Biopsy."], findings=[]),
        record("c", side="R", looked_for=["mass"]),
    ]
    pairs, left = pair_reports(records)
    assert [(p.places, p.texts, p.group) for p in pairs] == [
        ([0, 1], ["A mass.", "Biopsy."], "mass, left"),
        ([2], ["No mass."], "no finding, right"),
    ]
    assert (pairs[0].patient, pairs[0].report, left) == ("tiny/P1", "A mass. Biopsy.", {})


def test_what_has_no_report_or_no_breast_is_counted_out():
    records = [record("a"), record("b", side="R", report=""), record("c", view="ML"), record("d", side="R", report="")]
    pairs, left = pair_reports(records)
    assert [p.places for p in pairs] == [[0]]
    assert left == {"no side, or another view than CC and MLO": 1, "no report": 2}
    single, left = pair_reports(records, "image")
    assert [p.places for p in single] == [[0], [2]]
    assert left == {"no report": 2}
    assert single[0].group == "finding not told, left"


def test_equal_words_are_one_report_whatever_case_and_spaces():
    told = ["Mass  of 5 mm.", "no mass.", "mass of 5 mm.", "Mass of 6 mm."]
    pairs, _ = pair_reports([record(str(k), patient=f"P{k}", report=text) for k, text in enumerate(told)])
    reports, of = distinct_reports(pairs)
    assert of[0] == of[2]
    assert len(set(of)) == len(reports) == 3
    assert all(reports[number].report.lower().split() == told[k].lower().split() for k, number in enumerate(of))


def test_nothing_with_a_report_and_an_unknown_level_are_refused():
    with pytest.raises(ValueError, match="none of 1 images has a report"):
        pair_reports([record("a", report="")])
    with pytest.raises(ValueError, match="breast"):
        pair_reports([record("a")], "patient")
