import pytest
import torch
from mammo.networks.losses import MaskedReconstructionLoss
from torch import Tensor
from torch.nn import functional as F


@pytest.fixture
def target() -> Tensor:
    target = torch.rand(3, 3, 8, 6)
    target[:, 1:] = target[:, 1:].round()
    return target


def by_hand(pred: Tensor, target: Tensor, region: str, power: int) -> float:
    total = 0.0
    for x, (image, mask, hidden) in zip(pred[:, 0], target, strict=True):
        m = {"breast": mask, "image": mask * 0 + 1, "hidden": hidden, "hidden_breast": mask * hidden}[region]
        error = sum(abs(x[i, j] - image[i, j]) ** power * m[i, j] for i in range(8) for j in range(6))
        total += float(error / (m.sum() + 1e-8))
    return total / len(pred)


@pytest.mark.parametrize(("error", "power"), [("l1", 1), ("mse", 2)])
@pytest.mark.parametrize("region", ["breast", "image", "hidden", "hidden_breast"])
def test_loss_is_the_formula(target, region, error, power):
    pred = torch.rand(3, 1, 8, 6)
    loss = MaskedReconstructionLoss(region, error)(pred, target)
    assert loss.item() == pytest.approx(by_hand(pred, target, region, power), rel=1e-5)


@pytest.mark.parametrize(("error", "plain"), [("l1", F.l1_loss), ("mse", F.mse_loss)])
def test_image_region_is_the_plain_error(target, error, plain):
    pred = torch.rand(3, 1, 8, 6)
    torch.testing.assert_close(MaskedReconstructionLoss("image", error)(pred, target), plain(pred, target[:, :1]))


@pytest.mark.parametrize("region", ["breast", "hidden", "hidden_breast"])
def test_empty_region_adds_nothing_and_is_counted(target, region):
    loss = MaskedReconstructionLoss(region)
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
    MaskedReconstructionLoss()(pred, target).backward()
    assert ((pred.grad != 0) == (target[:, 1:2] == 1)).all()


def test_loss_saves_nothing():
    assert MaskedReconstructionLoss().state_dict() == {}


@pytest.mark.parametrize("shape", [(3, 1, 8, 6), (3, 3, 4, 3), (2, 3, 8, 6)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"target \(B, 3, H, W\)"):
        MaskedReconstructionLoss()(torch.rand(3, 1, 8, 6), torch.rand(shape))


def test_unknown_region_is_refused():
    with pytest.raises(ValueError, match="lesion"):
        MaskedReconstructionLoss("lesion")


def test_unknown_error_is_refused():
    with pytest.raises(ValueError, match="huber"):
        MaskedReconstructionLoss(error="huber")
