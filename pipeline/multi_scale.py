"""Batches and pictures of masked autoencoders that reconstruct at several scales."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import PIL.Image
import torch
from ignite.engine import Events
from monai.engines import Workflow
from torch import Tensor
from torch.nn import functional as F

from ..networks import patchify, unpatchify
from ..networks.losses import AutoencoderObjective
from .engines import RandomBatches
from .files import write_atomically

__all__ = ["MultiScalePictures", "PrepareMultiScaleBatch"]


class PrepareMultiScaleBatch(RandomBatches):
    """Draw which patches of a batch are removed, and shrink what was rendered to what the network sees.

    Returns MONAI's four-part batch: the input ``(B, 2, H, W)`` (image, breast mask), the image as it was rendered
    ``(B, 2, scale * H, scale * W)`` as target, no further arguments, and ``noise`` ``(B, N)`` for the network.

    Args:
        patch_size: pixels along the side of a patch.
        scale: by how much the rendered image is larger than the input, whose pixels are means over
            ``scale x scale`` of it.
        seed, repeat: see :class:`~mammo.pipeline.engines.RandomBatches`.
    """

    def __init__(self, patch_size: int = 16, scale: int = 1, *, seed: int = 0, repeat: bool = False) -> None:
        super().__init__(seed=seed, repeat=repeat)
        self.patch_size, self.scale = patch_size, scale

    def __call__(
        self, batch: Mapping[str, Any], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[Tensor, Tensor, tuple[()], dict[str, Tensor]]:
        rendered = batch["image"].to(device=device, non_blocking=non_blocking, **kwargs)
        image = F.avg_pool2d(rendered, self.scale) if self.scale > 1 else rendered
        patches = (image.shape[-2] // self.patch_size) * (image.shape[-1] // self.patch_size)
        noise = torch.rand(len(image), patches, generator=self.generator).to(image.device)
        return image, rendered, (), {"noise": noise}


class MultiScalePictures:
    """Write one picture an epoch of validation images: what the network saw, and each scale beside its target.

    A column is one of the first images. Rows from above: the input without the removed patches, and for each scale the
    target and the reconstruction, all enlarged to the largest of them.

    Args:
        directory: receives ``reconstruction_epoch_001.png`` and so on.
        objective: knows the targets.
        patch_size: pixels along the side of a patch.
        images: how many images are shown.
    """

    def __init__(
        self, directory: str | Path, *, objective: AutoencoderObjective, patch_size: int = 16, images: int = 4
    ) -> None:
        self.directory = Path(directory)
        self.objective = objective
        self.patch_size = patch_size
        self.images = images

    def attach(self, engine: Workflow) -> None:
        """Register with the validation ``engine``, which must not decollate its output."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Workflow) -> None:
        if idist.get_rank() != 0 or (engine.state.iteration - 1) % engine.state.epoch_length:
            return
        output, rendered = engine.state.output["pred"], engine.state.output["label"]
        pairs = self.objective.images(output, rendered)
        image = engine.state.output["image"][: self.images, :1]
        hidden = output.hidden[: self.images, :, None]
        grid = (image.shape[-2] // self.patch_size, image.shape[-1] // self.patch_size)
        seen = unpatchify(patchify(image, self.patch_size) * (1 - hidden), grid, self.patch_size)
        rows = [seen, *(picture[: self.images, :1] for pair in pairs for picture in pair)]
        path = self.directory / f"reconstruction_epoch_{engine.state.epoch:03d}.png"
        write_atomically(path, _png(rows))


def _png(rows: Sequence[Tensor]) -> bytes:
    """Rows of pictures ``(B, 1, H, W)`` in [0, 1], each enlarged to the largest, as one PNG file."""
    size = max(tuple(row.shape[-2:]) for row in rows)
    enlarged = [F.interpolate(row.detach().float().cpu().clamp(0, 1), size, mode="nearest")[:, 0] for row in rows]
    grid = torch.cat([torch.cat(list(row), dim=1) for row in enlarged])
    file = io.BytesIO()
    PIL.Image.fromarray((grid * 255).round().to(torch.uint8).numpy()).save(file, format="PNG")
    return file.getvalue()
