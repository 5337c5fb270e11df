"""Tampered images by hand: what is erased, what is swapped, and with whom."""

import numpy as np
import pytest
import torch
from mammo.pipeline.explain.interventions import (
    air_level,
    erase_background,
    erase_breast,
    markers,
    partners_of,
    swap_background,
    swap_markers,
)

AIR, BREAST, MARKER = 0.1, 0.6, 0.9


def image(marker_row: int | None, air: float = AIR) -> torch.Tensor:
    """Breast in the left half of 24 x 32 pixels, and a marker of 2 x 4 near the right edge."""
    mask = torch.zeros(24, 32)
    mask[:, :16] = 1
    grey = torch.where(mask > 0.5, BREAST, air)
    if marker_row is not None:
        grey[marker_row : marker_row + 2, 26:30] = MARKER
    return torch.stack([grey, mask])


def batch(*images: torch.Tensor) -> torch.Tensor:
    return torch.stack(images)


def test_the_grey_of_the_air_is_its_median_and_zero_where_there_is_no_air():
    full = torch.ones(2, 24, 32)
    torch.testing.assert_close(air_level(batch(image(4), full)).flatten(), torch.tensor([AIR, 0.0]))


def test_erasing_the_breast_leaves_the_background_alone_and_the_other_way_round():
    pictures = batch(image(4), image(None, air=0.2))
    inside = pictures[:, 1] > 0.5
    without_breast, without_background = erase_breast(pictures), erase_background(pictures)
    assert torch.equal(without_breast[:, 0][~inside], pictures[:, 0][~inside])
    assert torch.equal(without_background[:, 0][inside], pictures[:, 0][inside])
    for index, air in enumerate((AIR, 0.2)):
        torch.testing.assert_close(without_breast[index, 0][inside[index]], torch.full((24 * 16,), air))
        torch.testing.assert_close(without_background[index, 0][~inside[index]], torch.full((24 * 16,), air))
    for changed in (without_breast, without_background):
        assert torch.equal(changed[:, 1], pictures[:, 1])


def test_a_marker_is_found_in_the_air_and_not_at_the_edge_of_the_breast():
    picture = image(4)
    picture[0, 10, 18] = 1.0  # skin that the mask has missed
    found = markers(batch(picture))[0, 0]
    expected = torch.zeros(24, 32, dtype=torch.bool)
    expected[4:6, 26:30] = True
    assert torch.equal(found, expected)


def test_swapped_markers_are_those_of_the_partner():
    own, other, bare = image(4), image(12), image(None)
    swapped, changed = swap_markers(batch(own, own, bare, bare), batch(other, bare, other, bare))
    torch.testing.assert_close(swapped, batch(other, bare, other, bare))
    assert changed.tolist() == [True, True, True, False]


def test_a_swapped_background_is_that_of_the_partner_and_its_breast_becomes_air():
    own, other = image(4), image(12, air=0.3)
    other[:, :, 12:16] = torch.tensor([0.3, 0.0])[:, None, None]  # a narrower breast
    other = other.flip(-1)  # on the other side: its breast lies over our air
    swapped = swap_background(batch(own), batch(other))[0]
    assert torch.equal(swapped[0, :, :16], own[0, :, :16])
    torch.testing.assert_close(swapped[0, :, 16:], torch.full((24, 16), 0.3))
    assert torch.equal(swapped[1], own[1])


@pytest.mark.parametrize("seed", range(3))
def test_partners_are_of_other_patients_and_nobody_serves_twice(seed):
    patients = np.array([*"aaaabbbccd", "d", "e"])
    partner = partners_of(patients, seed)
    assert sorted(partner) == list(range(12))
    assert (patients[partner] != patients).all()
    np.testing.assert_array_equal(partner, partners_of(patients, seed))


def test_other_seeds_make_other_pairs():
    patients = np.arange(30)
    assert not np.array_equal(partners_of(patients, 0), partners_of(patients, 1))


def test_a_patient_with_most_of_the_images_leaves_some_without_partner():
    patients = np.array([*"aaab"])
    partner = partners_of(patients, 0)
    assert (partner == -1).sum() == 2  # there is one image of another patient, for one of a's; b gets one of a's
    assert (partners_of(["a", "a"], 0) == -1).all()
