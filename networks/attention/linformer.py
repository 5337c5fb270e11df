"""Linformer: keys and values are projected along the tokens to a fixed, smaller number."""

import torch
from monai.utils import StrEnum, look_up_option
from torch import Tensor, nn
from torch.nn import functional as F


class Sharing(StrEnum):
    """Which projections of :class:`LinformerAttention` are one and the same, in the paper's words."""

    NONE = "none"
    HEADWISE = "headwise"
    KEY_VALUE = "key_value"


class LinformerAttention(nn.Module):
    r"""Linformer (Wang et al. 2020, arXiv:2006.04768): softmax attention to k learnt mixtures of the tokens.

    .. math:: \mathrm{softmax}(Q (E K)^T / \sqrt{d}) \, F V, \quad E, F \in \mathbb{R}^{k \times N}

    E and F start uniform within :math:`\pm 1 / \sqrt{k}`. They belong to one number of tokens, so a network has
    to learn them again for images of another size.

    Args:
        tokens: N, with the class token.
        heads: attention heads.
        k: mixtures of tokens. More than ``tokens`` are refused, not cut: a projection that lengthens the sequence
            costs more than exact attention, and a network would not be what its options say.
        sharing: ``none``: E and F for every head; ``headwise``: one E and one F for all heads; ``key_value``: one
            matrix E = F for all heads. (Another implementation calls it shared when V = K; here it never is.)

    Shape:
        - q, k, v: ``(B, heads, tokens, d)``; the scale 1 / sqrt(d) is applied inside.
        - output: ``(B, heads, tokens, d)``.

    Raises:
        ValueError: ``k`` is below 1 or above ``tokens``, the sharing is unknown, or the input has other tokens.
    """

    def __init__(self, tokens: int, heads: int, *, k: int = 128, sharing: str = Sharing.KEY_VALUE) -> None:
        super().__init__()
        if not 1 <= k <= tokens:
            raise ValueError(
                f"k={k} mixtures of {tokens} tokens: k must be 1 to {tokens}; lower it or use standard attention"
            )
        self.tokens = tokens
        self.sharing = look_up_option(sharing, Sharing)
        shape = (heads, k, tokens) if self.sharing is Sharing.NONE else (k, tokens)
        self.key_mixtures = nn.Parameter(torch.empty(shape))
        one = self.sharing is Sharing.KEY_VALUE
        self.value_mixtures = None if one else nn.Parameter(torch.empty(shape))
        for mixtures in self.parameters():
            nn.init.uniform_(mixtures, -(k**-0.5), k**-0.5)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if not torch.jit.is_tracing() and k.shape[-2] != self.tokens:
            raise ValueError(
                f"Linformer was built for {self.tokens} tokens and got {k.shape[-2]}: build it for the grid of these "
                "images and train it again, or choose another attention"
            )
        keys = _mix(self.key_mixtures, k)
        values = _mix(self.key_mixtures if self.value_mixtures is None else self.value_mixtures, v)
        return F.scaled_dot_product_attention(q, keys, values)


def _mix(mixtures: Tensor, x: Tensor) -> Tensor:
    """``(k, N)`` or ``(heads, k, N)`` times ``(B, heads, N, d)``."""
    # One matrix for all heads is one large product; as a broadcast batch it would be B * heads small ones.
    return torch.einsum("kn,bhnd->bhkd", mixtures, x) if mixtures.ndim == 2 else mixtures @ x
