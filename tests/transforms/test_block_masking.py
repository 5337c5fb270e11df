import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mammo.transforms.block_masking import BlockMasking
from torch import Tensor


def shares(mask: Tensor, size: int) -> list[list[float]]:
    """Share of breast of every block of every image, by hand."""
    return [
        [
            image[0, row : row + size, column : column + size].mean().item()
            for row in range(0, mask.shape[-2], size)
            for column in range(0, mask.shape[-1], size)
        ]
        for image in mask
    ]


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from([1, 2, 4]),
    st.integers(0, 100),
    st.sampled_from(["breast", "image"]),
    st.integers(0, 2**31),
)
def test_exactly_the_wanted_number_of_eligible_blocks_is_hidden(b, rows, columns, size, percent, scope, seed):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(b, 1, rows * size, columns * size, generator=generator).round()
    hidden = BlockMasking(size, percent / 100, 0.5, scope)(mask, generator)
    assert hidden.shape == mask.shape
    assert set(hidden.unique().tolist()) <= {0.0, 1.0}
    for breast, gone in zip(shares(mask, size), shares(hidden, size), strict=True):
        assert set(gone) <= {0.0, 1.0}  # whole blocks
        eligible = [scope == "image" or share > 0.5 for share in breast]
        assert sum(gone) == math.floor(Fraction(percent, 100) * sum(eligible))
        assert all(may for may, is_gone in zip(eligible, gone, strict=True) if is_gone)


def test_every_eligible_block_is_hidden_equally_often():
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., :48] = 1  # 12 of 16 blocks
    draws = 4000
    generator = torch.Generator().manual_seed(0)
    hidden = BlockMasking(16)(mask.expand(draws, -1, -1, -1), generator)[:, 0, ::16, ::16].flatten(1)
    counts = hidden.sum(dim=0).view(4, 4)[:, :3].flatten()
    expected = draws * 6 / 12
    # Draws without replacement: the counts vary less than independent ones by (n - k) / (n - 1), here 6 / 11.
    chi_square = ((counts - expected).square() / expected).sum() / (6 / 11)
    assert chi_square < 31.3  # 99.9 % quantile for 11 degrees of freedom


def test_pairs_of_blocks_are_hidden_as_often_as_without_replacement():
    draws = 4000
    mask = torch.ones(draws, 1, 8, 8)
    hidden = BlockMasking(4)(mask, torch.Generator().manual_seed(1))[:, 0, ::4, ::4].flatten(1)
    together = (hidden.T @ hidden)[~torch.eye(4, dtype=torch.bool)]
    probability = 2 * 1 / (4 * 3)  # two of four, both chosen
    sigma = math.sqrt(draws * probability * (1 - probability))
    assert ((together - draws * probability).abs() < 4 * sigma).all()


def test_images_of_a_batch_get_their_own_blocks():
    hidden = BlockMasking(4)(torch.ones(2, 1, 64, 64), torch.Generator().manual_seed(0))
    assert not torch.equal(hidden[0], hidden[1])


def test_generator_fixes_the_blocks():
    mask = torch.ones(2, 1, 64, 64)
    first, second = (BlockMasking(16)(mask, torch.Generator().manual_seed(5)) for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_global_seed_fixes_the_blocks_without_a_generator():
    mask = torch.ones(2, 1, 64, 64)
    results = []
    for _ in range(2):
        torch.manual_seed(5)
        results.append(BlockMasking(16)(mask))
    torch.testing.assert_close(*results, rtol=0, atol=0)


@pytest.mark.parametrize(("filled", "eligible"), [(8, False), (9, True)])
def test_block_is_eligible_above_the_threshold_only(filled, eligible):
    mask = torch.zeros(16)
    mask[:filled] = 1
    hidden = BlockMasking(4, ratio=1.0, threshold=0.5)(mask.view(1, 1, 4, 4))
    assert bool(hidden.all()) is eligible


def test_empty_mask_hides_nothing():
    assert BlockMasking(16)(torch.zeros(2, 1, 32, 32)).sum() == 0


@pytest.mark.parametrize("size", [(100, 96), (96, 100)])
def test_size_that_blocks_do_not_divide_is_refused_with_a_way_out(size):
    with pytest.raises(ValueError, match=rf"{size[0]}x{size[1]} is not a multiple .* DivisiblePadd\(k=16\)"):
        BlockMasking(16)(torch.ones(1, 1, *size))


@pytest.mark.parametrize("shape", [(1, 32, 32), (1, 2, 32, 32)])
def test_other_axes_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(B, 1, H, W\)"):
        BlockMasking(16)(torch.ones(shape))


@pytest.mark.parametrize(
    "options", [{"block_size": 0}, {"ratio": 1.5}, {"threshold": 1.0}, {"threshold": -0.1}, {"scope": "lesion"}]
)
def test_option_out_of_range_is_named(options):
    with pytest.raises(ValueError, match=r"block_size|ratio|threshold|lesion"):
        BlockMasking(**options)
