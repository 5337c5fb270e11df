"""Recall of reports by images and back: by hand, by a plain loop, and its chance."""

import numpy as np
import pytest
from mammo.pipeline.metrics.retrieval import retrieval


def unit(rng, *shape):
    vectors = rng.normal(size=shape)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_a_case_by_hand():
    texts = np.eye(3)
    images = np.array([[1, 0, 0], [0.6, 0.8, 0], [0.6, 0, 0.8], [0, 0.8, 0.6]])
    found = retrieval(images, texts, [0, 0, 2, 1], ["a", "a", "b", "c"], at=(1, 2), draws=10)
    assert found["image_to_text"]["recall_at_1"]["value"] == 3 / 4  # the second image is nearer to report 1
    assert found["image_to_text"]["recall_at_2"]["value"] == 1
    # Report 1 is as near to the second image as to its own: a tie counts against it.
    assert found["text_to_image"]["recall_at_1"]["value"] == 2 / 3
    assert found["text_to_image"]["mean_reciprocal_rank"]["value"] == pytest.approx((1 + 1 / 2 + 1) / 3)


@pytest.mark.parametrize("k", [1, 3])
def test_it_is_a_plain_loop(k):
    rng = np.random.default_rng(0)
    report = np.r_[np.arange(7), rng.integers(7, size=13)]
    images, texts = unit(rng, 20, 5), unit(rng, 7, 5)
    found = retrieval(images, texts, report, np.arange(20) // 2, at=(k,), draws=20)
    nearest = np.argsort(-(images @ texts.T), axis=1)[:, :k]
    assert found["image_to_text"][f"recall_at_{k}"]["value"] == np.mean([report[i] in nearest[i] for i in range(20)])
    nearest = np.argsort(-(texts @ images.T), axis=1)[:, :k]
    hits = [any(report[i] == m for i in nearest[m]) for m in range(7)]
    assert found["text_to_image"][f"recall_at_{k}"]["value"] == np.mean(hits)


def test_chance_is_what_random_vectors_reach():
    rng = np.random.default_rng(0)
    report = np.r_[np.arange(8), rng.integers(8, size=22)]
    runs = [retrieval(unit(rng, 30, 4), unit(rng, 8, 4), report, np.arange(30), at=(2,), draws=2) for _ in range(400)]
    for way in ("image_to_text", "text_to_image"):
        reached = np.mean([run[way]["recall_at_2"]["value"] for run in runs])
        assert reached == pytest.approx(runs[0][way]["chance"]["recall_at_2"], abs=0.02)
    assert runs[0]["image_to_text"]["chance"]["recall_at_2"] == 2 / 8


def test_who_looks_at_no_image_gives_the_commonest_reports():
    rng, report = np.random.default_rng(0), [0, 1, 1, 1, 2, 2, 3]
    found = retrieval(unit(rng, 7, 4), unit(rng, 4, 4), report, np.arange(7), at=(1, 2, 9), draws=2)
    assert found["image_to_text"]["blind"] == {"recall_at_1": 3 / 7, "recall_at_2": 5 / 7, "recall_at_9": 1}


def test_reports_without_an_image_and_other_shapes_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="every one of 3 reports needs an image"):
        retrieval(unit(rng, 4, 2), unit(rng, 3, 2), [0, 0, 1, 1], list("abcd"))
    with pytest.raises(ValueError, match="expected images"):
        retrieval(unit(rng, 4, 2), unit(rng, 2, 3), [0, 0, 1, 1], list("abcd"))


def test_recall_stands_against_its_chance_and_ranks_have_a_median():
    rng = np.random.default_rng(1)
    report = np.r_[np.arange(9), rng.integers(9, size=12)]
    images, texts = unit(rng, 21, 5), unit(rng, 9, 5)
    found = retrieval(images, texts, report, np.arange(21) // 3, at=(5,), draws=50)
    scores = images @ texts.T
    ranks = {
        "image_to_text": [1 + np.sum(row > row[mine]) for row, mine in zip(scores, report, strict=True)],
        "text_to_image": [
            1 + np.sum(row[report != text] > row[report == text].max()) for text, row in enumerate(scores.T)
        ],
    }
    for way, expected in ranks.items():
        assert found[way]["median_rank"]["value"] == np.median(expected)
        recall, chance = found[way]["recall_at_5"]["value"], found[way]["chance"]["recall_at_5"]
        assert found[way]["times_chance_at_5"]["value"] == pytest.approx(recall / chance)
    # Every image has one report: the chance is the same in every draw, and the interval scales with it.
    told, chance = found["image_to_text"], found["image_to_text"]["chance"]["recall_at_5"]
    for end in ("low", "high"):
        assert told["times_chance_at_5"][end] == pytest.approx(told["recall_at_5"][end] / chance)


def test_the_median_rank_by_chance_is_that_of_shuffled_orders():
    rng = np.random.default_rng(2)
    report = np.r_[np.arange(10), np.zeros(15, int)]
    chance = retrieval(unit(rng, 25, 3), unit(rng, 10, 3), report, np.arange(25), at=(1,), draws=2)
    of = {"image_to_text": (np.ones(25, int), 10), "text_to_image": (np.bincount(report), 25)}
    for way, (hits, searched) in of.items():
        drawn = [min(rng.permutation(searched)[:n]) + 1 for _ in range(4000) for n in hits]
        below = np.mean(np.array(drawn) < chance[way]["chance"]["median_rank"])
        up_to = np.mean(np.array(drawn) <= chance[way]["chance"]["median_rank"])
        assert below - 0.01 < 0.5 < up_to + 0.01
