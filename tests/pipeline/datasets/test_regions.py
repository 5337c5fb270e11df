import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mammo.pipeline.datasets.regions import (
    finding_box,
    inside_shares,
    overlap_shares,
    sample_squares,
    seeded,
    square_boxes,
)
from mammo.transforms.segmentation import MaskQuality, Segmentation
from skimage.draw import disk, polygon2mask

edges = st.floats(-50, 200, allow_nan=False)
sides = st.floats(0.5, 90, allow_nan=False)


def breast(mask: np.ndarray, factor: int = 1) -> Segmentation:
    return Segmentation(mask.astype(np.uint8), factor, MaskQuality.OK, "left")


def test_box_of_a_polygon_holds_exactly_its_pixels():
    points = [[3, 10], [12, 4], [9, 20]]
    row0, col0, row1, col1 = finding_box({"polygon": points})
    rows, columns = np.nonzero(polygon2mask((30, 30), np.array(points)))
    assert (row0, col0, row1, col1) == (3, 4, 13, 21)
    assert rows.min() >= row0
    assert rows.max() < row1
    assert columns.min() >= col0
    assert columns.max() < col1


def test_box_of_a_circle_is_that_of_its_disk():
    rows, columns = disk((20, 30), 7.001)  # its four outermost pixels belong to it
    assert finding_box({"circle": [20, 30, 7]}) == [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]


def test_told_box_comes_before_an_outline():
    assert finding_box({"box": [1, 2, 3, 4], "circle": [9, 9, 2]}) == [1, 2, 3, 4]


def test_finding_without_a_place_has_no_box():
    assert finding_box({"type": "mass", "roi_mask": "mask.png"}) is None


def test_square_has_the_longer_side_and_the_centre_of_the_box():
    # 20 x 10 around (20, 35); odd 3 x 2 around (1.5, 1)
    assert square_boxes([[10, 30, 30, 40], [0, 0, 3, 2]]).tolist() == [[10, 25, 30, 45], [0, -1, 3, 2]]


def test_margin_is_a_share_of_the_longer_side():
    assert square_boxes([[10, 30, 30, 40]], margin=0.5).tolist() == [[5, 20, 35, 50]]
    assert square_boxes([[0, 0, 10, 10]], margin=0.1).tolist() == [[-1, -1, 10, 10]]  # 11, not 12


def test_small_finding_gets_the_least_side():
    assert square_boxes([[10, 10, 12, 12]], min_side_px=32).tolist() == [[-5, -5, 27, 27]]


@given(top=edges, left=edges, height=sides, width=sides, margin=st.floats(0, 3), least=st.integers(1, 64))
def test_square_is_whole_holds_the_box_and_is_no_larger_than_needed(top, left, height, width, margin, least):
    (row0, col0, row1, col1) = square_boxes([[top, left, top + height, left + width]], margin, least)[0]
    assert row1 - row0 == col1 - col0 == int(row1 - row0)
    assert row0 <= math.floor(top)
    assert col0 <= math.floor(left)
    assert row1 >= math.ceil(top + height)
    assert col1 >= math.ceil(left + width)
    assert row1 - row0 <= max(least, (max(height, width) + 2) * (1 + margin) + 1)
    assert abs((row0 + row1) / 2 - (top + top + height) / 2) <= 1.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([[0, 0, 4, 4]], -0.1), "margin=-0.1"),
        (([[0, 0, 4, 4]], 0.0, 0), "min_side_px=0"),
        (([[0, 0, 4, 4], [5, 5, 5, 9]],), r"\[5.0, 5.0, 5.0, 9.0\] is empty"),
    ],
)
def test_bad_square_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        square_boxes(*arguments)


def test_overlap_is_the_larger_of_the_two_shares():
    boxes = [[0, 0, 10, 10], [0, 0, 2, 2], [50, 50, 60, 60]]
    others = [[5, 5, 25, 25], [0, 0, 10, 10]]
    # 25 shared pixels of 100 and 400; a box of 4 pixels inside one of 100
    assert overlap_shares(boxes, others).tolist() == [[0.25, 1], [0, 1], [0, 0]]


def test_overlap_with_nothing_has_no_columns():
    assert overlap_shares([[0, 0, 2, 2]], []).shape == (1, 0)


@pytest.mark.parametrize("factor", [1, 4])
def test_share_of_breast_is_that_of_the_pixels(factor):
    small = np.random.default_rng(0).random((12, 9)) > 0.4
    full = np.kron(small, np.ones((factor, factor)))
    rng = np.random.default_rng(1)
    start = rng.integers(0, 7 * factor, (40, 2))
    boxes = np.hstack([start, start + rng.integers(1, 2 * factor + 1, (40, 2))])
    expected = [full[r0:r1, c0:c1].mean() for r0, c0, r1, c1 in boxes]
    np.testing.assert_allclose(inside_shares(boxes, breast(small, factor)), expected, atol=1e-9)


def test_what_lies_beyond_the_image_is_not_breast():
    shares = inside_shares([[-5, 0, 5, 10], [0, 0, 10, 10], [20, 20, 30, 30]], breast(np.ones((10, 10))))
    assert shares == pytest.approx([0.5, 1, 0])


def test_drawn_squares_keep_all_bounds():
    mask = np.zeros((50, 40))
    mask[5:45, :25] = 1
    avoid = np.array([[60, 20, 110, 70], [20, 80, 40, 100]])
    boxes = sample_squares(
        [12, 30], breast(mask, 4), (203, 161), 40, seeded(0), min_breast_share=0.75, avoid=avoid, max_overlap=0.35
    )
    assert len(boxes) == 40
    assert set(boxes[:, 2] - boxes[:, 0]) == {12, 30}
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [203, 161]).all()
    assert overlap_shares(boxes, avoid).max() <= 0.35
    assert inside_shares(boxes, breast(mask, 4)).min() >= 0.75


def test_patch_that_does_not_fit_is_not_drawn():
    whole = breast(np.ones((20, 20)))
    assert len(sample_squares([21], whole, (20, 20), 5, seeded(0), min_breast_share=0)) == 0
    assert sample_squares([20], whole, (20, 20), 1, seeded(0), min_breast_share=1).tolist() == [[0, 0, 20, 20]]
    fits_not = sample_squares(
        [15], whole, (20, 20), 5, seeded(0), min_breast_share=0, avoid=[[0, 0, 20, 20]], max_overlap=0.5
    )
    assert len(fits_not) == 0


def test_each_image_draws_for_itself():
    draws = [seeded(seed, "cbis_ddsm", name).random() for seed, name in ((0, "a"), (0, "b"), (1, "a"), (0, "a"))]
    assert len(set(draws)) == 3
    assert draws[0] == draws[3]
