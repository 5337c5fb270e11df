import math

import pytest
import torch
from mammo.networks import MammogramClassifier, SwinEncoder
from mammo.networks.losses import BreastBackgroundContrast


def test_loss_is_the_mean_cosine_of_known_angles():
    angles = [0.0, math.pi / 3, math.pi / 2, math.pi]
    breast = torch.tensor([[2.0, 0.0]] * 4)
    background = torch.tensor([[3 * math.cos(a), 3 * math.sin(a)] for a in angles])
    loss = BreastBackgroundContrast()(breast, background).item()
    assert loss == pytest.approx(sum(map(math.cos, angles)) / 4, abs=1e-6)


@pytest.mark.parametrize("empty", ["breast", "background"])
def test_image_without_one_side_adds_nothing_and_is_counted(empty):
    vectors = {"breast": torch.randn(3, 8), "background": torch.randn(3, 8)}
    vectors[empty][1] = 0
    vectors = {name: v.requires_grad_() for name, v in vectors.items()}
    loss = BreastBackgroundContrast()
    total = loss(**vectors)
    full = BreastBackgroundContrast()(vectors["breast"][[0, 2]], vectors["background"][[0, 2]])
    torch.testing.assert_close(total, full * 2 / 3)
    assert loss.empty_count == 1
    total.backward()
    for vector in vectors.values():
        assert (vector.grad[1] == 0).all()
        assert (vector.grad[[0, 2]] != 0).all()


def test_classifier_without_background_has_finite_gradients():
    network = MammogramClassifier(SwinEncoder(size="micro"))
    details = network(torch.rand(2, 1, 64, 64), details=True)
    loss = BreastBackgroundContrast()
    loss(details["breast"], details["background"]).backward()
    assert loss.empty_count == 2
    assert all(p.grad.isfinite().all() for p in network.encoder.parameters())
