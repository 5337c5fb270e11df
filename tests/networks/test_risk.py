import pytest
import torch
from mammo.networks import AdditiveHazard, RiskClassifier, SwinEncoder
from mammo.networks.losses import CumulativeRiskLoss
from torch.nn import functional as F

YEARS = {f"cancer_within_{year}": 2 for year in range(1, 6)}


def test_risk_never_falls_from_year_to_year():
    head = AdditiveHazard(8)
    torch.nn.init.normal_(head.hazard.weight)
    risks = head(torch.randn(50, 8)).unflatten(1, (5, 2)).softmax(dim=-1)[..., 1]
    assert (risks.diff(dim=1) >= 0).all()
    assert (risks.diff(dim=1) > 0).any()


def test_the_head_is_the_formula():
    head, features = AdditiveHazard(3, years=2).requires_grad_(False), torch.randn(4, 3)
    for row, expected in zip(head(features).tolist(), features, strict=True):
        base = float(head.base.weight[0] @ expected + head.base.bias[0])
        steps = [max(0.0, float(head.hazard.weight[k] @ expected + head.hazard.bias[k])) for k in range(2)]
        assert row == pytest.approx([0, base + steps[0], 0, base + steps[0] + steps[1]], abs=1e-6)


def test_loss_is_the_cross_entropy_of_what_is_known():
    logits = torch.randn(3, 4, requires_grad=True)
    labels = torch.tensor([[0, 1], [0, -1], [-1, -1]])
    log_odds = logits[:, 1::2] - logits[:, ::2]
    known = torch.stack([log_odds[0, 0], log_odds[0, 1], log_odds[1, 0]])
    expected = F.binary_cross_entropy_with_logits(known, torch.tensor([0.0, 1, 0]))
    loss = CumulativeRiskLoss()(logits, labels)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert (logits.grad[2] == 0).all()
    assert (logits.grad[1, 2:] == 0).all()


def test_a_batch_of_which_nothing_is_known_adds_nothing():
    logits = torch.randn(2, 4, requires_grad=True)
    loss = CumulativeRiskLoss()(logits, torch.full((2, 2), -1))
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"labels \(B, K\)"):
        CumulativeRiskLoss()(torch.rand(2, 5), torch.zeros(2, 5, dtype=torch.int64))


def test_the_classifier_gives_a_pair_for_every_year():
    network = RiskClassifier(SwinEncoder(size="micro"), YEARS)
    assert network(torch.rand(2, 2, 64, 32)).shape == (2, 10)
    assert network(torch.rand(2, 2, 64, 32), details=True)["logits"].shape == (2, 10)


def test_a_year_of_three_classes_is_refused():
    with pytest.raises(ValueError, match="two classes"):
        RiskClassifier(SwinEncoder(size="micro"), {"cancer_within_1": 3})
