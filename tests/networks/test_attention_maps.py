import pytest
import torch
from mammo.networks import (
    SwinEncoder,
    WindowGrid,
    record_attention,
    stitch_attention_received,
    stitch_gradient_attention,
)
from monai.networks.nets.swin_unetr import WindowAttention
from torch import Tensor


@pytest.fixture
def encoder() -> SwinEncoder:
    return SwinEncoder(size="micro", stem="patch", patch_size=4, window_size=7).eval()


def hooks_left(encoder: SwinEncoder) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in encoder.modules())


def planted(grid: WindowGrid, token: tuple[int, int]) -> Tensor:
    """Attention of one image, one head: all queries of a window look at ``token``, or at their window's corner.

    Where a token lies is worked out token by token, the long way.
    """
    height, width = grid.padded_size
    row, column = (token[0] - grid.shift[0]) % height, (token[1] - grid.shift[1]) % width
    tokens = grid.window[0] * grid.window[1]
    across = width // grid.window[1]
    attention = torch.zeros(across * height // grid.window[0], 1, tokens, tokens)
    window = row // grid.window[0] * across + column // grid.window[1]
    attention[window, 0, :, row % grid.window[0] * grid.window[1] + column % grid.window[1]] = 1
    return attention


GRIDS = [
    WindowGrid((14, 21), (7, 7), (0, 0)),
    WindowGrid((14, 21), (7, 7), (3, 3)),
    WindowGrid((25, 18), (7, 7), (0, 0)),
    WindowGrid((25, 18), (7, 7), (3, 3)),
    WindowGrid((4, 18), (4, 7), (0, 3)),
]


@pytest.mark.parametrize("grid", GRIDS)
def test_token_that_all_queries_look_at_receives_all_at_its_place(grid):
    rows, columns = grid.size
    for token in [(0, 0), (rows - 1, columns - 1), (rows // 2, columns - 2), (2, 9)]:
        received = stitch_attention_received(planted(grid, token), grid)
        expected = torch.zeros(1, 1, rows, columns)
        expected[0, 0, token[0], token[1]] = 1
        torch.testing.assert_close(received, expected)


@pytest.mark.parametrize("grid", GRIDS)
def test_images_of_a_batch_and_heads_are_kept_apart(grid):
    first, second = planted(grid, (1, 2)), planted(grid, (3, 11))
    attention = torch.cat([torch.cat([first, second], dim=1), torch.cat([second, first], dim=1)])
    received = stitch_attention_received(attention, grid)
    assert received.shape == (2, 2, *grid.size)
    torch.testing.assert_close(received[0], received[1].flip(0))
    assert received[0, 0, 1, 2] == received[0, 1, 3, 11] == 1


@pytest.mark.parametrize("size", [(224, 224), (96, 160), (250, 130)])
def test_uniform_attention_gives_flat_maps_in_every_layer(encoder, size):
    for module in encoder.modules():
        if isinstance(module, WindowAttention):
            torch.nn.init.zeros_(module.qkv.weight)
            torch.nn.init.zeros_(module.relative_position_bias_table)
    with record_attention(encoder) as record, torch.no_grad():
        encoder(torch.rand(2, 1, *size))
    for attention, grid in zip(record.maps, record.grids, strict=True):
        received = stitch_attention_received(attention, grid)
        assert received.shape[-2:] == grid.size
        torch.testing.assert_close(received, torch.full_like(received, 1 / attention.shape[-1]))


def test_attention_of_each_layer_is_row_stochastic_on_its_own_grid(encoder):
    with record_attention(encoder) as record:
        encoder(torch.rand(2, 1, 224, 160))
    assert [grid.size for grid in record.grids[::2]] == [(56, 40), (28, 20), (14, 10), (7, 5)]
    assert [grid.shift for grid in record.grids] == [(0, 0), (3, 3)] * 3 + [(0, 0), (0, 0)]
    for attention in record.maps:
        torch.testing.assert_close(attention.sum(dim=-1), torch.ones(attention.shape[:-1]))


@pytest.mark.parametrize("block", [0, 1])
def test_attention_to_a_bright_patch_lands_on_that_patch(encoder, block):
    """The window tokens that MONAI really forms tell where the patch went; the grid must lead back."""
    image = torch.zeros(1, 1, 160, 200)
    image[..., 4 * 30 : 4 * 31, 4 * 44 : 4 * 45] = 1  # the patch at row 30, column 44
    seen = []
    attention = encoder.swin.layers1[0].blocks[block].attn
    attention.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with record_attention(encoder) as record:
        encoder(image)
    tokens = seen[0]  # (windows, N, C)
    unlike = (tokens - tokens.flatten(0, 1).median(dim=0).values).square().sum(dim=-1)
    to_the_most_unlike = unlike[:, None, None, :].mul(1e4).softmax(dim=-1).expand(-1, 1, 49, -1)
    received = stitch_attention_received(to_the_most_unlike, record.grids[block])
    assert received[0, 0, 30, 44] > 0.99


def test_last_layer_only(encoder):
    image = torch.rand(1, 1, 96, 96)
    with record_attention(encoder) as everything, record_attention(encoder, "last") as last:
        encoder(image)
    assert len(everything.maps) == 8
    assert len(last.maps) == len(last.grids) == 1
    assert last.maps[0] is everything.maps[-1]


def test_record_holds_the_most_recent_pass(encoder):
    with record_attention(encoder) as record:
        encoder(torch.rand(1, 1, 96, 96))
        encoder(torch.rand(3, 1, 224, 224))
    assert len(record.maps) == len(record.grids) == 8
    assert record.grids[0].size == (56, 56)
    assert len(record.maps[0]) == 3 * 64


def test_no_hook_is_left_after_an_exception(encoder):
    before = hooks_left(encoder)
    with pytest.raises(ValueError, match="takes images"), record_attention(encoder):
        encoder(torch.rand(1, 5, 96, 96))
    assert hooks_left(encoder) == before


@pytest.mark.parametrize("use_checkpoint", [False, True])
def test_gradient_of_a_map_is_that_of_moving_it(use_checkpoint):
    """The recorded map is the one used downstream: its gradient predicts what changing it does."""
    encoder = SwinEncoder(
        size="micro", stem="patch", patch_size=4, window_size=7, use_checkpoint=use_checkpoint
    ).double()
    image, weight = torch.rand(1, 1, 64, 64).double(), torch.randn(192, 2, 2).double()
    with record_attention(encoder, "last") as record:
        score = (encoder(image)[-1] * weight).sum()
        (gradient,) = torch.autograd.grad(score, record.maps[0])
    assert len(record.maps) == 1
    step = 1e-6 * torch.randn_like(gradient)
    softmax = [m for m in encoder.modules() if isinstance(m, WindowAttention)][-1].softmax
    softmax.register_forward_hook(lambda module, inputs, output: output + step)
    moved = (encoder(image)[-1] * weight).sum()
    torch.testing.assert_close(moved - score, (gradient * step).sum(), rtol=1e-3, atol=0)


def test_gradient_weighting_keeps_heads_that_speak_for_the_score():
    grid = WindowGrid((14, 14), (7, 7), (3, 3))
    attention = torch.cat([planted(grid, (2, 3)), planted(grid, (9, 11))], dim=1)
    gradient = torch.ones_like(attention)
    gradient[:, 1] = -1  # the second head speaks against it
    weighted = stitch_gradient_attention(attention, gradient, grid)
    expected = torch.zeros(1, 1, 14, 14)
    expected[0, 0, 2, 3] = 0.5  # the mean over two heads
    torch.testing.assert_close(weighted, expected)


def test_network_without_swin_blocks_is_refused():
    with pytest.raises(ValueError, match="Linear holds no Swin block"), record_attention(torch.nn.Linear(2, 2)):
        pass


def test_unknown_layers_are_refused(encoder):
    with pytest.raises(ValueError, match="first"), record_attention(encoder, "first"):
        pass
