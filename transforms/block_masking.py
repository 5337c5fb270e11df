"""Which blocks of each image of a batch are hidden from masked image modelling."""

import torch
from monai.transforms import Transform
from monai.utils import StrEnum, look_up_option
from torch import Tensor
from torch.nn import functional as F


class MaskingScope(StrEnum):
    """Which blocks may be hidden: those of the breast, or all."""

    BREAST = "breast"
    IMAGE = "image"


class BlockMasking(Transform):
    """Hide a share of the eligible blocks of each image, chosen uniformly without replacement.

    A block is eligible if more than ``threshold`` of its pixels are breast, or always with scope ``image``
    (the breast-aware and the dual-stage Swin paper). Exactly ``floor(ratio * eligible)`` blocks are hidden per image.

    Args:
        block_size: pixels along the side of a block.
        ratio: share of the eligible blocks to hide, in [0, 1].
        threshold: share of breast that a block must exceed, in [0, 1).
        scope: ``breast`` or ``image``, see :class:`MaskingScope`.

    Shape:
        - mask: ``(B, 1, H, W)``, breast mask of {0, 1}; H and W multiples of ``block_size``.
        - output: ``(B, 1, H, W)`` float, 1 where a pixel is hidden. Random numbers come from ``generator``, else
          from torch's global one; a generator on the CPU gives the same blocks on every device.

    Raises:
        ValueError: an argument out of its range, an unknown scope, or a mask of other axes or size.
    """

    def __init__(
        self, block_size: int = 16, ratio: float = 0.5, threshold: float = 0.5, scope: str = MaskingScope.BREAST
    ) -> None:
        if block_size < 1:
            raise ValueError(f"block_size must be 1 pixel or more, got {block_size}")
        if not 0 <= ratio <= 1:
            raise ValueError(f"ratio is a share of the eligible blocks in [0, 1], got {ratio}")
        if not 0 <= threshold < 1:
            raise ValueError(f"threshold is a share of a block in [0, 1), got {threshold}")
        self.block_size = block_size
        self.ratio = ratio
        self.threshold = threshold
        self.scope = look_up_option(scope, MaskingScope)

    def __call__(self, mask: Tensor, generator: torch.Generator | None = None) -> Tensor:
        self._check(mask)
        share = F.avg_pool2d(mask.float(), self.block_size)  # (B, 1, h, w), one value per block
        eligible = share > self.threshold if self.scope is MaskingScope.BREAST else torch.ones_like(share).bool()
        eligible = eligible.flatten(1)
        # 1e-9: 0.29 * 100 is a hair under 29 in floating point.
        wanted = (eligible.sum(dim=1, keepdim=True).double() * self.ratio + 1e-9).floor()  # (B, 1)
        device = generator.device if generator is not None else mask.device
        scores = torch.rand(eligible.shape, generator=generator, dtype=torch.float64, device=device).to(mask.device)
        # Blocks that are not eligible rank behind all others; the first of the ranking are hidden.
        ranks = scores.masked_fill(~eligible, 2.0).argsort(dim=1).argsort(dim=1)
        hidden = (ranks < wanted).to(torch.float32).view(share.shape)
        return F.interpolate(hidden, scale_factor=self.block_size, mode="nearest")

    def _check(self, mask: Tensor) -> None:
        if mask.ndim != 4 or mask.shape[1] != 1:
            raise ValueError(f"the mask must be (B, 1, H, W), got {tuple(mask.shape)}")
        height, width = mask.shape[-2:]
        if height % self.block_size or width % self.block_size:
            raise ValueError(
                f"mask {height}x{width} is not a multiple of blocks of {self.block_size}; choose another "
                f"block_size, resize, or pad image and mask with DivisiblePadd(k={self.block_size})"
            )
