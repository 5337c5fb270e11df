"""Boxes of heat-maps on maps drawn by hand, and the quantile on planted lesions."""

import numpy as np
import pytest
import torch
from mammo.pipeline.explain.map_boxes import BoxScore, boxes_of_map, choose_quantile, enlarge_map
from skimage.measure import label, regionprops

SIZE = (20, 30)


@pytest.fixture
def two_spots() -> np.ndarray:
    """Background 0; 12 pixels of 0.5 around one of 0.8, and 2 pixels of 1."""
    heat = np.zeros(SIZE)
    heat[3:6, 4:8] = 0.5
    heat[4, 5] = 0.8
    heat[15, 20:22] = 1.0
    return heat


def test_boxes_are_half_open_and_the_hottest_is_first(two_spots):
    assert boxes_of_map(two_spots, 0.5, size=SIZE) == [(15, 20, 16, 22, 1.0), (3, 4, 6, 8, 0.8)]


def test_the_largest_sum_is_first_where_asked(two_spots):
    boxes = boxes_of_map(two_spots, 0.5, size=SIZE, largest_by="sum")
    assert [box[:4] for box in boxes] == [(3, 4, 6, 8), (15, 20, 16, 22)]
    assert [box[4] for box in boxes] == pytest.approx([6.3, 2.0])
    assert boxes_of_map(two_spots, 0.5, size=SIZE, largest_by="sum", limit=1) == boxes[:1]


def test_a_higher_quantile_takes_fewer_pixels(two_spots):
    assert boxes_of_map(two_spots, 0.997, size=SIZE) == [(15, 20, 16, 22, 1.0)]
    assert boxes_of_map(two_spots, 0.995, size=SIZE) == [(15, 20, 16, 22, 1.0), (4, 5, 5, 6, 0.8)]


def test_pixels_that_touch_at_a_corner_are_of_one_box():
    heat = np.zeros(SIZE)
    heat[2, 2] = heat[3, 3] = heat[9, 9] = 1
    assert [box[:4] for box in boxes_of_map(heat, 0.9, size=SIZE)] == [(2, 2, 4, 4), (9, 9, 10, 10)]


def test_the_quantile_is_that_of_the_breast():
    """A ramp over 10 breast columns of 100: its hottest tenth is the last of these columns, however wide the rest."""
    ramp = np.tile(np.arange(100.0), (20, 1))
    breast = np.zeros((20, 100))
    breast[:, 30:40] = 1
    assert boxes_of_map(ramp, 0.901, size=(20, 100), mask=breast) == [(0, 39, 20, 40, 39.0)]
    assert boxes_of_map(ramp, 0.901, size=(20, 100)) == [(0, 90, 20, 100, 99.0)]


def test_heat_outside_the_breast_gives_no_box(two_spots):
    breast = np.ones(SIZE)
    breast[10:] = 0
    boxes = boxes_of_map(torch.from_numpy(two_spots), 0.5, size=SIZE, mask=torch.from_numpy(breast))
    assert boxes == [(3, 4, 6, 8, 0.8)]
    assert boxes_of_map(two_spots, 0.5, size=SIZE, mask=np.zeros(SIZE)) == []


@pytest.mark.parametrize("value", [0.0, 0.1, -3.7])
@pytest.mark.parametrize("size", [SIZE, (61, 83)])
def test_a_constant_map_has_no_box(value, size):
    assert boxes_of_map(np.full(SIZE, value), 0.95, size=size) == []
    assert boxes_of_map(np.full((7, 9), value), 0.95, size=size, mask=np.ones(size)) == []


def test_boxes_of_a_random_map_are_those_of_scikit_image():
    heat = np.random.default_rng(0).random((40, 50))
    breast = np.arange(50)[None] + np.arange(40)[:, None] < 60
    cut = np.quantile(heat[breast], 0.8, method="higher")
    regions = regionprops(label(breast & (heat >= cut), connectivity=2))
    assert len(regions) > 20
    for kind, score in ((BoxScore.PEAK, np.max), (BoxScore.SUM, np.sum)):
        scored = [(*region.bbox, score(heat[tuple(region.coords.T)])) for region in regions]
        expected = sorted(scored, key=lambda box: -box[4])
        np.testing.assert_allclose(boxes_of_map(heat, 0.8, size=heat.shape, mask=breast, largest_by=kind), expected)


def test_a_map_is_enlarged_about_the_centres_of_its_places():
    row = enlarge_map([[0.0, 1.0]], (1, 8))[0]
    np.testing.assert_allclose(row, [0, 0, 1 / 8, 3 / 8, 5 / 8, 7 / 8, 1, 1])


def test_what_a_map_shows_beyond_the_image_is_cut_away():
    heat = torch.zeros(3, 2)
    heat[1, 0], heat[2, 1] = 1, 2
    whole, size = enlarge_map(heat, (12, 8), 4), (10, 7)
    np.testing.assert_array_equal(enlarge_map(heat, size, 4), whole[:10, :7])
    assert boxes_of_map(heat, 0.9, size=size, stride=4) == boxes_of_map(whole[:10, :7], 0.9, size=size)
    assert boxes_of_map(heat, 0.9, size=size, stride=4) != boxes_of_map(heat, 0.9, size=size)


def planted(sides: list[int]) -> tuple[list[np.ndarray], list[list[tuple]]]:
    """Cones of heat, and squares of the given sides around their tops."""
    rows, columns = np.indices((40, 40))
    maps, truths = [], []
    for place, side in enumerate(sides):
        middle = 12 + 3 * place
        maps.append(-np.maximum(abs(rows - middle), abs(columns - middle)).astype(float))
        truths.append([(middle - side // 2, middle - side // 2, middle + side // 2 + 1, middle + side // 2 + 1)])
    return maps, truths


@pytest.mark.parametrize(("side", "best"), [(3, 0.995), (9, 0.955), (17, 0.83)])
def test_the_quantile_that_fits_the_lesions_is_chosen(side, best):
    """Of 1,600 pixels a square of side 3, 9, 17 is the hottest 9, 81, 289."""
    maps, truths = planted([side] * 4)
    chosen = choose_quantile(maps, truths, [0.83, 0.955, 0.995], sizes=[(40, 40)] * 4)
    assert chosen.quantile == best
    place = chosen.candidates.index(best)
    assert (chosen.hit_rates[place], chosen.mean_ious[place]) == (1.0, 1.0)
    assert max(chosen.mean_ious) == 1


def test_hits_come_before_overlap_and_images_without_a_lesion_are_left_out():
    """Candidates of 9 and 25 hot pixels, lesions of 9, 9 and 81: overlaps 1, 1, 1/9 against 9/25, 9/25, 25/81."""
    maps, truths = planted([3, 3, 9])
    found = choose_quantile([*maps, maps[0]], [*truths, []], [0.995, 0.985], sizes=[(40, 40)] * 4)
    assert found.hit_rates == (pytest.approx(2 / 3), 1.0)
    assert found.mean_ious == (pytest.approx((1 + 1 + 1 / 9) / 3), pytest.approx((9 / 25 + 9 / 25 + 25 / 81) / 3))
    assert found.quantile == 0.985


def test_of_equal_hits_the_overlap_decides_and_then_the_order():
    """Candidates of 81 and 9 hot pixels, lesions of 9 and 49: each hits one."""
    maps, truths = planted([3, 7])
    found = choose_quantile(maps, truths, [0.955, 0.995, 0.9951], sizes=[(40, 40)] * 2)
    assert found.hit_rates == (0.5, 0.5, 0.5)
    assert found.mean_ious[0] < found.mean_ious[1] == found.mean_ious[2]
    assert found.quantile == 0.995


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: boxes_of_map(np.eye(3), 1.0, size=(3, 3)), r"quantile 1.0 must be inside \(0, 1\)"),
        (lambda: boxes_of_map(np.eye(3), 0.5, size=(3, 3), limit=0), "limit 0 must be 1 or more"),
        (lambda: boxes_of_map(np.eye(3), 0.5, size=(3, 3), largest_by="area"), "area"),
        (lambda: boxes_of_map(np.eye(3), 0.5, size=(3, 3), mask=np.ones((2, 2))), r"mask is \(2, 2\)"),
        (lambda: boxes_of_map(np.full((3, 3), np.nan), 0.5, size=(3, 3)), "finite numbers"),
        (lambda: enlarge_map(np.eye(3), (13, 12), 4), "leave stride out"),
        (lambda: choose_quantile([np.eye(3)], [[]], [0.9], sizes=[(3, 3)]), "no image has a true box"),
        (lambda: choose_quantile([np.eye(3)], [[]], [], sizes=[(3, 3)]), "no candidate"),
        (lambda: choose_quantile([np.eye(3)], [[], []], [0.9], sizes=[(3, 3)]), "longer than argument"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
