"""Linformer: its exact limit, its sharing, and another implementation."""

import pytest
import torch
from mammo.networks.attention import LinformerAttention
from torch.nn import functional as F


def inputs(batch: int = 2, tokens: int = 24) -> list[torch.Tensor]:
    return [torch.randn(batch, 4, tokens, 8) for _ in range(3)]


@pytest.mark.parametrize("sharing", ["none", "headwise", "key_value"])
def test_projections_that_change_nothing_make_it_exact(sharing):
    attention = LinformerAttention(24, 4, k=24, sharing=sharing)
    with torch.no_grad():
        for mixtures in attention.parameters():
            mixtures.copy_(torch.eye(24))
    q, k, v = inputs()
    torch.testing.assert_close(attention(q, k, v), F.scaled_dot_product_attention(q, k, v))


@pytest.mark.parametrize(("sharing", "matrices"), [("none", 8), ("headwise", 2), ("key_value", 1)])
def test_sharing_counts_the_matrices(sharing, matrices):
    attention = LinformerAttention(24, 4, k=6, sharing=sharing)
    assert sum(p.numel() for p in attention.parameters()) == matrices * 6 * 24


def test_every_head_has_projections_of_its_own_where_none_are_shared():
    attention = LinformerAttention(24, 4, k=6, sharing="none").double()
    q, k, v = (x.double() for x in inputs())
    out = attention(q, k, v)
    for head, (e, f) in enumerate(zip(attention.key_mixtures, attention.value_mixtures, strict=True)):
        weights = (q[:, head] @ (e @ k[:, head]).mT / 8**0.5).softmax(-1)
        torch.testing.assert_close(out[:, head], weights @ (f @ v[:, head]))


def test_values_are_not_replaced_by_keys_where_projections_are_shared():
    attention = LinformerAttention(24, 4, k=6, sharing="key_value")
    q, k, v = inputs()
    torch.testing.assert_close(attention(q, k, 3 * v), 3 * attention(q, k, v))
    assert not torch.allclose(attention(q, k, v), attention(q, k, k))


def test_projections_start_uniform_within_the_published_bound():
    attention = LinformerAttention(400, 1, k=100)
    # Uniform within 0.1: standard deviation 0.1 / sqrt(3), to 3 standard errors of 40 000 draws.
    assert attention.key_mixtures.abs().max() <= 0.1
    assert attention.key_mixtures.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.01)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("one_head", [False, True])
def test_values_are_those_of_another_implementation(shared, one_head):
    linformer = pytest.importorskip("linformer")
    theirs = linformer.LinformerSelfAttention(32, 24, k=6, heads=4, one_kv_head=one_head, share_kv=shared)
    ours = LinformerAttention(24, 4, k=6, sharing="key_value" if shared else "headwise")
    state = {"key_mixtures": theirs.proj_k.T}
    ours.load_state_dict(state if shared else state | {"value_mixtures": theirs.proj_v.T})
    x = torch.randn(2, 24, 32)
    to_v = theirs.to_k if shared else theirs.to_v  # what is shared there is the values themselves
    q, k, v = (part(x).unflatten(-1, (-1, 8)).transpose(1, 2) for part in (theirs.to_q, theirs.to_k, to_v))
    out = ours(q, k.expand(-1, 4, -1, -1), v.expand(-1, 4, -1, -1))
    torch.testing.assert_close(theirs.to_out(out.transpose(1, 2).flatten(2)), theirs(x), atol=1e-6, rtol=1e-5)
