"""Explanation measures by hand, on grids small enough to count."""

import numpy as np
import pytest
import torch
from mammo.pipeline.metrics import explanation_measures


def grids(*rows: str) -> np.ndarray:
    """A map from digits, one text a row."""
    return np.array([[float(c) for c in row] for row in rows])[None]


SALIENCY = grids(
    "1020",
    "0300",
    "0000",
    "0004",
)
BREAST = grids(
    "1110",
    "1110",
    "1100",
    "0000",
)
LESION = grids(
    "0000",
    "0100",
    "0100",
    "0000",
)


def measure(saliency=SALIENCY, breast=BREAST, lesion=LESION, **options) -> dict[str, float]:
    return {k: float(v[0]) for k, v in explanation_measures(saliency, breast, lesion, **options).items()}


def test_every_measure_by_hand():
    found = measure(top_share=0.25)
    assert found["background_ratio"] == pytest.approx(4 / 10)
    assert found["background_chance"] == pytest.approx(8 / 16)
    assert found["energy_in_roi"] == pytest.approx(3 / 10)
    assert found["energy_in_roi_chance"] == pytest.approx(2 / 16)
    assert found["energy_in_roi_chance_breast"] == pytest.approx(2 / 8)
    assert found["pointing_hit"] == 0
    assert found["pointing_chance"] == pytest.approx(2 / 16)
    assert found["pointing_chance_breast"] == pytest.approx(2 / 8)
    # The hottest quarter: 4, 3, 2, 1; one of them in the lesion of two.
    assert found["iou"] == pytest.approx(1 / 5)
    assert found["iou_chance"] == pytest.approx(0.25 * 0.125 / (0.25 + 0.125 - 0.25 * 0.125))
    assert (found["hit_iou_25"], found["hit_iou_50"]) == (0, 0)
    assert found["degenerate"] == 0
    assert found["heat"] == pytest.approx(10 / 16)


def test_lesion_rest_of_the_breast_and_outside_share_out_the_energy():
    found = measure(lesion=grids("0000", "0110", "0010", "0000"))  # the last pixel lies outside the breast mask
    assert found["energy_in_roi"] == pytest.approx(3 / 10)
    assert found["energy_rest"] == pytest.approx((1 + 2) / 10)
    assert found["energy_outside"] == pytest.approx(4 / 10)
    chances = [found[f"energy_{part}_chance"] for part in ("in_roi", "rest", "outside")]
    assert chances == pytest.approx([3 / 16, 6 / 16, 7 / 16])


def test_a_map_of_zeros_has_no_heat_and_one_that_is_no_number_an_unknown_one():
    assert measure(0 * SALIENCY)["heat"] == 0
    assert np.isnan(measure(np.where(SALIENCY == 4, np.inf, SALIENCY))["heat"])


def test_the_pointing_game_within_a_token_grows_the_lesion_and_leaves_the_plain_game_alone():
    found = measure(grids("0000", "0090", "0000", "0000"), token_px=1)
    assert (found["pointing_hit"], found["pointing_hit_token"]) == (0, 1)
    assert (found["pointing_chance"], found["pointing_token_chance"]) == (2 / 16, 8 / 16)
    assert found["pointing_token_chance_breast"] == pytest.approx(6 / 8)


def test_the_pointing_game_is_won_where_the_maximum_lies_in_the_lesion():
    assert measure(grids("0000", "0900", "0000", "0001"))["pointing_hit"] == 1


def test_of_equal_maxima_the_share_inside_counts():
    assert measure(grids("9000", "0900", "0900", "0009"))["pointing_hit"] == 0.5


def test_a_tolerance_grows_the_lesion_and_its_chance_by_a_disc():
    saliency = grids("0000", "0090", "0000", "0000")
    assert measure(saliency)["pointing_hit"] == 0
    near = measure(saliency, tolerance_px=1)
    assert near["pointing_hit"] == 1
    assert near["pointing_chance"] == pytest.approx(8 / 16)  # two pixels and their six neighbours by edge
    assert near["energy_in_roi_chance"] == pytest.approx(2 / 16)


def test_growing_one_lesion_leaves_the_neighbours_in_the_batch_alone():
    batch = [np.concatenate([a, b]) for a, b in ((SALIENCY, SALIENCY), (BREAST, BREAST), (LESION, 0 * LESION))]
    found = explanation_measures(*batch, tolerance_px=1)["pointing_chance"]
    assert found[0] == pytest.approx(8 / 16)
    assert np.isnan(found[1])


def test_hits_by_overlap_count_from_their_level_on():
    perfect = measure(grids("0000", "0900", "0900", "0000"), top_share=0.125)
    assert (perfect["iou"], perfect["hit_iou_25"], perfect["hit_iou_50"]) == (1, 1, 1)
    third = measure(grids("0000", "0990", "0000", "0000"), top_share=0.125)
    assert (third["iou"], third["hit_iou_25"], third["hit_iou_50"]) == (pytest.approx(1 / 3), 1, 0)


def test_the_floor_of_a_map_is_never_its_hottest_region():
    found = measure(grids("0000", "0900", "0000", "0000"), top_share=0.5)
    assert found["iou"] == pytest.approx(1 / 2)


def test_a_uniform_random_map_scores_its_chance():
    rng = np.random.default_rng(0)
    breast, lesion = np.repeat(BREAST, 4000, axis=0), np.repeat(LESION, 4000, axis=0)
    found = explanation_measures(rng.random((4000, 4, 4)), breast, lesion)
    for name in ("background_ratio", "energy_in_roi", "pointing_hit"):
        chance = found[{"background_ratio": "background_chance"}.get(name, name.replace("_hit", "") + "_chance")]
        error = found[name].std() / np.sqrt(4000)
        assert found[name].mean() == pytest.approx(chance.mean(), abs=5 * error)


def test_a_map_uniform_in_the_breast_scores_the_chance_of_the_breast():
    found = measure(BREAST)
    assert found["background_ratio"] == 0
    assert found["energy_in_roi"] == pytest.approx(found["energy_in_roi_chance_breast"])
    assert found["pointing_hit"] == pytest.approx(found["pointing_chance_breast"])


@pytest.mark.parametrize("scale", [1e-30, 7.0, 1e300])
def test_only_proportions_matter(scale):
    plain, scaled = measure(), measure(SALIENCY * scale)
    assert scaled.pop("heat") == pytest.approx(scale * plain.pop("heat"))
    assert scaled == pytest.approx(plain)


@pytest.mark.parametrize(
    "blank",
    [
        np.zeros((1, 4, 4)),
        np.full((1, 4, 4), 3.0),
        np.full((1, 4, 4), np.nan),
        np.where(SALIENCY == 4, np.inf, SALIENCY),
    ],
    ids=["zero", "constant", "nan", "infinite"],
)
def test_a_map_that_shows_nothing_is_flagged_misses_and_has_no_shares(blank):
    found = measure(blank)
    assert found["degenerate"] == 1
    assert (found["pointing_hit"], found["iou"], found["hit_iou_25"]) == (0, 0, 0)
    assert np.isnan([found["background_ratio"], found["energy_in_roi"]]).all()


def test_a_degenerate_map_leaves_its_neighbours_alone():
    batch = np.concatenate([np.zeros_like(SALIENCY), SALIENCY])
    found = explanation_measures(batch, np.repeat(BREAST, 2, axis=0), np.repeat(LESION, 2, axis=0))
    assert {k: float(v[1]) for k, v in found.items()} == pytest.approx(measure())


def test_without_a_lesion_only_the_background_is_measured():
    for lesion in (None, 0 * LESION):
        found = measure(lesion=lesion)
        numbers = {name for name, value in found.items() if np.isfinite(value)}
        assert numbers == {"background_ratio", "background_chance", "heat", "degenerate"}


def test_without_a_breast_there_is_no_background_to_speak_of():
    found = measure(breast=0 * BREAST)
    missing = {name for name, value in found.items() if np.isnan(value)}
    shares = {"background_ratio", "background_chance", "energy_in_roi_chance_breast", "pointing_chance_breast"}
    split = {"energy_rest", "energy_rest_chance", "energy_outside", "energy_outside_chance"}
    assert missing == shares | split


def test_tensors_and_arrays_give_the_same():
    tensors = (torch.tensor(x).requires_grad_() for x in (SALIENCY, BREAST, LESION))
    assert {k: float(v[0]) for k, v in explanation_measures(*tensors).items()} == measure()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"saliency": -SALIENCY}, "0 or more"),
        ({"saliency": SALIENCY[0]}, r"\(B, H, W\)"),
        ({"lesion": LESION[:, :3]}, r"lesion \(1, 3, 4\)"),
        ({"tolerance_px": -1}, "tolerance_px=-1"),
        ({"token_px": -2}, "tolerance_px=-2"),
        ({"top_share": 1.0}, "top_share=1.0"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        measure(**arguments)


def test_the_chance_of_a_hit_counts_every_place_of_the_hottest_region():
    rng = np.random.default_rng(0)
    maps, lesion = rng.random((3, 6, 5)), np.zeros((3, 6, 5))
    lesion[0, 1:3, 1:4], lesion[1, 4:, 3:], lesion[2, 0, 0] = 1, 1, 1
    maps[0, 2:4, 2:4] += 1  # a compact region; those of the others are scattered
    found = explanation_measures(maps, np.ones_like(maps), lesion, top_share=0.2)
    for index, (values, truth) in enumerate(zip(maps, lesion > 0, strict=True)):
        hottest = values >= np.sort(values, axis=None)[-6]
        places = [np.roll(hottest, (down, right), (0, 1)) for down in range(6) for right in range(5)]
        overlaps = np.array([(place & truth).sum() / (place | truth).sum() for place in places])
        for level in (25, 50):
            assert found[f"hit_iou_{level}_chance"][index] == pytest.approx((overlaps >= level / 100).mean())
    assert found["hit_iou_25_chance"][0] > 0
