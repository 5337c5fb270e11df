"""Reconstruction error patch by patch at one or several scales, and the images that it is measured against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from monai.utils import StrEnum, look_up_option
from torch import Tensor, nn
from torch.nn import functional as F

from ..masked_autoencoder import AutoencoderOutput, patchify, unpatchify
from .block_normalisation import EPS

__all__ = ["CountedPatches", "MultiScaleReconstructionLoss", "PatchRegion", "TargetSource", "multi_scale_targets"]


class CountedPatches(StrEnum):
    """Patches of a scale that count: those that were removed from the input, or all."""

    MASKED = "masked"
    ALL = "all"


class PatchRegion(StrEnum):
    """Pixels of a patch that count: all, or those of the breast."""

    IMAGE = "image"
    BREAST = "breast"


class TargetSource(StrEnum):
    """Where the larger targets come from: read at the largest scale, or enlarged from the input."""

    NATIVE = "native"
    NEAREST = "nearest"


class MultiScaleReconstructionLoss(nn.Module):
    r"""Mean over scales of the squared error of a patch, averaged over the patches that count.

    .. math:: L = \frac{1}{|S|} \sum_{s \in S} \frac{1}{|P_s|} \sum_{k \in P_s}
        \frac{\sum_{i \in k} w_i (\hat x_i - \tilde x_i)^2}{\sum_{i \in k} w_i}, \quad
        \tilde x_i = \frac{x_i - \mu_k}{\sqrt{\sigma_k^2 + 10^{-6}}}

    With scale 1 and ``masked`` this is the loss of MAE (He et al. 2022, arXiv:2111.06377). The two scales of MIRAM
    (Vo et al. 2025, arXiv:2503.07157) are averaged as its text says; its code adds them up. Of a larger scale,
    ``masked`` are the children of removed patches. ``all`` at both scales is the paper's setting with standard
    attention, ``masked`` and ``all`` that of its linear ones.

    Args:
        patch_size: pixels along the side of a patch, at every scale.
        normalise: bring each patch of the target to mean 0 and variance 1 (unbiased), over all its channels.
        loss_on: ``masked`` or ``all`` for each scale, in the order of the network's ``scales``.
        region: ``image``, or ``breast``: pixels outside the breast count neither in the error nor in mean and variance,
            and patches without breast not at all (as in :class:`MaskedReconstructionLoss`).

    Attributes:
        parts: the detached term of each scale of the last call, ``scale_1`` and so on.

    Shape:
        - output: see :class:`AutoencoderOutput`, of N patches.
        - targets: for each scale s ``(B, C, s * H, s * W)``; masks: the same with one channel, in the breast from one
          half on, needed for ``breast``.
        - result: scalar; 0 where no patch counts.

    Raises:
        ValueError: an unknown option, no scale, ``breast`` without masks, or images that do not fit the predictions.
    """

    def __init__(
        self,
        patch_size: int = 16,
        normalise: bool = True,
        loss_on: Mapping[int, str] | Mapping[str, str] | None = None,
        region: str = PatchRegion.IMAGE,
    ) -> None:
        super().__init__()
        chosen = {1: CountedPatches.MASKED, 2: CountedPatches.ALL} if loss_on is None else loss_on
        if not chosen:
            raise ValueError("loss_on names no scale; give one entry for each of the network's scales")
        self.patch_size = patch_size
        self.normalise = normalise
        # Names of configuration files are strings.
        self.loss_on = {int(scale): look_up_option(patches, CountedPatches) for scale, patches in chosen.items()}
        self.region = look_up_option(region, PatchRegion)
        self.parts: dict[str, Tensor] = {}

    def forward(
        self, output: AutoencoderOutput, targets: Sequence[Tensor], masks: Sequence[Tensor] | None = None
    ) -> Tensor:
        scales = list(self.loss_on)
        given = masks if masks is not None else [None] * len(targets)
        if not len(output.predictions) == len(targets) == len(given) == len(scales):
            raise ValueError(
                f"loss_on has scales {scales}: it takes as many predictions, targets and masks, got "
                f"{len(output.predictions)}, {len(targets)} and {len(given)}"
            )
        terms = [
            self._scale_error(scale, prediction, output.hidden, target, mask)
            for scale, prediction, target, mask in zip(scales, output.predictions, targets, given, strict=True)
        ]
        self.parts = {f"scale_{scale}": term.detach() for scale, term in zip(scales, terms, strict=True)}
        return torch.stack(terms).mean()

    def to_image(self, prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """One scale's prediction as an image ``(B, C, H, W)``, with the true mean and deviation of every patch.

        Args:
            prediction: ``(B, N, patch_size**2 * C)``.
            target: ``(B, C, H, W)``.
            mask: ``(B, 1, H, W)``, needed for ``breast``.
        """
        grid = (target.shape[-2] // self.patch_size, target.shape[-1] // self.patch_size)
        patches = patchify(target, self.patch_size).to(torch.promote_types(target.dtype, torch.float32))
        if self.normalise:
            mean, deviation = _statistics(patches, self._weights(target, mask))
            prediction = prediction * deviation + mean
        return unpatchify(prediction, grid, self.patch_size)

    def completed(self, scale: int, prediction: Tensor, hidden: Tensor, target: Tensor) -> Tensor:
        """The image of :meth:`to_image` as it is shown: patches whose prediction nothing trains are the target's.

        Args:
            scale: of the target.
            prediction: ``(B, C, H, W)``, of :meth:`to_image`.
            hidden: ``(B, N)``, 1 for removed patches.
            target: ``(B, C, H, W)``.
        """
        if self.loss_on[scale] is CountedPatches.ALL:
            return prediction
        grid = (target.shape[-2] // self.patch_size, target.shape[-1] // self.patch_size)
        removed = self._children(hidden, scale, target)[..., None].bool()  # (B, N, 1)
        painted, true = (patchify(one, self.patch_size) for one in (prediction, target.to(prediction)))
        return unpatchify(torch.where(removed, painted, true), grid, self.patch_size)

    def _scale_error(
        self, scale: int, prediction: Tensor, hidden: Tensor, target: Tensor, mask: Tensor | None
    ) -> Tensor:
        patches = patchify(target, self.patch_size).to(torch.promote_types(target.dtype, torch.float32))
        if prediction.shape != patches.shape or patches.shape[1] != scale**2 * hidden.shape[1]:
            raise ValueError(
                f"scale {scale} of {hidden.shape[1]} patches wants a target that gives {tuple(prediction.shape)} "
                f"values; that of {tuple(target.shape)} gives {tuple(patches.shape)}"
            )
        weights = self._weights(target, mask)
        if self.normalise:
            mean, deviation = _statistics(patches, weights)
            patches = (patches - mean) / deviation
        area = weights.sum(dim=-1)  # (B, N_s)
        errors = ((prediction - patches).square() * weights).sum(dim=-1) / area.clamp(min=1)
        counted = (area > 0).to(errors)
        if self.loss_on[scale] is CountedPatches.MASKED:
            counted = counted * self._children(hidden, scale, target)
        return (errors * counted).sum() / counted.sum().clamp(min=1)

    def _children(self, hidden: Tensor, scale: int, target: Tensor) -> Tensor:
        """The mask of removed patches ``(B, N)`` for the patches of a larger scale."""
        rows, columns = (side // self.patch_size // scale for side in target.shape[-2:])
        grid = hidden.unflatten(1, (rows, columns))
        return grid.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2).flatten(1)

    def _weights(self, target: Tensor, mask: Tensor | None) -> Tensor:
        """Weights ``(B, N, patch_size**2 * C)`` of {0, 1} of the values of each patch."""
        if self.region is PatchRegion.IMAGE:
            return torch.ones_like(patchify(target, self.patch_size), dtype=torch.float32)
        if mask is None or mask.shape != target[:, :1].shape:
            raise ValueError(
                f"region breast wants a mask {tuple(target[:, :1].shape)} for each target, got "
                f"{None if mask is None else tuple(mask.shape)}"
            )
        return patchify((mask >= 0.5).float().expand_as(target), self.patch_size)


def _statistics(patches: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation ``(B, N, 1)`` of the values of each patch that count."""
    count = weights.sum(dim=-1, keepdim=True)
    mean = (patches * weights).sum(dim=-1, keepdim=True) / count.clamp(min=1)
    variance = ((patches - mean).square() * weights).sum(dim=-1, keepdim=True) / (count - 1).clamp(min=1)
    return mean, (variance + EPS).sqrt()


def multi_scale_targets(image: Tensor, scales: Sequence[int], source: str = TargetSource.NATIVE) -> list[Tensor]:
    """One image for each scale, the first of them what the network sees.

    ``native``, ours, reads the crop once at the largest scale; the others are means over its pixels. ``nearest`` is
    what MIRAM's code does: the input is enlarged, and the larger targets hold no detail that it has not.

    Args:
        image: ``(B, C, H, W)`` at the largest scale for ``native``, at scale 1 for ``nearest``; may hold a breast mask,
            whose means are then shares.
        scales: of the network, in rising order.
        source: ``native`` or ``nearest``.

    Raises:
        ValueError: an unknown source, scales that do not divide the largest, or an image that it does not divide.
    """
    if look_up_option(source, TargetSource) is TargetSource.NEAREST:
        return [image if scale == 1 else F.interpolate(image, scale_factor=scale, mode="nearest") for scale in scales]
    largest = max(scales)
    if any(largest % scale for scale in scales) or any(side % largest for side in image.shape[-2:]):
        raise ValueError(
            f"means over whole pixels need scales that divide the largest, and it the image: got {tuple(scales)} and "
            f"{tuple(image.shape[-2:])}"
        )
    return [image if scale == largest else F.avg_pool2d(image, largest // scale) for scale in scales]
