"""Attention by name."""

import inspect
from typing import Any

from monai.utils import StrEnum, look_up_option
from torch import nn

from .exact import MaterialisedAttention, StandardAttention
from .linformer import LinformerAttention
from .nystrom import NystromAttention
from .nystrom_2d import Nystrom2DAttention
from .performer import PerformerAttention


class AttentionKind(StrEnum):
    """The attentions of :func:`build_attention`; ``materialised`` is for benchmarks, ``nystrom_2d`` is ours."""

    STANDARD = "standard"
    MATERIALISED = "materialised"
    LINFORMER = "linformer"
    PERFORMER = "performer"
    NYSTROM = "nystrom"
    NYSTROM_2D = "nystrom_2d"


KINDS: dict[AttentionKind, type[nn.Module]] = {
    AttentionKind.STANDARD: StandardAttention,
    AttentionKind.MATERIALISED: MaterialisedAttention,
    AttentionKind.LINFORMER: LinformerAttention,
    AttentionKind.PERFORMER: PerformerAttention,
    AttentionKind.NYSTROM: NystromAttention,
    AttentionKind.NYSTROM_2D: Nystrom2DAttention,
}


def build_attention(
    kind: str, *, heads: int, head_dim: int, grid: tuple[int, int], prefix_tokens: int = 1, **options: Any
) -> nn.Module:
    """Attention of a kind, for the tokens of images of one size.

    All take queries, keys and values ``(B, heads, N, head_dim)``, apply the scale 1 / sqrt(head_dim) themselves,
    look in both directions and give ``(B, heads, N, head_dim)`` back.

    Args:
        kind: see :class:`AttentionKind`.
        heads: attention heads.
        head_dim: channels of a head.
        grid: rows and columns of tokens; N = prefix_tokens + rows * columns.
        prefix_tokens: tokens in front of the grid, one for a class token.
        options: keyword arguments of the class of that kind.

    Raises:
        ValueError: an unknown kind, sizes below 1, an option that the kind has not, or one that its class refuses.
    """
    built = KINDS[look_up_option(kind, AttentionKind)]
    if min(heads, head_dim, *grid) < 1 or prefix_tokens < 0:
        raise ValueError(
            f"heads={heads}, head_dim={head_dim} and both sides of grid={tuple(grid)} must be 1 or more, "
            f"prefix_tokens={prefix_tokens} 0 or more"
        )
    parameters = inspect.signature(built).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    unknown = sorted(options.keys() - set(known))
    if unknown:
        raise ValueError(f"{kind} attention has no option {', '.join(unknown)}; it has {', '.join(known) or 'none'}")
    layout = {
        "heads": heads,
        "head_dim": head_dim,
        "grid": (grid[0], grid[1]),
        "prefix_tokens": prefix_tokens,
        "tokens": prefix_tokens + grid[0] * grid[1],
    }
    # Options are keywords of the classes, what follows from the network their positional parameters.
    wanted = {parameter.name: layout[parameter.name] for parameter in parameters if parameter.name in layout}
    return built(**wanted, **options)
