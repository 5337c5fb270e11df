"""Drawing two texts: which they may be, and that sentences really are sampled and shuffled."""

from collections import Counter

import numpy as np
import pytest
from mammo.pipeline.text import draw_sentence, draw_texts, split_sentences

FINDINGS = "one is seen. two is seen. three is seen. four is seen."
IMPRESSION = "benign. follow up."
BACK = ("one was seen. two was seen. three was seen. four was seen.", "harmless. come again.")


def draws(texts, augmented=None, count=400, **options):
    rng = np.random.default_rng(0)
    return [draw_texts(texts, augmented, rng=rng, **options) for _ in range(count)]


def test_two_texts_are_drawn_with_replacement_and_each_may_be_its_back_translation():
    pairs = Counter(draws((FINDINGS, IMPRESSION), BACK, count=4000, shuffle=False))
    assert set(pairs) == {(a, b) for a in (FINDINGS, IMPRESSION, *BACK) for b in (FINDINGS, IMPRESSION, *BACK)}
    # Sixteen pairs of 250 each by the law; the standard deviation is 15.
    assert max(abs(count - 250) for count in pairs.values()) < 75


def test_a_single_text_is_paired_with_its_back_translation_in_random_order():
    pairs = Counter(draws((FINDINGS,), BACK[:1], shuffle=False))
    assert set(pairs) == {(FINDINGS, BACK[0]), (BACK[0], FINDINGS)}
    assert min(pairs.values()) > 150


def test_a_single_text_without_back_translation_is_paired_with_itself():
    assert set(draws((FINDINGS,), shuffle=False)) == {(FINDINGS, FINDINGS)}


def test_shuffling_reaches_every_order_of_the_sentences_and_keeps_them_all():
    orders = Counter(first for first, _ in draws((FINDINGS,), count=1000))
    assert len(orders) == 24
    assert all(sorted(split_sentences(text)) == sorted(split_sentences(FINDINGS)) for text in orders)


def test_the_two_texts_are_shuffled_independently():
    pairs = draws((FINDINGS,))
    assert sum(first == second for first, second in pairs) < 40  # 400 / 24 = 17 by chance


@pytest.mark.parametrize(("share", "kept"), [(1.0, 4), (0.75, 3), (0.5, 2), (0.3, 2), (0.01, 1)])
def test_sampling_keeps_its_share_of_the_sentences_rounded_up(share, kept):
    chosen = Counter(s for first, _ in draws((FINDINGS,), sentence_sampling=share) for s in split_sentences(first))
    assert set(chosen) == set(split_sentences(FINDINGS))
    assert sum(chosen.values()) == kept * 400


def test_a_share_that_floats_miss_by_a_little_is_not_rounded_up():
    text = " ".join(f"sentence {n} is said." for n in range(25))
    assert {len(split_sentences(first)) for first, _ in draws((text,), count=3, sentence_sampling=0.28)} == {7}


def test_without_shuffling_sampled_sentences_keep_their_order():
    order = split_sentences(FINDINGS)
    for first, _ in draws((FINDINGS,), sentence_sampling=0.5, shuffle=False):
        places = [order.index(sentence) for sentence in split_sentences(first)]
        assert places == sorted(places)


def test_without_a_generator_the_texts_are_whole_and_always_the_same():
    assert draw_texts((FINDINGS, IMPRESSION), BACK, sentence_sampling=0.5) == (FINDINGS, IMPRESSION)
    assert draw_texts((FINDINGS,), BACK[:1]) == (FINDINGS, BACK[0])
    assert draw_texts((FINDINGS,)) == (FINDINGS, FINDINGS)


def test_equal_seeds_draw_alike():
    assert draws((FINDINGS, IMPRESSION), BACK, count=20) == draws((FINDINGS, IMPRESSION), BACK, count=20)


def test_one_sentence_of_all_is_drawn_evenly():
    rng = np.random.default_rng(0)
    drawn = Counter(draw_sentence((FINDINGS, IMPRESSION), rng=rng) for _ in range(1200))
    assert set(drawn) == {*split_sentences(FINDINGS), *split_sentences(IMPRESSION)}
    assert min(drawn.values()) > 140
    assert draw_sentence((FINDINGS, IMPRESSION)) == "one is seen."


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (((),), {}, "at least one text"),
        ((("no mass.", " "),), {}, "none may be empty"),
        ((("no mass.",), ("",)), {}, "none may be empty"),
        ((("no mass.",), BACK), {}, "1 texts have 2 back-translations"),
        ((("no mass.",),), {"sentence_sampling": 0}, "share above 0"),
        ((("no mass.",),), {"sentence_sampling": 1.5}, "share above 0"),
    ],
)
def test_errors_name_the_way_out(arguments, options, words):
    with pytest.raises(ValueError, match=words):
        draw_texts(*arguments, **options)
    with pytest.raises(ValueError, match="at least one sentence"):
        draw_sentence(("", "  "))
