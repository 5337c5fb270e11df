"""What the pretraining of a masked autoencoder minimises, from the image as it was rendered."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..masked_autoencoder import AutoencoderOutput
from .patch_reconstruction import MultiScaleReconstructionLoss, PatchRegion, TargetSource, multi_scale_targets

__all__ = ["AutoencoderObjective"]


class AutoencoderObjective(nn.Module):
    """:class:`MultiScaleReconstructionLoss` against the images of each scale that one rendered image gives.

    Args:
        reconstruction: the loss.
        source: see :func:`multi_scale_targets`.

    Attributes:
        parts: the detached term of each scale of the last call, by name.

    Shape:
        - output: see :class:`AutoencoderOutput`.
        - rendered: ``(B, C + 1, H, W)``, image and breast mask: at the largest scale for ``native``, else at scale 1.
        - result: scalar.
    """

    def __init__(self, reconstruction: MultiScaleReconstructionLoss, source: str = TargetSource.NATIVE) -> None:
        super().__init__()
        self.reconstruction = reconstruction
        self.source = source
        self.scales: Sequence[int] = tuple(reconstruction.loss_on)
        self.parts: dict[str, Tensor] = {}

    def forward(self, output: AutoencoderOutput, rendered: Tensor) -> Tensor:
        targets, masks = self._targets(rendered)
        error: Tensor = self.reconstruction(output, targets, masks)
        self.parts = self.reconstruction.parts
        return error

    def images(self, output: AutoencoderOutput, rendered: Tensor) -> list[tuple[Tensor, Tensor]]:
        """For each scale the target and the prediction in grey values, ``(B, C, H, W)``.

        Where only removed patches count, the others are the target's.
        """
        targets, masks = self._targets(rendered)
        given = [None] * len(targets) if masks is None else masks
        pairs = []
        for scale, prediction, target, mask in zip(self.scales, output.predictions, targets, given, strict=True):
            image = self.reconstruction.to_image(prediction, target, mask)
            pairs.append((target, self.reconstruction.completed(scale, image, output.hidden, target)))
        return pairs

    def _targets(self, rendered: Tensor) -> tuple[list[Tensor], list[Tensor] | None]:
        both = multi_scale_targets(rendered, self.scales, self.source)
        masks = [one[:, -1:] for one in both] if self.reconstruction.region is PatchRegion.BREAST else None
        return [one[:, :-1] for one in both], masks
