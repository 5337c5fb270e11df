"""What the matrix averages, which queries are shown and which words are marked."""

import io

import numpy as np
from mammo.pipeline.retrieval import image_sheet, report_sheet, similarity_figure
from mammo.pipeline.retrieval.matrix import group_means
from mammo.pipeline.retrieval.sheets import HIT, taking_turns, telling_words
from PIL import Image

GREEN = np.array([int(HIT[k : k + 2], 16) for k in (1, 3, 5)])


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int)


def green(png: bytes) -> int:
    return int((np.abs(pixels(png) - GREEN).max(axis=-1) < 8).sum())


def test_groups_are_averaged_by_hand():
    means, rows, columns = group_means([[1, 2, 6], [3, 4, 8]], ["b", "a"], ["x", "x", "w"])
    assert (rows, columns) == (["a", "b"], ["w", "x"])
    np.testing.assert_allclose(means, [[8, 3.5], [6, 1.5]])


def test_the_matrix_is_the_same_for_the_same_pairs_in_another_order():
    rng = np.random.default_rng(0)
    cosines, report = rng.uniform(-1, 1, (6, 4)), np.array([0, 1, 2, 3, 0, 2])
    columns = ["a", "a", "b", "b"]
    rows = [columns[k] for k in report]
    # Pairs with the same report keep their order: each group is moved as a whole.
    order = np.array([2, 5, 3, 0, 4, 1])
    first = similarity_figure(cosines, rows, columns, report)
    again = similarity_figure(cosines[order], [rows[k] for k in order], columns, report[order])
    np.testing.assert_array_equal(pixels(first), pixels(again))
    other = similarity_figure(cosines[::-1], rows, columns, report)
    assert (pixels(first) != pixels(other)).any()


def test_groups_take_turns():
    assert taking_turns(["b", "b", "a", "b", "a"]) == [2, 0, 4, 1, 3]


def test_words_that_most_reports_have_tell_nothing():
    told = telling_words(["The breast is dense.", "The breast is fatty.", "A mass, dense."])
    assert told == {"dense", "fatty", "a", "mass"} - {"dense"}


def test_only_a_hit_and_shared_words_are_green():
    image = np.full((20, 10), 0.5, np.float32)
    assert green(report_sheet("No mass.", [(image, "cosine 0.1", False)])) == 0
    assert green(report_sheet("No mass.", [(image, "cosine 0.1", True)])) > 100
    found = [("A round mass.", "cosine 0.1", False)]
    assert green(image_sheet(image, "Fatty.", found, {"round", "mass"})) == 0
    assert green(image_sheet(image, "A mass.", found, {"round", "mass"})) > 20
