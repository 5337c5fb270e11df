"""Mixup and CutMix: what is mixed, with which labels, and that a seed repeats it."""

import pytest
import torch
from mammo.networks.losses import MixedLabels, MixedObjective, MultiTaskCrossEntropy
from mammo.pipeline.mixing import PrepareMixedBatch


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    """Eight flat images whose grey value tells which they are, and so does their label."""
    number = torch.arange(8.0)
    return {"image": number[:, None, None, None].expand(8, 2, 20, 30) / 8, "label": number.long()[:, None]}


def test_without_either_a_batch_stays_as_it_is(batch):
    image, label = PrepareMixedBatch()(batch)
    assert torch.equal(image, batch["image"])
    assert torch.equal(label, batch["label"])


@pytest.mark.parametrize("options", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}])
def test_labels_have_the_shares_of_the_pixels(options, batch):
    prepare = PrepareMixedBatch(**options)
    shares = []
    for _ in range(30):
        image, labels = prepare(batch)
        expected = labels.share * labels.first[:, 0] + (1 - labels.share) * labels.second[:, 0]
        torch.testing.assert_close(image.mean(dim=(1, 2, 3)) * 8, expected)
        shares.append(labels.share)
    assert 0 <= min(shares) < 0.5 < 0.7 < max(shares) <= 1


def test_cutmix_replaces_one_rectangle(batch):
    prepare = PrepareMixedBatch(cutmix=1.0)
    for _ in range(10):
        image, labels = prepare(batch)
        changed = (image != batch["image"])[labels.first[:, 0] != labels.second[:, 0]].any(dim=1).any(dim=0)
        rows, columns = changed.any(dim=1), changed.any(dim=0)
        assert torch.equal(changed, rows[:, None] & columns)
        assert int(changed.sum()) == round((1 - labels.share) * 600)


def test_an_epoch_repeats_its_draws(batch):
    first, second = PrepareMixedBatch(mixup=1.0, seed=3), PrepareMixedBatch(mixup=1.0, seed=3)
    for prepare in (first, second):
        prepare.start_epoch(5)
    assert torch.equal(first(batch)[0], second(batch)[0])
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(batch)[0], second(batch)[0])


def test_a_mixture_costs_the_mean_of_both_labels():
    logits, first, second = torch.randn(6, 3), torch.arange(6)[:, None] % 3, torch.arange(6)[:, None] // 2
    objective = MixedObjective(MultiTaskCrossEntropy({"kind": 3}))
    soft = 0.3 * torch.eye(3)[first[:, 0]] + 0.7 * torch.eye(3)[second[:, 0]]
    expected = torch.nn.functional.cross_entropy(logits, soft)
    torch.testing.assert_close(objective(logits, MixedLabels(first, second, 0.3)), expected)
    torch.testing.assert_close(objective.parts["classification"], expected)


def test_negative_strengths_are_refused():
    with pytest.raises(ValueError, match="must be 0 or more"):
        PrepareMixedBatch(mixup=-1)
