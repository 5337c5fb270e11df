"""``mammo convert``: public weights into a file for ``--pretrained``, and ours into one for other tools."""

from __future__ import annotations

import logging
import re
from collections import Counter
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from ..networks import encoder_state, read_state
from ..networks.public_swin import IMAGENET, convert_swin, export_swin
from ..networks.swin import LAYOUTS
from .files import write_atomically

__all__ = ["convert", "export"]

logger = logging.getLogger(__name__)


def convert(weights: Path, out: Path, *, colour: bool = False) -> Path:
    """Write the encoder of a public Swin checkpoint in our layout.

    Args:
        weights: ``.pt``, ``.pth`` or ``.safetensors`` with the names of the official repository, timm, SimMIM or
            transformers; tensors only, no code from it is run.
        out: the ``.safetensors`` file to write.
        colour: leave three input channels; otherwise they become one, for ``image_mean`` 0.449 and ``image_std`` 0.226.

    Raises:
        ValueError: for another kind of file or network, or an ``out`` of another kind.
    """
    _check_ending(out)
    state, left = convert_swin(read_state(weights), None if colour else IMAGENET)
    write_atomically(out, save({name: tensor.contiguous() for name, tensor in state.items()}))
    logger.info("%s: %d tensors, %s", out, len(state), _describe(state))
    if left:
        logger.info("left aside: %s", ", ".join(left[:8]) + (f" and {len(left) - 8} more" if len(left) > 8 else ""))
    return out


def export(checkpoint: Path, out: Path) -> Path:
    """Write the encoder of a checkpoint of ours under the official names, for other tools.

    Raises:
        ValueError: for another kind of file or network, or an ``out`` of another kind.
    """
    _check_ending(out)
    state = export_swin(encoder_state(checkpoint))
    write_atomically(out, save({name: tensor.contiguous() for name, tensor in state.items()}))
    logger.info("%s: %d tensors under the names of the official repository and timm", out, len(state))
    return out


def _check_ending(out: Path) -> None:
    if out.suffix != ".safetensors":
        raise ValueError(f"{out}: weights are written as .safetensors; name such a file")


def _describe(state: dict[str, Tensor]) -> str:
    weight = state["swin.patch_embed.proj.weight"]
    found = {match.groups() for name in state if (match := re.match(r"swin\.layers(\d)\.0\.blocks\.(\d+)\.", name))}
    counts = Counter(stage for stage, _ in found)
    depths = tuple(counts[stage] for stage in sorted(counts))
    tables = [state[f"swin.layers{stage}.0.blocks.0.attn.relative_position_bias_table"] for stage in sorted(counts)]
    heads = tuple(table.shape[1] for table in tables)
    window = (round(len(tables[0]) ** 0.5) + 1) // 2
    size = next((name for name, layout in LAYOUTS.items() if layout[:3] == (len(weight), depths, heads)), None)
    kind = f"--size {size}" if size else f"embed_dim {len(weight)}, depths {depths}, heads {heads}"
    return f"{weight.shape[1]} input channel(s), {kind}, window {window}"
