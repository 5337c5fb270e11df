"""Mammo-FActOR's loss against a slow loop, a case by hand and its limits."""

import math

import pytest
import torch
from mammo.networks.losses.factor import FActORLoss


def by_loop(scores: list, labels: list, published: bool) -> float:
    terms = []
    for image, row in enumerate(labels):
        for attribute, label in enumerate(row):
            if label != 1:
                continue
            own = math.exp(scores[image][attribute])
            below = own
            for other, others in enumerate(labels):
                if others[attribute] == 0:
                    below += math.exp(scores[other][attribute])
                elif published and others[attribute] == 1:
                    below += 1
            terms.append(-math.log(own / below))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_it_equals_the_definition_in_plain_python(seed, published):
    generator = torch.Generator().manual_seed(seed)
    scores = 5 * torch.randn(7, 3, generator=generator, dtype=torch.float64)
    labels = torch.randint(-1, 2, (7, 3), generator=generator)
    expected = by_loop(scores.tolist(), labels.tolist(), published)
    assert FActORLoss(published)(scores, labels).item() == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(
    ("published", "terms"),
    [(False, (math.log(1 + 1 / 2), math.log(1 + 1 / 4), math.log(1))),
     (True, (math.log(1 + 3 / 2), math.log(1 + 3 / 4), math.log(1 + 1 / 8)))],
)  # fmt: skip
def test_two_attributes_of_three_images_are_those_by_hand(published, terms):
    """First attribute: e^s of 2 and 4 have it, 1 has not. Second: 8 has it, two are unknown, none has not."""
    scores = torch.tensor([[2.0, 8.0], [4.0, 5.0], [1.0, 7.0]]).log()
    labels = torch.tensor([[1, 1], [1, -1], [0, -1]])
    assert FActORLoss(published)(scores, labels).item() == pytest.approx(sum(terms) / 3, rel=1e-6)


def test_a_batch_without_positives_gives_zero_and_a_gradient():
    for labels in (torch.zeros(3, 2), torch.full((3, 2), -1)):
        for published in (False, True):
            scores = torch.randn(3, 2, requires_grad=True)
            loss = FActORLoss(published)(scores, labels.long())
            loss.backward()
            assert loss.item() == 0
            assert torch.equal(scores.grad, torch.zeros(3, 2))


def test_only_positives_teach_nothing_unless_as_published():
    labels = torch.ones(4, 2, dtype=torch.int64)
    for published in (False, True):
        scores = torch.randn(4, 2, requires_grad=True)
        loss = FActORLoss(published)(scores, labels)
        loss.backward()
        assert (loss.item() > 0.1) is published
        assert bool(scores.grad.any()) is published


def test_unknown_labels_have_no_say():
    scores = torch.randn(5, 2, requires_grad=True)
    labels = torch.tensor([[1, 0], [0, 1], [-1, -1], [0, -1], [-1, 0]])
    for published in (False, True):
        scores.grad = None
        FActORLoss(published)(scores, labels).backward()
        assert torch.equal(scores.grad == 0, labels == -1)
        moved = torch.where(labels == -1, scores.detach() + 50, scores.detach())
        torch.testing.assert_close(FActORLoss(published)(moved, labels), FActORLoss(published)(scores, labels))


def test_gradients_are_those_of_the_formula():
    scores = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[1, 0], [0, 1], [1, -1], [0, 1], [-1, 1]])
    for published in (False, True):
        assert torch.autograd.gradcheck(FActORLoss(published), (scores, labels))


def test_huge_scores_do_not_overflow():
    scores = torch.tensor([[-500.0], [500.0]], requires_grad=True)
    loss = FActORLoss()(scores, torch.tensor([[1], [0]]))
    loss.backward()
    assert loss.item() == 1000
    torch.testing.assert_close(scores.grad, torch.tensor([[-1.0], [1.0]]))


@pytest.mark.parametrize(
    ("labels", "message"), [(torch.zeros(3), "alike"), (torch.full((3, 2), 2), "labels must be 1, 0 or -1")]
)
def test_other_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        FActORLoss()(torch.rand(3, 2), labels)
