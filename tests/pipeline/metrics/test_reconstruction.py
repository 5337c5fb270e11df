import numpy as np
import pytest
import torch
from mammo.pipeline.metrics.reconstruction import reconstruction_errors


@pytest.fixture
def case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two images of 2 x 3 pixels: the first with a lesion pixel hidden and one visible, the second without any."""
    image = torch.zeros(2, 1, 2, 3)
    mask = torch.tensor([[1.0, 1, 1], [1, 1, 0]]).expand(2, 1, 2, 3)
    hidden = torch.tensor([[1.0, 1, 0], [1, 0, 1]]).expand(2, 1, 2, 3)
    lesion = torch.zeros(2, 1, 2, 3)
    lesion[0, 0, 0, 0] = lesion[0, 0, 0, 2] = 1
    pred = torch.tensor([[-0.4, 0.2, 9], [-0.1, 9, 9]]).expand(2, 1, 2, 3)
    return pred, torch.cat([image, mask, hidden], dim=1), lesion


def test_errors_are_those_of_the_hidden_pixels_counted_by_hand(case):
    errors = reconstruction_errors(*case)
    np.testing.assert_allclose(errors["lesion_l1"], [0.4, np.nan], rtol=1e-6)
    np.testing.assert_allclose(errors["lesion_bias"], [-0.4, np.nan], rtol=1e-6)
    np.testing.assert_allclose(errors["rest_l1"], [0.15, 0.7 / 3], rtol=1e-6)
    np.testing.assert_allclose(errors["rest_bias"], [0.05, -0.1], rtol=1e-6)
    np.testing.assert_array_equal(errors["lesion_pixels"], [1, 0])


def test_what_was_visible_or_outside_the_breast_does_not_count(case):
    pred, target, lesion = case
    before = reconstruction_errors(pred, target, lesion)
    pred = pred.clone()
    pred[..., 0, 2] = pred[..., 1, 1] = pred[..., 1, 2] = -77
    after = reconstruction_errors(pred, target, lesion)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)


def test_other_shapes_are_refused(case):
    pred, target, lesion = case
    with pytest.raises(ValueError, match=r"target \(B, 3, H, W\)"):
        reconstruction_errors(pred, target[:, :2], lesion)
