"""Occlusion sensitivity against a loop, of a network whose answer is known."""

import numpy as np
import pytest
import torch
from mammo.pipeline.explain.occlusion import occlusion_maps, patch_side

WEIGHTS = torch.zeros(12, 8)
WEIGHTS[5:7, 2] = 3.0
WEIGHTS[9, 7] = -1.0


def probabilities(images: torch.Tensor) -> torch.Tensor:
    """Of class 1 by a weighted sum of grey values, as long as the breast mask was left alone."""
    assert images[:, 1].eq(1).all()
    score = (images[:, 0] * WEIGHTS).sum(dim=(1, 2))
    return torch.stack([2 + 0 * score, score], dim=1).softmax(dim=1)


def pictures(count: int = 2) -> torch.Tensor:
    return torch.cat([torch.rand(count, 1, 12, 8), torch.ones(count, 1, 12, 8)], dim=1)


@pytest.mark.parametrize("passes", [24, 6, 7])
def test_each_patch_shows_what_is_lost_when_it_becomes_its_mean(passes):
    images, classes = pictures(), torch.tensor([1, 0])
    side = patch_side((12, 8), passes)
    found = occlusion_maps(probabilities, images, classes, passes=passes, batch=5)
    for image, index, one in zip(images, classes, found, strict=True):
        before = probabilities(image[None])[0, index]
        for top in range(0, 12, side):
            for left in range(0, 8, side):
                place = slice(top, top + side), slice(left, left + side)
                changed = image.clone()
                changed[0][place] = changed[0][place].mean()
                lost = (before - probabilities(changed[None])[0, index]).clamp(min=0)
                torch.testing.assert_close(one[place], lost.expand_as(one[place]))
    assert found.max() > 0.01


@pytest.mark.parametrize("size", [(224, 224), (256, 128), (30, 100)])
@pytest.mark.parametrize("passes", [1, 16, 64])
def test_the_patches_are_the_smallest_that_the_passes_allow(size, passes):
    counts = {side: np.prod([-(-length // side) for length in size]) for side in range(1, max(size) + 1)}
    side = patch_side(size, passes)
    assert counts[side] <= passes
    assert side == 1 or counts[side - 1] > passes


def test_no_patch_at_all_is_refused():
    with pytest.raises(ValueError, match="occlusion_passes=0"):
        patch_side((8, 8), 0)
