"""Nyströmformer: landmarks are means of segments of the sequence."""

import torch
from torch import Tensor, nn

from .landmarks import attend_by_landmarks, check_options, segment_means


class NystromAttention(nn.Module):
    """Nyströmformer (Xiong et al. 2021, arXiv:2102.03902): attention by way of segment means, and a convolution.

    The sequence is cut into contiguous segments whose lengths differ by one at most, so any number of tokens will do
    without padding. A depth-wise convolution of the values along the sequence is added, one filter a head.

    With as many landmarks as tokens this is not exact attention: the pseudo-inverse stops before it is accurate (by
    5 % after 6 iterations on random input), and nothing is switched. Take standard attention for short sequences.
    More iterations come closer where landmarks differ, and may magnify the error where they hardly do.

    Args:
        heads: attention heads.
        landmarks: segments, 64 in Nyströmformer. More than there are tokens are refused, not cut: a network would not
            be what its options say.
        iterations: of the pseudo-inverse.
        kernel: tokens that the convolution spans, an odd number; None leaves it out.

    Shape:
        - q, k, v: ``(B, heads, N, d)``, N at least ``landmarks``; the scale 1 / sqrt(d) is applied inside.
        - output: ``(B, heads, N, d)``.

    Raises:
        ValueError: landmarks or iterations below 1, an even kernel, or fewer tokens than landmarks.
    """

    def __init__(self, heads: int, *, landmarks: int = 64, iterations: int = 6, kernel: int | None = 33) -> None:
        super().__init__()
        check_options(iterations, kernel)
        if landmarks < 1:
            raise ValueError(f"attention by way of landmarks needs one or more, got landmarks={landmarks}")
        self.landmarks = landmarks
        self.iterations = iterations
        self.convolution = (
            None if kernel is None else nn.Conv2d(heads, heads, (kernel, 1), padding="same", groups=heads, bias=False)
        )

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if not torch.jit.is_tracing() and q.shape[-2] < self.landmarks:
            raise ValueError(
                f"{self.landmarks} landmarks of {q.shape[-2]} tokens: lower landmarks to {q.shape[-2]} or less, "
                "or use standard attention"
            )
        q_landmarks, k_landmarks = (segment_means(x, self.landmarks, -2) for x in (q, k))
        out = attend_by_landmarks(q, k, v, q_landmarks, k_landmarks, self.iterations)
        return out if self.convolution is None else out + self.convolution(v)
