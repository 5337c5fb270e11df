"""Nyströmformer: its exact limit, its segments, its inverse, its convolution, and another implementation."""

import pytest
import torch
from mammo.networks.attention import NystromAttention
from mammo.networks.attention.landmarks import pseudo_inverse, segment_means
from torch.nn import functional as F


def inputs(tokens: int, heads: int = 2, batch: int = 2) -> list[torch.Tensor]:
    return [torch.randn(batch, heads, tokens, 8) for _ in range(3)]


def cut(tokens: int, count: int) -> list[list[int]]:
    """Contiguous segments, the shorter ones first, one token at a time."""
    sizes = [tokens // count + (i >= count - tokens % count) for i in range(count)]
    remaining = iter(range(tokens))
    return [[next(remaining) for _ in range(size)] for size in sizes]


@pytest.mark.parametrize(("tokens", "count"), [(24, 6), (25, 6), (29, 6), (30, 7), (6, 6), (11, 6), (5, 1)])
def test_segments_are_contiguous_balanced_and_whole(tokens, count):
    x = torch.randn(3, tokens, 2)
    expected = torch.stack([x[:, segment].mean(1) for segment in cut(tokens, count)], dim=1)
    torch.testing.assert_close(segment_means(x, count, -2), expected)


def test_segments_are_averaged_in_float32():
    x = torch.full((1, 512, 1), 1 + 2**-7, dtype=torch.bfloat16)
    assert segment_means(x, 1, -2).dtype == torch.float32
    assert segment_means(x.double(), 1, -2).dtype == torch.float64
    torch.testing.assert_close(segment_means(x, 1, -2), torch.full((1, 1, 1), 1 + 2**-7))


def test_iterations_reach_the_inverse_of_linear_algebra():
    matrices = torch.randn(3, 2, 12, 12, dtype=torch.float64).softmax(-1)
    torch.testing.assert_close(pseudo_inverse(matrices, 30), torch.linalg.pinv(matrices), rtol=1e-6, atol=1e-6)


def test_iterations_reach_the_inverse_of_a_singular_matrix():
    matrix = torch.randn(12, 3, dtype=torch.float64) @ torch.randn(3, 12, dtype=torch.float64)
    # Rounding grows in what the matrix maps to 0, so fewer iterations than above.
    torch.testing.assert_close(pseudo_inverse(matrix[None], 18)[0], torch.linalg.pinv(matrix), rtol=1e-4, atol=1e-4)


def test_each_matrix_is_inverted_by_itself():
    matrices = torch.randn(4, 12, 12).softmax(-1)
    alone = torch.cat([pseudo_inverse(matrix[None], 6) for matrix in matrices])
    torch.testing.assert_close(pseudo_inverse(matrices, 6), alone, atol=1e-6, rtol=1e-5)


def test_a_landmark_for_each_token_is_exact_after_20_iterations():
    q, k, v = inputs(64)
    exact = F.scaled_dot_product_attention(q, k, v)

    def error(iterations: int) -> float:
        out = NystromAttention(2, landmarks=64, iterations=iterations, kernel=None)(q, k, v)
        return ((out - exact).norm() / exact.norm()).item()

    assert error(6) > 0.01  # nothing is switched to exact attention
    assert error(20) < 1e-3


def test_autocast_does_not_reach_the_inverse():
    attention = NystromAttention(2, landmarks=64, iterations=10, kernel=None)
    q, k, v = (torch.randn(2, 2, 128, 16) * scale for scale in (2, 2, 1))
    with torch.autocast("cpu", torch.bfloat16):
        short = attention(q, k, v)
    exact = attention(q, k, v)
    # bfloat16 in the products around the inverse costs 1 %, in the inverse 5 %.
    assert (short - exact).norm() < 0.02 * exact.norm()


@pytest.mark.parametrize("tokens", [28, 30, 37])
def test_values_are_the_published_formula_in_float64(tokens):
    attention = NystromAttention(2, landmarks=7, iterations=30, kernel=None)
    q, k, v = (x.double() for x in inputs(tokens))
    q_means, k_means = (torch.stack([x[:, :, s].mean(2) for s in cut(tokens, 7)], dim=2) for x in (q, k))
    first = (q @ k_means.mT / 8**0.5).softmax(-1)
    middle = (q_means @ k_means.mT / 8**0.5).softmax(-1)
    last = (q_means @ k.mT / 8**0.5).softmax(-1)
    expected = first @ torch.linalg.pinv(middle) @ last @ v
    torch.testing.assert_close(attention(q, k, v), expected, atol=1e-5, rtol=1e-5)


def test_convolution_adds_neighbours_along_the_tokens_by_head():
    attention = NystromAttention(2, landmarks=5, kernel=3)
    plain = NystromAttention(2, landmarks=5, kernel=None)
    q, k, v = inputs(21)
    before, here, after = attention.convolution.weight.view(2, 3).T[:, :, None, None]  # (heads, 1, 1) each
    padded = F.pad(v, (0, 0, 1, 1))
    added = before * padded[:, :, :-2] + here * v + after * padded[:, :, 2:]
    torch.testing.assert_close(attention(q, k, v) - plain(q, k, v), added, atol=1e-5, rtol=0)


def oracle(heads: int, iterations: int) -> tuple[torch.nn.Module, NystromAttention]:
    package = pytest.importorskip("nystrom_attention")
    theirs = package.NystromAttention(
        8 * heads, dim_head=8, heads=heads, num_landmarks=6, pinv_iterations=iterations, residual_conv_kernel=33
    )
    ours = NystromAttention(heads, landmarks=6, iterations=iterations)
    ours.convolution.load_state_dict(theirs.res_conv.state_dict())
    return theirs, ours


@pytest.mark.parametrize(("batch", "heads", "iterations"), [(1, 1, 6), (3, 4, 24)])
def test_values_are_those_of_another_implementation(batch, heads, iterations):
    # Its iteration starts from norms of the whole batch: alike for one matrix, or after more iterations.
    theirs, ours = oracle(heads, iterations)
    theirs, ours = theirs.double(), ours.double()
    x = torch.randn(batch, 42, 8 * heads, dtype=torch.float64) * 3
    q, k, v = theirs.to_qkv(x).unflatten(-1, (3, heads, 8)).permute(2, 0, 3, 1, 4)
    out = theirs.to_out(ours(q, k, v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(out, theirs(x))
