"""MoCo-v3: what each view passes, what learns and what follows."""

import pytest
import torch
from mammo.networks import ViTEncoder
from mammo.networks.moco import MoCoV3
from mammo.networks.momentum import follow, frozen_copy
from torch import nn
from torch.nn import functional as F


def network(**options) -> MoCoV3:
    encoder = ViTEncoder(image_size=(32, 32), embed_dim=16, depth=1, num_heads=2)
    return MoCoV3(encoder, hidden_dim=24, out_dim=8, **options)


@pytest.fixture
def views() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(4, 2, 32, 32), torch.rand(4, 2, 32, 32)


def normed(x: torch.Tensor, layer: nn.Linear, norm: nn.BatchNorm1d) -> torch.Tensor:
    """A linear map and batch norm with the statistics of the batch, by their definitions."""
    x = x @ layer.weight.mT
    x = (x - x.mean(dim=0)) / (x.var(dim=0, correction=0) + norm.eps).sqrt()
    return x if norm.weight is None else x * norm.weight + norm.bias


def test_each_view_passes_projector_and_predictor_alone(views):
    moco = network()
    output = moco(*views)
    for view, query, key in zip(views, output.queries, output.keys, strict=True):
        x = moco.encoder.tokens(view[:, :1])[:, 0]
        one, other = moco.projector, moco.predictor
        hidden = F.relu(normed(F.relu(normed(x, one[0], one[1])), one[3], one[4]))
        projected = normed(hidden, one[6], one[7])
        torch.testing.assert_close(key, projected, rtol=1e-4, atol=1e-4)  # of a copy that has not moved yet
        predicted = normed(F.relu(normed(projected, other[0], other[1])), other[3], other[4])
        torch.testing.assert_close(query, predicted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(output.features, moco.encoder.tokens(views[0][:, :1])[:, 0].detach())


def test_the_published_heads_have_their_published_size():
    with torch.device("meta"):
        moco = MoCoV3(ViTEncoder(image_size=(32, 32), size="micro"))
    width, hidden, out = 96, 4096, 256
    projector = width * hidden + hidden * hidden + hidden * out + 2 * 2 * hidden
    assert sum(p.numel() for p in moco.projector.parameters()) == projector
    assert sum(p.numel() for p in moco.predictor.parameters()) == out * hidden + hidden * out + 2 * hidden


@pytest.mark.parametrize("frozen", [True, False])
def test_gradients_reach_all_but_the_momentum_network_and_frozen_patches(frozen, views):
    moco = network(freeze_patches=frozen)
    output = moco(*views)
    (output.queries * torch.randn_like(output.queries)).sum().backward()
    assert not output.keys.requires_grad
    assert not output.features.requires_grad
    for name, parameter in moco.named_parameters():
        still = name.startswith("momentum_") or (frozen and "patch_embed" in name)
        assert (parameter.grad is None) == still, name


def test_the_momentum_network_follows_by_its_share(views):
    moco = network()
    before = frozen_copy(moco.momentum_encoder)
    with torch.no_grad():
        for parameter in moco.encoder.parameters():
            parameter.add_(1.0)
    moco.update_momentum(0.75)
    for old, new in zip(before.parameters(), moco.momentum_encoder.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25)


@pytest.mark.parametrize(("momentum", "expected"), [(0.0, 3.0), (1.0, 1.0)])
def test_momentum_0_copies_and_1_stays(momentum, expected):
    slow, fast = nn.Linear(2, 2), nn.Linear(2, 2)
    nn.init.constant_(slow.weight, 1.0)
    nn.init.constant_(fast.weight, 3.0)
    follow(slow, fast, momentum)
    assert slow.weight.unique().tolist() == [expected]


def test_the_breast_mask_is_not_looked_at(views):
    moco = network().eval()
    bare = moco(views[0][:, :1], views[1][:, :1])
    torch.testing.assert_close(moco(*views).queries, bare.queries, rtol=0, atol=0)


def test_synchronised_norms_are_those_of_one_process_where_there_is_one(views):
    alone, synchronised = network(), network(synchronise=True)
    assert sum(isinstance(part, nn.SyncBatchNorm) for part in synchronised.modules()) == 8
    synchronised.load_state_dict(alone.state_dict())
    torch.testing.assert_close(synchronised(*views).queries, alone(*views).queries)


def test_wrong_views_are_refused(views):
    with pytest.raises(ValueError, match=r"one size, got \(4, 2, 32, 32\) and \(4, 2, 16, 16\)"):
        network()(views[0], views[1][..., :16, :16])
    with pytest.raises(ValueError, match=r"with the breast mask last; got \(8, 3, 32, 32\)"):
        network()(torch.rand(4, 3, 32, 32), torch.rand(4, 3, 32, 32))
