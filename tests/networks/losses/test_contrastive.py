"""InfoNCE against its definition, and the keys of other processes."""

import math

import pytest
import torch
from mammo.networks.losses import contrastive
from mammo.networks.losses.contrastive import ContrastiveLoss, info_nce
from mammo.networks.moco import MoCoOutput


def output_of(images: int, width: int = 5) -> MoCoOutput:
    return MoCoOutput(torch.randn(2, images, width), torch.randn(2, images, width), torch.randn(images, 3))


def defined(queries: list, keys: list, temperature: float) -> float:
    """InfoNCE in plain Python, the key of a query at its own place."""

    def cosine(a: list, b: list) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)

    total = 0.0
    for place, query in enumerate(queries):
        scores = [math.exp(cosine(query, key) / temperature) for key in keys]
        total -= math.log(scores[place] / sum(scores))
    return total / len(queries)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_it_is_infonce_both_ways_times_twice_the_temperature(temperature):
    output = output_of(6)
    queries, keys = output.queries.double().tolist(), output.keys.double().tolist()
    pairs = (queries[0], keys[1]), (queries[1], keys[0])
    expected = 2 * temperature * sum(defined(*pair, temperature) for pair in pairs)
    assert ContrastiveLoss(temperature)(output, torch.arange(6)).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("images", [2, 7])
def test_a_collapsed_network_has_the_logarithm_of_the_images(images):
    alike = torch.ones(images, 4)
    assert info_nce(alike, 3 * alike, torch.arange(images), 0.2).item() == pytest.approx(math.log(images), rel=1e-5)


def test_accuracy_counts_queries_whose_own_key_is_nearest():
    keys = torch.eye(4).expand(2, 4, 4)
    swapped = keys[:, [1, 0, 2, 3]]
    objective = ContrastiveLoss()
    objective(MoCoOutput(torch.stack([keys[0], swapped[1]]), keys, keys[0]), torch.arange(4))
    assert objective.parts["accuracy"].item() == 0.75


def test_lengths_do_not_count():
    output = output_of(4)
    longer = output._replace(queries=3 * output.queries, keys=0.1 * output.keys)
    places = torch.arange(4)
    torch.testing.assert_close(ContrastiveLoss()(longer, places), ContrastiveLoss()(output, places))


class TwoProcesses:
    """torch.distributed as the process of a rank sees it, where all outputs are known."""

    def __init__(self, rank: int, parts: list[torch.Tensor]) -> None:
        self.rank, self.parts = rank, parts

    def is_initialized(self) -> bool:
        return True

    def get_rank(self) -> int:
        return self.rank

    def get_world_size(self) -> int:
        return len(self.parts)

    def all_gather(self, out: list[torch.Tensor], mine: torch.Tensor) -> None:
        assert torch.equal(mine, self.parts[self.rank])
        for place, part in zip(out, self.parts, strict=True):
            place.copy_(part)


def test_processes_together_take_the_loss_of_the_joined_batch(monkeypatch):
    whole = output_of(6)
    halves = [MoCoOutput(*(value[..., rows, :] for value in whole)) for rows in (slice(0, 3), slice(3, 6))]
    losses = []
    for rank, half in enumerate(halves):
        monkeypatch.setattr(contrastive, "distributed", TwoProcesses(rank, [part.keys for part in halves]))
        losses.append(ContrastiveLoss()(half, torch.arange(3)))
        alone = ContrastiveLoss(gather=False)(half, torch.arange(3))
        assert (losses[-1] - alone).abs() > 1e-3
    monkeypatch.undo()
    torch.testing.assert_close(torch.stack(losses).mean(), ContrastiveLoss()(whole, torch.arange(6)))


def test_a_temperature_of_0_is_refused():
    with pytest.raises(ValueError, match="temperature 0 must be above 0"):
        ContrastiveLoss(0)
