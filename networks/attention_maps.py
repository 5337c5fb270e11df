"""Attention maps of a Swin encoder: record them in a forward pass, stitch them back to image space."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from monai.networks.nets.swin_unetr import SwinTransformerBlock, get_window_size, window_reverse
from monai.utils import StrEnum, look_up_option
from torch import Tensor, nn


class AttentionLayers(StrEnum):
    """Which attention layers :func:`record_attention` records."""

    ALL = "all"
    LAST = "last"


@dataclass(frozen=True)
class WindowGrid:
    """How the tokens of one attention layer were cut into windows; all sizes in tokens, rows before columns.

    Attributes:
        size: rows and columns of the map before padding.
        window: rows and columns of a window.
        shift: how far the map was rolled up and to the left before it was cut, 0 for a layer without shift.
    """

    size: tuple[int, int]
    window: tuple[int, int]
    shift: tuple[int, int]

    @property
    def padded_size(self) -> tuple[int, int]:
        """Rows and columns after padding at the bottom and right to whole windows."""
        rows, columns = (-(-size // window) * window for size, window in zip(self.size, self.window, strict=True))
        return rows, columns


@dataclass
class AttentionRecord:
    """Attention of the last forward pass, one entry per recorded layer from first to last.

    Attributes:
        maps: row-stochastic matrices ``(B * windows, heads, N, N)``, queries x keys, part of the autograd graph
            where the forward pass had one.
        grids: how the windows of each map lie in its image.
    """

    maps: list[Tensor] = field(default_factory=list)
    grids: list[WindowGrid] = field(default_factory=list)


@contextmanager
def record_attention(encoder: nn.Module, layers: str = AttentionLayers.ALL) -> Iterator[AttentionRecord]:
    """Record the attention maps of each forward pass of ``encoder`` while the context is open.

    The record holds the most recent pass; its tensors outlive the context. Nothing is left on the encoder,
    after an exception neither. The recomputation of ``use_checkpoint`` is not recorded twice.

    Args:
        encoder: a network that holds MONAI Swin blocks, such as :class:`SwinEncoder`.
        layers: ``all`` or ``last``, see :class:`AttentionLayers`.

    Raises:
        ValueError: ``encoder`` holds no Swin block, or ``layers`` is unknown.
    """
    blocks = [module for module in encoder.modules() if isinstance(module, SwinTransformerBlock)]
    if not blocks:
        raise ValueError(f"{type(encoder).__name__} holds no Swin block; give a SwinEncoder or a network around one")
    if look_up_option(layers, AttentionLayers) is AttentionLayers.LAST:
        blocks = blocks[-1:]
    record = AttentionRecord()

    def add_grid(block: SwinTransformerBlock, inputs: tuple[Tensor, ...]) -> None:
        if block is blocks[0]:
            record.maps, record.grids = [], []
        size = (int(inputs[0].shape[1]), int(inputs[0].shape[2]))
        record.grids.append(WindowGrid(size, *get_window_size(size, block.window_size, block.shift_size)))

    def add_map(softmax: nn.Module, inputs: tuple[Tensor, ...], attention: Tensor) -> None:
        # Checkpointing runs the softmax again in the backward pass, without entering the block.
        if len(record.maps) < len(record.grids):
            record.maps.append(attention)

    with ExitStack() as hooks:
        for block in blocks:
            hooks.callback(block.register_forward_pre_hook(add_grid).remove)
            hooks.callback(block.attn.softmax.register_forward_hook(add_map).remove)
        yield record


def stitch_windows(values: Tensor, grid: WindowGrid) -> Tensor:
    """Put values per window and token back in their place in the image.

    Args:
        values: ``(B * windows, channels, N)``, windows row by row, tokens row by row in a window.
        grid: how the windows were cut.

    Returns:
        ``(B, channels, h, w)`` without the padding and with the shift undone.
    """
    height, width = grid.padded_size
    windows = (height // grid.window[0]) * (width // grid.window[1])
    channels = values.shape[1]
    tokens = values.transpose(1, 2).reshape(-1, *grid.window, channels)  # (B * windows, rows, columns, channels)
    image = window_reverse(tokens, grid.window, (values.shape[0] // windows, height, width))
    image = image.roll(grid.shift, dims=(1, 2))[:, : grid.size[0], : grid.size[1]]
    return image.permute(0, 3, 1, 2)  # (B, channels, h, w)


def stitch_attention_received(attention: Tensor, grid: WindowGrid) -> Tensor:
    """Attention each token receives: the mean over the queries of its window, stitched to image space.

    Args:
        attention: ``(B * windows, heads, N, N)``, queries x keys.
        grid: how the windows were cut.

    Returns:
        ``(B, heads, h, w)``, in [0, 1]; 1 / N everywhere where attention is uniform.
    """
    return stitch_windows(attention.mean(dim=-2), grid)


def stitch_gradient_attention(attention: Tensor, gradient: Tensor, grid: WindowGrid) -> Tensor:
    r"""Attention weighted by what it does for a score y: the mean over heads of :math:`relu(dy/dA \odot A)`.

    Heads that do not matter for y, or speak against it, fall away (Chefer et al. 2021, arXiv:2012.09838).

    Args:
        attention: ``(B * windows, heads, N, N)``, queries x keys.
        gradient: dy/dA, of the same shape.
        grid: how the windows were cut.

    Returns:
        ``(B, 1, h, w)``, non-negative: the mean over heads and over the queries of each token's window.
    """
    weighted = (gradient * attention).relu().mean(dim=1, keepdim=True)
    return stitch_attention_received(weighted, grid)
