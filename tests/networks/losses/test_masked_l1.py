import pytest
import torch
from mammo.networks.losses import MaskedL1Loss
from torch import Tensor
from torch.nn import functional as F


@pytest.fixture
def target() -> Tensor:
    target = torch.rand(3, 3, 8, 6)
    target[:, 1:] = target[:, 1:].round()
    return target


def by_hand(pred: Tensor, target: Tensor, region: str) -> float:
    total = 0.0
    for x, (image, mask, hidden) in zip(pred[:, 0], target, strict=True):
        m = {"breast": mask, "image": mask * 0 + 1, "hidden": hidden, "hidden_breast": mask * hidden}[region]
        error = sum(abs(x[i, j] - image[i, j]) * m[i, j] for i in range(8) for j in range(6))
        total += float(error / (m.sum() + 1e-8))
    return total / len(pred)


@pytest.mark.parametrize("region", ["breast", "image", "hidden", "hidden_breast"])
def test_loss_is_the_formula(target, region):
    pred = torch.rand(3, 1, 8, 6)
    assert MaskedL1Loss(region)(pred, target).item() == pytest.approx(by_hand(pred, target, region), rel=1e-5)


def test_image_region_is_plain_l1(target):
    pred = torch.rand(3, 1, 8, 6)
    torch.testing.assert_close(MaskedL1Loss("image")(pred, target), F.l1_loss(pred, target[:, :1]))


@pytest.mark.parametrize("region", ["breast", "hidden", "hidden_breast"])
def test_empty_region_adds_nothing_and_is_counted(target, region):
    loss = MaskedL1Loss(region)
    pred = torch.rand(3, 1, 8, 6, requires_grad=True)
    with_two = loss(pred[:2], target[:2])
    assert loss.empty_count == 0
    target[2, 1:] = 0
    with_empty = loss(pred, target)
    torch.testing.assert_close(with_empty, with_two * 2 / 3)
    assert loss.empty_count == 1
    with_empty.backward()
    assert (pred.grad[2] == 0).all()


def test_pixels_outside_the_breast_have_no_gradient(target):
    pred = torch.rand(3, 1, 8, 6, requires_grad=True)
    MaskedL1Loss()(pred, target).backward()
    assert ((pred.grad != 0) == (target[:, 1:2] == 1)).all()


def test_loss_saves_nothing():
    assert MaskedL1Loss().state_dict() == {}


@pytest.mark.parametrize("shape", [(3, 1, 8, 6), (3, 3, 4, 3), (2, 3, 8, 6)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"target \(B, 3, H, W\)"):
        MaskedL1Loss()(torch.rand(3, 1, 8, 6), torch.rand(shape))


def test_unknown_region_is_refused():
    with pytest.raises(ValueError, match="lesion"):
        MaskedL1Loss("lesion")
