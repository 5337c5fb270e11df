import copy
import math

import pytest
import torch
from mammo.networks import MammogramClassifier, SwinEncoder, record_attention
from mammo.networks.losses import AttentionSpectralPenalty, SpectralNormPenalty
from torch import Tensor, nn


def queries_and_keys(network: nn.Module) -> list[Tensor]:
    """W_Q and W_K of every layer by their names."""
    weights = [p for name, p in network.named_parameters() if name.endswith("qkv.weight")]
    return [part for w in weights for part in (w[: len(w) // 3], w[len(w) // 3 : 2 * len(w) // 3])]


def exact_penalty(network: nn.Module) -> Tensor:
    return sum(torch.linalg.svdvals(w.double())[0].square() for w in queries_and_keys(network))


def give_gaps(network: nn.Module) -> None:
    """Singular values 1, 0.9, 0.81, ... in all queries and keys."""
    with torch.no_grad():
        for weight in queries_and_keys(network):
            left, values, right = torch.linalg.svd(weight)
            weight.copy_(left @ torch.diag(0.9 ** torch.arange(len(values))) @ right)


@pytest.fixture
def encoder() -> SwinEncoder:
    return SwinEncoder(size="micro", stem="patch", patch_size=4, window_size=7, embed_dim=32)


def test_penalty_is_the_sum_of_squares_over_queries_and_keys(encoder):
    torch.testing.assert_close(
        SpectralNormPenalty(encoder, 0.5)().double(), 0.5 * exact_penalty(encoder), rtol=1e-5, atol=0
    )


def test_gradient_is_that_of_the_exact_decomposition(encoder):
    give_gaps(encoder)
    reference = copy.deepcopy(encoder).double()
    (0.5 * exact_penalty(reference)).backward()
    SpectralNormPenalty(encoder, 0.5)().backward()
    compared = 0
    for (name, ours), (_, theirs) in zip(encoder.named_parameters(), reference.named_parameters(), strict=True):
        if name.endswith("qkv.weight"):
            torch.testing.assert_close(ours.grad, theirs.grad.float(), atol=2e-4, rtol=0, msg=name)
            assert (ours.grad[2 * len(ours) // 3 :] == 0).all()
            compared += 1
        else:
            assert ours.grad is None
    assert compared == 8


def test_value_and_gradient_are_right_after_many_optimiser_steps(encoder):
    give_gaps(encoder)
    penalty, optimizer = SpectralNormPenalty(encoder, 1e-2), torch.optim.AdamW(encoder.parameters(), lr=1e-3)
    for _ in range(12):
        optimizer.zero_grad()
        (encoder(torch.rand(1, 1, 32, 32))[-1].sum() + penalty()).backward()
        optimizer.step()
        torch.testing.assert_close(
            penalty().double(), 1e-2 * exact_penalty(encoder), rtol=1e-3, atol=0, check_dtype=False
        )


def test_swin_base_stays_within_a_thousandth_along_adamw():
    """On Swin-B's real shapes at its start, where the two largest values are hardly apart."""
    layers = {width: nn.Module() for width in (128, 256, 512, 1024)}  # all 24 would only repeat these
    for width, layer in layers.items():
        layer.qkv = nn.Linear(width, 3 * width)
        nn.init.trunc_normal_(layer.qkv.weight, std=0.02)
    network = nn.ModuleList(layers.values())
    penalty, optimizer = SpectralNormPenalty(network, 1.0), torch.optim.AdamW(network.parameters(), lr=1e-4)
    penalty()
    for step in range(50):
        for weight in (layer.qkv.weight for layer in layers.values()):
            # A few token directions above noise, as the gradient of a small batch.
            tokens = torch.randn(len(weight), 2) @ torch.randn(2, weight.shape[1])
            weight.grad = tokens + 0.5 * torch.randn_like(weight)
        optimizer.step()
        value = penalty()
        if step in (0, 3, 10, 25, 49):
            assert value.item() == pytest.approx(largest_value_sum(network), rel=1e-3)


def largest_value_sum(network: nn.Module) -> float:
    """Sum of squares of the largest singular values, from the eigenvalues of W'W in float64."""
    grams = [w.detach().double().T @ w.detach().double() for w in queries_and_keys(network)]
    return sum(torch.linalg.eigvalsh(gram)[-1].item() for gram in grams)


@pytest.mark.parametrize("wrap", [lambda e: e, MammogramClassifier])
def test_network_is_not_a_part_of_the_penalty(encoder, wrap):
    penalty = SpectralNormPenalty(wrap(encoder), 1.0)
    penalty()
    assert list(penalty.parameters()) == []
    assert penalty.state_dict() == {}


def test_a_lazy_penalty_is_the_same_on_average_and_as_exact(encoder):
    lazy, optimizer = SpectralNormPenalty(encoder, 1e-2, interval=4), torch.optim.AdamW(encoder.parameters(), lr=1e-3)
    for step in range(12):
        optimizer.zero_grad()
        value = lazy()
        (encoder(torch.rand(1, 1, 32, 32))[-1].sum() + value).backward()
        expected = 4e-2 * exact_penalty(encoder) if step % 4 == 0 else torch.zeros((), dtype=torch.float64)
        torch.testing.assert_close(value.double(), expected, rtol=1e-3, atol=0, check_dtype=False)
        optimizer.step()


def test_a_lazy_penalty_is_told_in_full_where_nothing_is_trained(encoder):
    lazy = SpectralNormPenalty(encoder, 1.0, interval=4)
    lazy()
    with torch.no_grad():
        torch.testing.assert_close(lazy(), SpectralNormPenalty(encoder, 1.0)(), rtol=1e-3, atol=0)
    assert [float(lazy().detach()) > 0 for _ in range(4)] == [False, False, False, True]


def test_the_counter_of_a_lazy_penalty_stays_on_the_cpu(encoder):
    assert SpectralNormPenalty(encoder, 1.0).to("meta").step.device.type == "cpu"


def test_beta_zero_does_no_work(encoder, monkeypatch):
    penalty = SpectralNormPenalty(encoder, 0.0)
    monkeypatch.setattr(type(next(iter(penalty.trackers.values()))), "forward", None)
    assert penalty() == 0


def test_autocast_does_not_reach_the_penalty(encoder):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = SpectralNormPenalty(encoder, 1.0)()
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, SpectralNormPenalty(encoder, 1.0)(), rtol=1e-6, atol=0)


def test_penalty_alone_brings_the_norms_down(encoder):
    penalty, optimizer = SpectralNormPenalty(encoder, 1.0), torch.optim.SGD(encoder.parameters(), lr=0.05)
    before = exact_penalty(encoder).item()
    for _ in range(20):
        optimizer.zero_grad()
        penalty().backward()
        optimizer.step()
    assert exact_penalty(encoder).item() < 0.8 * before


@pytest.mark.parametrize(
    ("network", "beta", "message"), [(nn.Linear(2, 6), 1.0, "no attention layer"), (None, -1.0, "beta must be")]
)
def test_impossible_penalty_is_refused(encoder, network, beta, message):
    with pytest.raises(ValueError, match=message):
        SpectralNormPenalty(network or encoder, beta)


def largest_squares(attention: Tensor) -> Tensor:
    return torch.linalg.svdvals(attention.double())[..., 0].square()


@pytest.mark.parametrize("sharpness", [0.0, 0.5, 2.0, 3.0])
def test_attention_penalty_is_the_exact_mean_square(sharpness):
    maps = [(sharpness * torch.randn(6, 3, n, n)).softmax(dim=-1) for n in (49, 16)]
    expected = 0.3 * sum(largest_squares(a).mean() for a in maps)
    torch.testing.assert_close(AttentionSpectralPenalty(0.3)(maps).double(), expected, rtol=1e-3, atol=0)


def test_largest_singular_value_of_attention_is_one_or_more():
    for sharpness in (0.0, 0.1, 1.0, 10.0, 100.0):
        maps = [(sharpness * torch.randn(4, 2, 49, 49)).softmax(dim=-1)]
        assert AttentionSpectralPenalty(1.0, steps=1)(maps).item() >= 1 - 1e-6


@pytest.mark.parametrize("tokens", [4, 49])
def test_attention_sink_costs_as_many_tokens_as_look_at_it(tokens):
    sink = torch.zeros(1, 1, tokens, tokens)
    sink[..., 2] = 1
    uniform = torch.full_like(sink, 1 / tokens)
    assert math.sqrt(AttentionSpectralPenalty(1.0)([sink]).item()) == pytest.approx(math.sqrt(tokens), rel=1e-5)
    assert AttentionSpectralPenalty(1.0)([uniform]).item() == pytest.approx(1, rel=1e-5)


def test_permutation_costs_nothing_over_the_minimum():
    permutation = torch.eye(49)[torch.randperm(49)][None, None]
    assert AttentionSpectralPenalty(1.0)([permutation]).item() == pytest.approx(1, rel=1e-5)


def test_attention_gradient_is_that_of_the_exact_decomposition():
    logits = (2 * torch.randn(5, 2, 16, 16, dtype=torch.float64)).requires_grad_()
    largest_squares(logits.softmax(dim=-1)).mean().backward()
    expected, logits.grad = logits.grad, None
    AttentionSpectralPenalty(1.0, steps=30)([logits.softmax(dim=-1)]).backward()
    torch.testing.assert_close(logits.grad, expected, rtol=1e-3, atol=1e-6)


def test_attention_penalty_reaches_queries_and_keys_of_every_layer_and_no_later_values():
    encoder = SwinEncoder(size="micro", stem="patch", patch_size=4, window_size=7).double()
    image = torch.rand(1, 1, 224, 224).double()
    for module in encoder.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)  # logits of about unit size
    gradients = []
    for penalty in (AttentionSpectralPenalty(1.0, steps=40), lambda maps: sum(largest_squares(a).mean() for a in maps)):
        encoder.zero_grad()
        with record_attention(encoder) as record:
            encoder(image)
        # Shifted windows at the border hold several images' corners: blocks of equal norm, so no gap.
        whole = [a for a, grid in zip(record.maps, record.grids, strict=True) if grid.shift == (0, 0)]
        penalty(whole).backward()
        gradients.append({n: p.grad for n, p in encoder.named_parameters() if n.endswith("qkv.weight")})
    for name, ours in gradients[0].items():
        width = ours.shape[1]
        assert (ours[: 2 * width].norm(dim=1) > 0).all(), name
        torch.testing.assert_close(ours, gradients[1][name], rtol=1e-2, atol=1e-3 * ours.abs().max().item(), msg=name)
    assert (gradients[0][name][2 * width :] == 0).all()


def test_gamma_zero_does_no_work():
    assert AttentionSpectralPenalty(0.0)([torch.full((1, 1, 2, 2), torch.nan)]) == 0


@pytest.mark.parametrize("options", [{"gamma": -1.0}, {"gamma": 1.0, "steps": 0}])
def test_impossible_attention_penalty_is_refused(options):
    with pytest.raises(ValueError, match="steps 1 or more"):
        AttentionSpectralPenalty(**options)


def test_no_maps_are_refused():
    with pytest.raises(ValueError, match="details=True"):
        AttentionSpectralPenalty(1.0)([])
