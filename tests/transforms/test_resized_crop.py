"""Random parts of an image: which they are, and that image and mask stay together."""

import numpy as np
import pytest
import torch
from mammo.transforms import RandResizedCropd


@pytest.fixture
def item() -> dict[str, torch.Tensor]:
    rows, columns = torch.meshgrid(torch.arange(80.0), torch.arange(60.0), indexing="ij")
    return {"image": (rows / 80 + columns / 60)[None] / 2, "mask": (columns > rows)[None].float()}


def make(**options):
    crop = RandResizedCropd(["image", "mask"], (64, 48), mode=["bicubic", "nearest"], **options)
    return crop.set_random_state(0)


def test_shares_and_ratios_are_as_wide_as_asked():
    crop = make(scale=(0.3, 0.6))
    windows = []
    for _ in range(2000):
        crop.randomize((400, 400))
        windows.append(crop.window)
    top, left, bottom, right = np.array(windows).T
    shares = (bottom - top) * (right - left) / 160000
    ratios = (right - left) / (bottom - top)
    assert (shares.min(), shares.max()) == pytest.approx((0.3, 0.6), abs=0.005)
    assert np.median(shares) == pytest.approx(0.45, abs=0.02)
    assert (ratios.min(), ratios.max()) == pytest.approx((3 / 4, 4 / 3), abs=0.02)
    assert np.median(np.log(ratios)) == pytest.approx(0, abs=0.03)


def test_every_place_is_drawn():
    crop = make(scale=(0.2, 0.2))
    tops = []
    for _ in range(300):
        crop.randomize((100, 100))
        tops.append(crop.window[0])
    assert min(tops) == 0
    assert max(tops) > 45


def test_image_and_mask_show_the_same_part(item):
    crop = make(scale=(0.2, 0.9))
    for _ in range(20):
        out = crop(item)
        top, left, bottom, right = crop.window
        assert out["image"].shape == out["mask"].shape == (1, 64, 48)
        assert out["mask"].unique().tolist() in ([0.0], [1.0], [0.0, 1.0])
        assert out["mask"].mean() == pytest.approx(float(item["mask"][:, top:bottom, left:right].mean()), abs=0.05)
        assert out["image"].mean() == pytest.approx(float(item["image"][:, top:bottom, left:right].mean()), abs=0.01)


def test_the_whole_image_at_its_own_size_is_unchanged(item):
    crop = RandResizedCropd("image", (80, 60), scale=(1, 1), ratio=(0.75, 0.75))
    assert torch.allclose(crop(item)["image"], item["image"], atol=1e-6)


def test_what_never_fits_is_the_whole_image():
    crop = make(scale=(0.9, 1.0), ratio=(5, 6))
    crop.randomize((100, 100))
    assert crop.window == (0, 0, 100, 100)


def test_a_seed_repeats_the_draws(item):
    assert torch.equal(make()(item)["image"], make()(item)["image"])


def test_grey_values_stay_in_range():
    image = (torch.rand(1, 40, 40) > 0.5).float()
    out = RandResizedCropd("image", (97, 97)).set_random_state(1)({"image": image})["image"]
    assert 0 <= float(out.min()) <= float(out.max()) <= 1


@pytest.mark.parametrize(
    "options", [{"scale": (0, 1)}, {"scale": (0.6, 0.3)}, {"scale": (0.5, 1.2)}, {"ratio": (0, 1)}]
)
def test_impossible_ranges_are_refused(options):
    with pytest.raises(ValueError, match="must be two"):
        make(**options)
