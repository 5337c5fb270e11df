from collections.abc import Callable

import numpy as np
import pytest
from mammo.transforms.picture import Picture
from mammo.transforms.pixel_facts import find_breast, pixel_facts

Breast = Callable[..., tuple[np.ndarray, np.ndarray]]


def facts_of(image: np.ndarray, laterality: str | None = None) -> dict[str, object]:
    return pixel_facts(*find_breast(Picture(image, None, {"patient_orientation": None}), laterality))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("laterality", ["L", "R", None])
def test_the_wall_is_that_of_the_picture_as_it_is_stored(breast: Breast, side: str, laterality: str | None) -> None:
    facts = facts_of(breast((1200, 900), side)[0], laterality)
    assert (facts["mask_quality"], facts["wall"]) == ("ok", side)


def test_the_share_is_that_of_the_breast(breast: Breast) -> None:
    image, truth = breast((1200, 900))
    assert facts_of(image)["breast_share"] == pytest.approx(truth.mean(), abs=0.02)


def test_a_letter_is_one_region_with_the_area_of_its_box() -> None:
    image = np.zeros((300, 300), np.float32)
    image[50:70, 100:104] = image[50:54, 100:112] = 1  # the letter "gamma"
    facts = facts_of(image)
    assert facts["mask_quality"] == "empty"
    assert facts["wall"] is None
    assert facts["burned_in_px"] == 1
    assert facts["burned_in_share"] == pytest.approx(20 * 12 / image.size, abs=2e-4)
