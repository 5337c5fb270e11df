"""Fixed positions against the formula and MONAI's, learned ones against their own resizing."""

import math

import pytest
import torch
from mammo.networks.positions import LearnedPositions, SinCosPositions, sincos_positions
from monai.networks.blocks.pos_embed_utils import build_sincos_position_embedding


def test_positions_are_the_formula_with_columns_in_the_first_half():
    rows, columns, channels = 2, 3, 8
    table = sincos_positions(rows, columns, channels)[0]
    for y in range(rows):
        for x in range(columns):
            waves = [wave(axis * 10000 ** (-i / 2)) for axis in (x, y) for wave in (math.sin, math.cos) for i in (0, 1)]
            torch.testing.assert_close(table[y * columns + x], torch.tensor(waves))


@pytest.mark.filterwarnings("ignore:torch.meshgrid")
@pytest.mark.parametrize("grid", [(14, 14), (7, 28), (1, 5)])
def test_positions_are_those_of_monai(grid):
    # MONAI's angles are float32: at column 27 they are off by 1e-6.
    expected = build_sincos_position_embedding(grid, 64, spatial_dims=2)
    torch.testing.assert_close(sincos_positions(*grid, 64), expected.detach(), rtol=0, atol=5e-6)


def test_a_table_that_was_changed_does_not_change_the_next_one():
    sincos_positions(2, 2, 4).zero_()
    assert sincos_positions(2, 2, 4).abs().max() == 1


def test_another_grid_gets_positions_of_its_own_and_nothing_is_saved():
    positions = SinCosPositions((4, 4), 16)
    assert positions.state_dict() == {}
    assert torch.equal(positions((4, 4)), sincos_positions(4, 4, 16))
    assert torch.equal(positions((3, 7)), sincos_positions(3, 7, 16))
    assert positions.double()((3, 7)).dtype == torch.float64


def test_learned_positions_are_row_by_row_and_go_through_themselves_when_resized():
    positions = LearnedPositions((4, 6), 2)
    weight = positions.weight.detach()
    assert torch.equal(positions((4, 6))[0, 7], weight[0, :, 1, 1])
    finer = positions((12, 18)).mT.unflatten(-1, (12, 18))
    # Centres of every third cell are those of the coarse grid, where an interpolation is exact.
    torch.testing.assert_close(finer[..., 1::3, 1::3], weight)
    assert finer[..., 0, 0].sub(weight[..., 0, 0]).abs().min() > 0


def test_channels_that_are_no_multiple_of_four_are_refused():
    with pytest.raises(ValueError, match=r"multiple of 4 channels, got 6"):
        sincos_positions(2, 2, 6)
