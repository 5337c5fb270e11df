"""Pull the features of breast and background apart."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BreastBackgroundContrast(nn.Module):
    r"""Mean cosine between the pooled features of breast and background of an image.

    .. math:: L = \frac{1}{B} \sum_b \cos(f^b_{breast}, f^b_{bg})

    An image without breast or without background has a zero vector; it adds 0 to the sum and is counted in B.

    Attributes:
        empty_count: int64 scalar, images of the last batch that had no breast or no background.

    Shape:
        - breast, background: ``(B, C)``, as :class:`MammogramClassifier` gives them in its details.
        - output: scalar in [-1, 1].
    """

    empty_count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("empty_count", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, breast: Tensor, background: Tensor) -> Tensor:
        empty = (breast == 0).all(dim=1) | (background == 0).all(dim=1)  # (B,)
        self.empty_count = empty.sum()
        # The gradient of the cosine is unbounded at 0: empty images are taken out before, not after it.
        ones = torch.ones_like(breast)
        breast = torch.where(empty[:, None], ones, breast)
        background = torch.where(empty[:, None], ones, background)
        return F.cosine_similarity(breast, background, dim=1).masked_fill(empty, 0.0).mean()
