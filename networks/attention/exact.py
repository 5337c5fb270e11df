"""Softmax attention, fused as a network should run it and written out as a reference for benchmarks."""

from torch import Tensor, nn
from torch.nn import functional as F


class StandardAttention(nn.Module):
    """Softmax attention (Vaswani et al. 2017, arXiv:1706.03762) by torch's fused kernels, in O(N) memory.

    Shape:
        - q, k, v: ``(B, heads, N, d)``; the scale 1 / sqrt(d) is applied inside.
        - output: ``(B, heads, N, d)``.
    """

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v)


class MaterialisedAttention(nn.Module):
    """Softmax attention that writes its ``(N, N)`` matrices to memory, as networks did before fused kernels.

    For benchmarks: what published memory savings were measured against. Its values are those of
    :class:`StandardAttention`.

    Shape:
        - q, k, v: ``(B, heads, N, d)``; the scale 1 / sqrt(d) is applied inside.
        - output: ``(B, heads, N, d)``.
    """

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = (q * q.shape[-1] ** -0.5) @ k.mT  # (B, heads, N, N)
        return scores.softmax(dim=-1) @ v
