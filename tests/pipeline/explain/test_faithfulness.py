"""Insertion and deletion of networks whose curves are known."""

import pytest
import torch
from mammo.pipeline.explain.faithfulness import centre_order, insertion_deletion
from scipy.ndimage import gaussian_filter
from sklearn.metrics import auc

MASK = torch.zeros(10, 10)
MASK[:, :5] = 1
LESION = torch.zeros(10, 10)
LESION[2:4, 1:6] = 1
"""A tenth of the image: the first of ten steps."""


def picture() -> torch.Tensor:
    """Dark breast with a white lesion."""
    return torch.stack([torch.where(LESION > 0, 1.0, 0.1), MASK])


def by_lesion(images: torch.Tensor) -> torch.Tensor:
    """Probability of class 1: the mean grey of the lesion's pixels."""
    positive = (images[:, 0] * LESION).sum(dim=(1, 2)) / LESION.sum()
    return torch.stack([1 - positive, positive], dim=1)


def test_the_map_of_the_lesion_reaches_the_areas_worked_out_by_hand():
    areas = insertion_deletion(by_lesion, picture(), LESION[None], steps=10)
    inside = MASK.sum()
    fill = float((picture()[0] * MASK).sum() / inside)  # the lesion becomes the breast's mean
    assert areas.deletion.item() == pytest.approx(0.1 * (1 + fill) / 2 + 0.9 * fill, rel=1e-6)
    blurred = gaussian_filter(picture()[0].double().numpy(), 0.5)  # 0.05 of 10 pixels; reflected at edges
    start = float((torch.tensor(blurred) * LESION).sum() / LESION.sum())
    assert areas.insertion.item() == pytest.approx(0.1 * (start + 1) / 2 + 0.9, abs=0.01)


def test_every_curve_is_that_of_a_loop():
    image, order = picture(), torch.rand(3, 10, 10)
    areas = insertion_deletion(by_lesion, image, order, steps=4, batch=2)
    fill = (image[0] * MASK).sum() / MASK.sum()
    for index in range(3):
        ranked = order[index].flatten().argsort(descending=True)
        scores = []
        for step in range(5):
            grey = image[0].flatten().clone()
            grey[ranked[: 25 * step]] = fill
            scores.append(by_lesion(torch.stack([grey.reshape(10, 10), MASK])[None])[0, 1].item())
        assert areas.deletion[index].item() == pytest.approx(auc([0, 0.25, 0.5, 0.75, 1], scores), rel=1e-5)


def test_a_good_map_beats_a_bad_one_in_both():
    areas = insertion_deletion(by_lesion, picture(), torch.stack([LESION, -LESION]), steps=10)
    assert areas.insertion[0] > areas.insertion[1] + 0.1
    assert areas.deletion[0] < areas.deletion[1] - 0.4


def test_pixels_of_equal_heat_come_in_random_order():
    images = []

    def keep(batch: torch.Tensor) -> torch.Tensor:
        images.append(batch[:, 0].clone())
        return by_lesion(batch)

    insertion_deletion(keep, picture(), torch.zeros(1, 10, 10), steps=2)
    restored = (images[2] != picture()[0])[0]  # of deletion: half of the pixels, not the upper half
    assert 10 < restored[:5].sum() < 40


def test_the_mask_stays_and_an_empty_one_is_survived():
    def check(batch: torch.Tensor) -> torch.Tensor:
        assert batch[:, 1].eq(0).all()
        return by_lesion(batch)

    image = picture()
    image[1] = 0
    assert insertion_deletion(check, image, LESION[None]).deletion.isfinite().all()


def test_the_centre_of_the_breast_comes_first():
    order = centre_order(MASK)
    assert order.argmax() // 10 in (4, 5)
    assert order.argmax() % 10 == 2
    assert order[0, 9] < order[0, 4] < order[4, 4]
    assert torch.equal(centre_order(torch.zeros(10, 10)), centre_order(torch.ones(10, 10)))


def test_a_curve_of_one_step_is_refused():
    with pytest.raises(ValueError, match="faithfulness_steps=1"):
        insertion_deletion(by_lesion, picture(), LESION[None], steps=1)
