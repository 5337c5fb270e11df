"""What the texts of a batch say, as ids that a loss compares."""

from mammo.networks.losses.image_text import NOTHING
from mammo.pipeline.image_text.batches import statement_ids

BATCH = {
    "texts": [["No mass is seen. The breast is dense."], ["Negative for mass."]],
    "augmented_texts": [[], ["No mass. No cyst."]],
    "facts": [{"No mass is seen.": "no mass"}, {"Negative for mass.": "no mass", "No mass.": "no mass"}],
    "implied": [[], ["nothing round"]],
}


def ids_of(firsts, others):
    """Sets of ids, one for each text and report."""
    stacked = statement_ids(firsts, others, BATCH)
    assert stacked.shape[:2] == (2, 3)
    return [[set(ids) - {NOTHING} for ids in breast] for breast in stacked.tolist()]


def test_sentences_in_another_order_or_in_other_words_say_the_same():
    (first, other, report), (second, _, second_report) = ids_of(
        ["No mass is seen. The breast is dense.", "Negative for mass."],
        ["The  breast is DENSE. No mass is seen.", "No mass. No cyst."],
    )
    assert first == other == report
    assert len(report) == 2
    assert len(second_report) == 3
    assert second < report
    assert second < second_report


def test_a_sentence_that_nobody_explained_says_itself():
    (first, other, _), (_, _, second_report) = ids_of(["The breast is dense.", "No cyst."], ["No cyst.", "No mass."])
    assert len(first) == len(other) == 1
    assert not first & second_report
    assert other < second_report
