"""Reconstruction error over the breast, the frame, or what was hidden of them."""

import torch
from monai.utils import StrEnum, look_up_option
from torch import Tensor, nn

from .block_normalisation import block_statistics


class LossRegion(StrEnum):
    """Pixels that count for :class:`MaskedReconstructionLoss`."""

    BREAST = "breast"
    IMAGE = "image"
    HIDDEN = "hidden"
    HIDDEN_BREAST = "hidden_breast"


class ReconstructionError(StrEnum):
    """What a pixel adds to :class:`MaskedReconstructionLoss`: the absolute error, or its square."""

    L1 = "l1"
    MSE = "mse"


class MaskedReconstructionLoss(nn.Module):
    r"""Mean over images of the error averaged over a region M of each image.

    .. math:: L = \frac{1}{B} \sum_b \frac{\sum e(\hat x_b - x_b) M_b}{\sum M_b + 10^{-8}}

    with :math:`e(d) = |d|` (``l1``) or :math:`d^2` (``mse``). With ``l1``, ``breast`` is the breast-aware paper's
    loss, ``image`` the plain L1 of the dual-stage paper, ``hidden`` SimMIM's (arXiv:2111.09886). An image with an
    empty region adds 0 to the sum and is counted in B.

    Args:
        region: which pixels count, see :class:`LossRegion`.
        error: what a pixel adds, see :class:`ReconstructionError`.
        normalised_block: side in pixels of blocks, each of which is brought to mean 0 and variance 1 before it is the
            target, over the breast where the region is of the breast: texture counts as much in a faint block as in a
            bright one (:func:`~mammo.networks.losses.block_normalisation.block_statistics`). None: pixels as they are.

    Attributes:
        empty_count: int64 scalar, images of the last batch whose region was empty.

    Shape:
        - pred: ``(B, 1, H, W)``.
        - target: ``(B, 3, H, W)``, image, breast mask and hidden pixels, the latter two of {0, 1}.
        - output: scalar, 0 or more.

    Raises:
        ValueError: an unknown region or error, or shapes that do not fit.
    """

    empty_count: Tensor

    def __init__(
        self,
        region: str = LossRegion.BREAST,
        error: str = ReconstructionError.L1,
        normalised_block: int | None = None,
    ) -> None:
        super().__init__()
        self.normalised_block = normalised_block
        self.region = look_up_option(region, LossRegion)
        self.error = look_up_option(error, ReconstructionError)
        self.register_buffer("empty_count", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        b, _, h, w = pred.shape
        if pred.shape != (b, 1, h, w) or target.shape != (b, 3, h, w):
            raise ValueError(
                f"expected pred (B, 1, H, W) and target (B, 3, H, W) of image, mask and hidden; "
                f"got {tuple(pred.shape)} and {tuple(target.shape)}"
            )
        image, mask, hidden = target.split(1, dim=1)
        region = {
            LossRegion.BREAST: mask,
            LossRegion.IMAGE: torch.ones_like(mask),
            LossRegion.HIDDEN: hidden,
            LossRegion.HIDDEN_BREAST: mask * hidden,
        }[self.region]
        if self.normalised_block is not None:
            mean, deviation = self._statistics(target)
            image = (image - mean) / deviation
        gap = pred - image
        error = gap.abs() if self.error is ReconstructionError.L1 else gap.square()
        area = region.sum(dim=(1, 2, 3))  # (B,)
        self.empty_count = (area == 0).sum()
        return ((error * region).sum(dim=(1, 2, 3)) / (area + 1e-8)).mean()

    def to_image(self, pred: Tensor, target: Tensor) -> Tensor:
        """The prediction ``(B, 1, H, W)`` in grey values, with the true mean and deviation of each normalised block."""
        if self.normalised_block is None:
            return pred
        mean, deviation = self._statistics(target)
        return pred * deviation + mean

    def _statistics(self, target: Tensor) -> tuple[Tensor, Tensor]:
        image, mask, _ = target.split(1, dim=1)
        weights = mask if self.region in (LossRegion.BREAST, LossRegion.HIDDEN_BREAST) else torch.ones_like(mask)
        return block_statistics(image, weights, self.normalised_block or 1)
