"""Report synthesis: what is denied is never asserted, what is known is told, and nothing depends on chance unasked."""

import re
from functools import cache

import numpy as np
import pytest
from mammo.pipeline.datasets.schema import FINDING_TYPES
from mammo.pipeline.text import FINDINGS, NO_FINDING, absent_types, bank_size, sentences, synthesise
from mammo.pipeline.text.vocabulary import POSITIONS

NEGATION = re.compile(r"^(No|There (is|are) no|Negative for)\b")
LOBULATED = {"type": "mass", "shapes": ["LOBULATED"], "margins": ["ILL_DEFINED", "SPICULATED"]}
BRANCHING = {
    "type": "calcification",
    "calcification_types": ["PLEOMORPHIC", "FINE_LINEAR_BRANCHING"],
    "distributions": ["CLUSTERED"],
    "position": "upper outer",
    "depth": "posterior",
}


@cache
def bank(name: str, present: bool, laterality: str | None) -> tuple[str, ...]:
    return tuple(sentences(name, present=present, laterality=laterality))


def lines(text: str) -> list[str]:
    return re.findall(r"[^.]+\.", text)


def test_findings_are_ten_types_of_the_schema():
    assert len(FINDINGS) == 10
    assert set(FINDINGS) < set(FINDING_TYPES)


def test_no_sentence_of_the_whole_bank_is_both_told_and_denied():
    told = {line for name in FINDINGS for line in bank(name, True, None)}
    denied = {line for name in (*FINDINGS, NO_FINDING) for line in bank(name, False, None)}
    assert not told & denied
    assert all(NEGATION.match(line) for line in denied)
    assert not re.search(r"\b(no|not|without|negative)\b", "".join(told), re.IGNORECASE)


def test_a_denial_is_one_clause_that_asserts_nothing_beside():
    for name in (*FINDINGS, NO_FINDING):
        for line in sentences(name, present=False, laterality="R"):
            assert not re.search(r"[,;]|\b(but|benign|stable|unchanged|vascular|scattered|with)\b", line), line


@pytest.mark.parametrize("name", FINDINGS)
@pytest.mark.parametrize("present", [True, False])
def test_bank_size_counts_the_distinct_sentences(name, present):
    assert len(set(bank(name, present, None))) == bank_size(name, present=present) > 15


def test_banks_of_the_sides_mirror_each_other_and_name_no_other_side():
    for name in FINDINGS:
        left = [line.replace("left", "right") for line in sentences(name, present=False, laterality="L")]
        assert left == list(sentences(name, present=False, laterality="R"))
        assert not re.search(r"left|right", " ".join(sentences(name, present=False)))


def test_drawn_sentences_are_of_the_bank():
    rng = np.random.default_rng(1)
    possible = set(bank("mass", True, None))
    drawn = {synthesise(["mass"], rng=rng) for _ in range(300)}
    assert drawn <= possible
    assert len(drawn) > 200


def test_every_finding_and_every_negative_has_its_sentence():
    rng = np.random.default_rng(2)
    for _ in range(20):
        text = synthesise([LOBULATED, BRANCHING], absent_types([LOBULATED, BRANCHING]), laterality="L", rng=rng)
        negated = [line for line in lines(text) if NEGATION.match(line.strip())]
        assert (len(negated), len(lines(text))) == (8, 10)


def test_known_details_are_told_in_the_lexicons_words():
    text = synthesise([LOBULATED, BRANCHING], laterality="L", details="known")
    assert text == (
        "There is a lobulated mass with indistinct and spiculated margins in the left breast. There are grouped "
        "pleomorphic and fine-linear branching calcifications in the upper outer quadrant of the left breast at "
        "posterior depth."
    )


@pytest.mark.parametrize("seed", range(30))
def test_known_details_are_kept_when_the_rest_is_drawn(seed):
    text = synthesise([BRANCHING], rng=np.random.default_rng(seed)).lower()
    assert "grouped pleomorphic and fine-linear branching calcifications" in text
    assert text.endswith("in the upper outer quadrant of the breast at posterior depth.")


def test_nothing_is_invented_where_only_what_is_known_is_told():
    for seed in range(40):
        text = synthesise(["mass"], laterality="L", details="known", rng=np.random.default_rng(seed))
        assert re.sub(r"there is|is|seen|present|a mass|in the left breast", "", text.lower()).strip(" .") == ""


@pytest.mark.parametrize(("assessment", "suspicious"), [(2, False), (3, False), (4, True), (5, True)])
def test_only_what_was_judged_so_is_called_suspicious(assessment, suspicious):
    finding = {"type": "mass", "assessment": assessment}
    texts = [synthesise([finding], rng=np.random.default_rng(seed)) for seed in range(30)]
    assert any("suspicious" in text for text in texts) is suspicious


@pytest.mark.parametrize("seed", range(10))
def test_without_a_generator_the_order_of_the_negatives_does_not_matter(seed):
    negatives = [name for name in FINDINGS if name not in ("mass", "asymmetry")]
    shuffled = list(np.random.default_rng(seed).permutation(negatives))
    texts = [synthesise(["mass", "asymmetry"], each, laterality="L", density="B") for each in (negatives, shuffled)]
    assert texts[0] == texts[1]
    assert texts[0].startswith(
        "The left breast is composed of scattered areas of fibroglandular density. There is a mass"
    )


def test_a_generator_draws_the_order_of_the_sentences_behind_the_density():
    texts = [synthesise(["mass"], ["asymmetry"], density="D", rng=np.random.default_rng(seed)) for seed in range(20)]
    told_first = {bool(NEGATION.match(lines(text)[1].strip())) for text in texts}
    assert told_first == {True, False}
    assert all(text.startswith("The breast is extremely dense") for text in texts)


def test_one_generator_gives_one_report_and_another_another():
    texts = [synthesise([], FINDINGS, rng=np.random.default_rng(seed)) for seed in (5, 5, 6)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("normal", [([], FINDINGS), (["no_finding"], FINDINGS)])
def test_a_normal_breast_keeps_its_denials(normal):
    text = synthesise(*normal, laterality="R")
    assert len(lines(text)) == 11
    assert lines(text)[-1].strip() == "There is no suspicious finding in the right breast."


def test_an_incomplete_list_of_negatives_does_not_make_a_breast_normal():
    assert synthesise([], FINDINGS[:9]).count(".") == 9


def test_a_focal_asymmetry_is_not_contradicted_by_the_denial_of_a_single_view_one():
    for line in sentences("asymmetry", present=False):
        assert "single" in line


def test_what_is_a_finding_among_the_shapes_is_told_and_not_denied():
    findings = [{"type": "mass", "shapes": ["ARCHITECTURAL_DISTORTION", "IRREGULAR"], "margins": ["SPICULATED"]}]
    assert set(FINDINGS) - set(absent_types(findings)) == {"mass", "architectural_distortion"}
    text = synthesise(findings, details="known")
    assert text == "There is an irregular mass with spiculated margins and with architectural distortion in the breast."
    with pytest.raises(ValueError, match="'architectural_distortion' is both there and not"):
        synthesise(findings, ["architectural_distortion"])


def test_articles_fit_their_words():
    for name in FINDINGS:
        text = "".join(bank(name, True, None))
        assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]|  ", text)


def test_every_position_can_be_asked_for():
    texts = {synthesise([{"type": "mass", "position": name}], laterality="L") for name in POSITIONS}
    assert len(texts) == len(POSITIONS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"positives": ["tumour"]}, "finding 'tumour'; leave it out"),
        ({"positives": ["other"]}, "finding 'other'; leave it out"),
        ({"positives": [], "negatives": ["cancer"]}, "finding 'cancer'"),
        ({"positives": ["mass"], "negatives": ["mass"]}, "'mass' is both there and not"),
        ({"positives": ["mass", "no_finding"]}, "'no_finding' stands beside 'mass'"),
        ({"positives": ["mass"], "laterality": "left"}, "must be 'L', 'R' or None"),
        ({"positives": ["mass"], "density": "FATTY"}, "density is 'FATTY'"),
        ({"positives": [{"type": "mass", "position": "behind"}]}, "position of the mass is 'behind'; use one of upper"),
        ({"positives": []}, "give what is known"),
    ],
)
def test_errors_name_the_value_and_the_way_out(arguments, words):
    with pytest.raises(ValueError, match=words):
        synthesise(**arguments)
