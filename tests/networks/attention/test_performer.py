"""Performer: the kernel's estimate, its random directions, when they are drawn again, and another implementation."""

import copy
import warnings
from itertools import pairwise

import pytest
import torch
from mammo.networks.attention import PerformerAttention
from mammo.networks.attention.performer import orthogonal_directions
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


def inputs(scale: float = 0.5, tokens: int = 50, heads: int = 4) -> list[torch.Tensor]:
    return [torch.randn(2, heads, tokens, 16) * (scale, scale, 1)[i] for i in range(3)]


def relative(ours: torch.Tensor, exact: torch.Tensor) -> float:
    return ((ours - exact).norm() / exact.norm()).item()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_features_default_to_those_published():
    assert PerformerAttention(32).directions.shape == (110, 32)
    assert PerformerAttention(64).directions.shape == (266, 64)


def test_error_falls_with_the_root_of_the_features():
    q, k, v = inputs()
    exact = F.scaled_dot_product_attention(q, k, v)

    def error(features: int) -> float:
        draws = [PerformerAttention(16, features=features, epsilon=1e-12) for _ in range(10)]
        return sum(relative(draw(q, k, v), exact) ** 2 for draw in draws) ** 0.5

    # 16 times the features, a quarter of the error.
    assert error(64) / error(1024) == pytest.approx(4, rel=0.25)


def test_the_mean_of_many_draws_is_exact():
    q, k, v = inputs()
    exact = F.scaled_dot_product_attention(q, k, v)
    attention = PerformerAttention(16, features=256, epsilon=1e-12, redraw_interval=1)
    draws = torch.stack([attention(q, k, v) for _ in range(100)])
    assert relative(draws[0], exact) > 0.05
    # 100 draws leave a tenth of the error of one; a quotient of estimates adds a small bias.
    assert relative(draws.mean(0), exact) < 0.15 * relative(draws[0], exact)


def test_long_inputs_tend_to_the_mean_of_the_values():
    q, k, v = inputs(scale=10.0)
    mean = v.mean(dim=-2, keepdim=True).expand_as(v)
    assert relative(PerformerAttention(16)(q, k, v), mean) < 0.05
    assert relative(F.scaled_dot_product_attention(q, k, v), mean) > 0.5


def test_values_are_the_published_formula_in_float64():
    attention = PerformerAttention(16, features=40).eval()
    q, k, v = inputs(scale=1.0)
    w = attention.directions.double()

    def features(x, axes):
        x = x.double() / 16**0.25
        products = x @ w.mT
        return (products - x.square().sum(-1, keepdim=True) / 2 - products.amax(axes, keepdim=True)).exp() + 1e-4

    queries, keys = features(q, -1), features(k, (-2, -1))
    weights = queries @ keys.mT
    expected = weights @ v.double() / weights.sum(-1, keepdim=True)
    torch.testing.assert_close(attention(q, k, v).double(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_values_have_the_type_of_the_queries_under_autocast_too(dtype):
    q, k, v = (x.to(dtype) for x in inputs())
    with torch.autocast("cpu", torch.bfloat16):
        assert PerformerAttention(16)(q, k, v).dtype == dtype


def test_directions_are_orthogonal_in_blocks():
    directions = F.normalize(orthogonal_directions(40, 16, generator()), dim=1)
    for block in directions.split(16):
        torch.testing.assert_close(block @ block.T, torch.eye(len(block), dtype=torch.float64))


def test_every_direction_is_standard_normal():
    draws = torch.stack([orthogonal_directions(6, 4, generator(seed)) for seed in range(4000)])
    # 4000 draws: standard errors of 0.016 for the means and 0.022 for the variances, taken five times.
    torch.testing.assert_close(draws.mean(0), torch.zeros_like(draws[0]), atol=0.08, rtol=0)
    torch.testing.assert_close(draws.var(0), torch.ones_like(draws[0]), atol=0.11, rtol=0)


def test_directions_are_drawn_again_after_the_interval_in_training_only():
    attention = PerformerAttention(16, redraw_interval=3)
    q, k, v = inputs()
    seen = []
    for _ in range(7):
        attention.train()(q, k, v)
        seen.append(attention.directions.clone())
        for _ in range(4):
            attention.eval()(q, k, v)
        assert torch.equal(attention.directions, seen[-1])
    same = [torch.equal(one, two) for one, two in pairwise(seen)]
    assert same == [True, True, False, True, True, False]


def test_directions_stay_where_no_interval_is_given():
    attention = PerformerAttention(16, redraw_interval=None)
    before = attention.directions.clone()
    for _ in range(3):
        attention(*inputs())
    assert torch.equal(attention.directions, before)


def test_a_seed_decides_all_draws():
    def run(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        attention = PerformerAttention(16, redraw_interval=1)
        torch.manual_seed(7)
        q, k, v = inputs()
        return torch.stack([attention(q, k, v) for _ in range(3)])

    assert torch.equal(run(1), run(1))
    assert not torch.allclose(run(1), run(2))


def test_a_redraw_leaves_the_global_random_state_alone():
    attention = PerformerAttention(16, redraw_interval=1)
    q, k, v = inputs()
    attention(q, k, v)
    state = torch.get_rng_state()
    attention(q, k, v)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_a_resumed_run_goes_on_as_if_never_stopped(steps, tmp_path):
    q, k, v = inputs()
    whole = PerformerAttention(16, redraw_interval=2)
    for _ in range(steps):
        whole(q, k, v)
    torch.save(whole.state_dict(), tmp_path / "state.pt")
    resumed = PerformerAttention(16, redraw_interval=2)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for _ in range(4):
        torch.testing.assert_close(resumed(q, k, v), whole(q, k, v), atol=0, rtol=0)


@pytest.mark.parametrize("reentrant", [False, True])
def test_activation_checkpointing_sees_the_directions_of_its_forward_pass(reentrant):
    plain = PerformerAttention(16, redraw_interval=1)
    recomputed = copy.deepcopy(plain)
    q, k, v = (x.requires_grad_() for x in inputs())
    for _ in range(3):
        grad = torch.autograd.grad(plain(q, k, v).square().sum(), k)[0]
        k.grad = None
        checkpoint(recomputed, q, k, v, use_reentrant=reentrant).square().sum().backward()
        torch.testing.assert_close(k.grad, grad)
    assert recomputed.steps == plain.steps == 3


def test_a_redraw_before_the_backward_pass_does_not_harm_it():
    attention = PerformerAttention(16, redraw_interval=1)
    fixed = copy.deepcopy(attention)
    q, k, v = (x.requires_grad_() for x in inputs())
    first = attention(q, k, v)
    attention(q, k, v)
    grads = [torch.autograd.grad(out.square().sum(), q)[0] for out in (first, fixed(q, k, v))]
    torch.testing.assert_close(*grads)


def test_values_are_those_of_another_implementation():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it asks distutils for torch's version
        performer = pytest.importorskip("performer_pytorch")
    theirs = performer.FastAttention(16, nb_features=40)
    ours = PerformerAttention(16, features=40)
    ours.directions.copy_(theirs.projection_matrix)
    q, k, v = inputs(scale=1.0)
    torch.testing.assert_close(ours(q, k, v), theirs(q, k, v), atol=1e-5, rtol=1e-5)


def test_the_backward_pass_uses_the_directions_of_its_own_forward_pass():
    attention = PerformerAttention(8, features=6, redraw_interval=1).double().train()
    kept = copy.deepcopy(attention)
    q, k, v = (torch.randn(1, 2, 9, 8, dtype=torch.float64, requires_grad=True) for _ in range(3))
    (expected,) = torch.autograd.grad(kept(q, k, v).square().sum(), q)
    out = attention(q, k, v)
    attention(q, k, v)  # draws the directions anew
    assert not torch.equal(attention.directions, kept.directions)
    (found,) = torch.autograd.grad(out.square().sum(), q)
    torch.testing.assert_close(found, expected)


def test_features_are_not_kept_for_the_backward_pass():
    tokens, features = 300, 110
    attention = PerformerAttention(32, features=features).train()
    q, k, v = (torch.randn(1, 1, tokens, 32, requires_grad=True) for _ in range(3))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.shape) or x, lambda x: x):
        attention(q, k, v)
    assert kept
    assert all(shape.numel() < tokens * features for shape in kept)
