"""Networks that have forgotten everything, and how alike two maps are."""

import numpy as np
import pytest
import torch
from mammo.networks import MammogramClassifier, SwinEncoder
from mammo.pipeline.explain import randomise
from mammo.pipeline.explain.subject import rank_correlation
from scipy.stats import spearmanr


@pytest.fixture
def network() -> MammogramClassifier:
    return MammogramClassifier(SwinEncoder(size="micro", in_channels=1))


def test_nothing_that_was_learnt_is_left(network):
    for tensor in [*network.parameters(), *network.buffers()]:
        if tensor.is_floating_point():
            tensor.data.fill_(7.0)
    randomise(network, seed=0)
    left = {name: tensor for name, tensor in network.state_dict().items() if tensor.is_floating_point()}
    assert [name for name, tensor in left.items() if (tensor == 7).any()] == []


def test_the_weights_follow_from_the_seed_and_leave_torchs_own_stream_alone(network):
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(5)
        randomise(network, seed=seed)
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(5)))
        states.append(network.head.weight.detach().clone())
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_the_likeness_of_two_maps_is_spearmans():
    a, b = torch.rand(4, 6, 5), torch.rand(4, 6, 5).round(decimals=1)  # with ties
    expected = [spearmanr(x.flatten(), y.flatten()).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(rank_correlation(a, b), expected, atol=1e-12)


def test_a_blank_map_shares_nothing_with_one_that_is_not_blank():
    blank, other = torch.zeros(1, 4, 4), torch.rand(1, 4, 4)
    assert rank_correlation(other, blank)[0] == 0
    assert np.isnan(rank_correlation(blank, other)[0])
