import pytest
import torch
from mammo.networks.losses import LeadingSingularVectors
from torch import Tensor


def exact(matrices: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(matrices.double(), ord=2)


def assert_triplets(matrices: Tensor, u: Tensor, sigma: Tensor, v: Tensor) -> None:
    torch.testing.assert_close(u.norm(dim=-1), torch.ones(len(u)))
    torch.testing.assert_close(v.norm(dim=-1), torch.ones(len(v)))
    torch.testing.assert_close(torch.einsum("gm,gmn,gn->g", u, matrices, v), sigma)


@pytest.mark.parametrize("shape", [(3, 64, 64), (2, 40, 90), (2, 90, 40), (5, 6, 6), (1, 1, 4)])
def test_start_is_the_exact_decomposition(shape):
    matrices = torch.randn(shape)
    u, sigma, v = LeadingSingularVectors()(matrices)
    torch.testing.assert_close(sigma.double(), exact(matrices), rtol=1e-5, atol=0)
    assert_triplets(matrices, u, sigma, v)


def test_vectors_are_the_exact_ones_where_there_is_a_gap():
    left, _, right = torch.linalg.svd(torch.randn(2, 64, 64))
    matrices = left @ torch.diag_embed(0.9 ** torch.arange(64.0)) @ right
    u, _, v = LeadingSingularVectors()(matrices)
    outer = torch.einsum("gm,gn->gmn", u, v)  # free of the common sign
    torch.testing.assert_close(outer, left[..., :1] * right[..., :1, :], atol=1e-3, rtol=0)


def sign_steps(kind: str, width: int, step: int) -> Tensor:
    """The direction AdamW takes for gradients of full rank, of rank one, and of rank one after a while."""
    if kind == "noise" or (kind == "late" and step < 8):
        return torch.randn(2, width, width).sign()
    fixed = torch.Generator().manual_seed(1)
    row, column = (torch.randn(width, generator=fixed).sign() for _ in range(2))
    return (row[:, None] * column).expand(2, -1, -1)


@pytest.mark.parametrize("kind", ["noise", "rank one", "late"])
def test_sigma_follows_fast_changes_within_a_thousandth(kind):
    """Steps of 1e-4 per weight: in rank one they overtake the leading direction within a dozen steps."""
    width, worst = 256, 0.0
    matrices = 0.02 * torch.randn(2, width, width)
    tracker = LeadingSingularVectors()
    tracker(matrices)
    first = exact(matrices)
    for step in range(40):
        matrices = matrices + 1e-4 * sign_steps(kind, width, step)
        u, sigma, v = tracker(matrices)
        worst = max(worst, (sigma / exact(matrices) - 1).abs().max().item())
        assert_triplets(matrices, u, sigma, v)
    assert worst < 1e-3
    if kind != "noise":
        assert (sigma > 1.3 * first).all()


def test_zero_matrix_has_a_zero_triplet():
    tracker = LeadingSingularVectors()
    for _ in range(2):
        u, sigma, v = tracker(torch.zeros(1, 5, 5))
        assert (u == 0).all()
        assert (sigma == 0).all()
        assert v.isfinite().all()


def test_change_of_shape_starts_again():
    tracker = LeadingSingularVectors()
    for shape in [(2, 20, 20), (3, 20, 20), (3, 30, 30), (3, 30, 30)]:
        matrices = torch.randn(shape)
        torch.testing.assert_close(tracker(matrices)[1].double(), exact(matrices), rtol=1e-4, atol=0)


def test_two_trackers_agree_to_the_last_bit():
    first, second = LeadingSingularVectors(), LeadingSingularVectors()
    torch.manual_seed(3)
    matrices = torch.randn(2, 30, 30)
    one = first(matrices)
    torch.randn(7)  # whoever drew random numbers in between
    torch.testing.assert_close(second(matrices), one, rtol=0, atol=0)


def test_state_is_not_saved():
    tracker = LeadingSingularVectors()
    tracker(torch.randn(2, 8, 8))
    assert tracker.state_dict() == {}
