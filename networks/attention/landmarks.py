"""Attention by way of landmarks (Nyström's method), whatever the landmarks are."""

import torch
from torch import Tensor
from torch.nn import functional as F


def segment_means(x: Tensor, count: int, dim: int) -> Tensor:
    """Means of ``count`` contiguous segments along an axis, in float32 at least.

    Segments hold ``n // count`` elements, and the last ``n % count`` of them one more: every element counts in one
    segment, and nothing is padded.

    Args:
        x: a tensor with n elements along ``dim``.
        count: segments, at most n.
        dim: the axis, counted from the end (negative).
    """
    size, longer = x.shape[dim] // count, x.shape[dim] % count
    shorter = count - longer
    dtype = torch.promote_types(x.dtype, torch.float32)
    first = x.narrow(dim, 0, shorter * size).unflatten(dim, (shorter, size))
    last = x.narrow(dim, shorter * size, longer * (size + 1)).unflatten(dim, (longer, size + 1))
    return torch.cat([first.mean(dim, dtype=dtype), last.mean(dim, dtype=dtype)], dim)


def pseudo_inverse(matrices: Tensor, iterations: int) -> Tensor:
    r"""Moore-Penrose inverse by products of matrices alone (Razavi et al. 2014, as in arXiv:2102.03902).

    .. math:: Z \leftarrow Z (13 I - A Z (15 I - A Z (7 I - A Z))) / 4, \quad Z_0 = A^T / (|A|_1 |A|_\infty)

    Small singular values are inverted last: fewer iterations leave them damped. The norms are those of each matrix,
    so that a sample does not depend on its batch.

    Args:
        matrices: A, ``(..., m, m)``.
        iterations: 6 in Nyströmformer; an accurate inverse takes about 20.
    """
    a = matrices.flatten(0, -3)
    norms = a.abs().sum(dim=-2).amax(dim=-1) * a.abs().sum(dim=-1).amax(dim=-1)
    z = a.mT / norms[:, None, None]
    identity = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    for _ in range(iterations):
        az = torch.bmm(a, z)
        inner = torch.baddbmm(15 * identity, az, 7 * identity - az, alpha=-1)
        z = torch.bmm(z, torch.baddbmm(13 / 4 * identity, az, inner, alpha=-1 / 4))
    return z.view(matrices.shape)


def attend_by_landmarks(
    q: Tensor, k: Tensor, v: Tensor, q_landmarks: Tensor, k_landmarks: Tensor, iterations: int
) -> Tensor:
    r"""Softmax attention, approximated with the rows and columns of its matrix that belong to landmarks.

    .. math:: \sigma(Q \tilde K^T) \, \sigma(\tilde Q \tilde K^T)^+ \, (\sigma(\tilde Q K^T) V)

    with :math:`\sigma` the softmax of the scaled scores. The outer two are attention themselves, from and to
    landmarks, and run by torch's fused kernels; the inverse is computed in the type of the landmarks.

    Args:
        q: queries ``(B, heads, N, d)``.
        k: keys ``(B, heads, N, d)``.
        v: values ``(B, heads, N, d)``.
        q_landmarks: :math:`\tilde Q`, ``(B, heads, m, d)`` in float32 at least.
        k_landmarks: :math:`\tilde K`, likewise.
        iterations: of :func:`pseudo_inverse`.
    """
    gathered = F.scaled_dot_product_attention(q_landmarks.to(q.dtype), k, v)  # (B, heads, m, d)
    # An inverse magnifies rounding, so autocast must not shorten what enters it.
    with torch.autocast(q.device.type, enabled=False):
        scores = (q_landmarks * q.shape[-1] ** -0.5) @ k_landmarks.mT  # (B, heads, m, m)
        values = pseudo_inverse(scores.softmax(dim=-1), iterations) @ gathered.to(scores.dtype)
    return F.scaled_dot_product_attention(q, k_landmarks.to(k.dtype), values.to(v.dtype))


def check_options(iterations: int, kernel: int | None) -> None:
    """Refuse options that no attention with landmarks can have.

    Raises:
        ValueError: iterations below 1, or a kernel that is even or below 1.
    """
    if iterations < 1:
        raise ValueError(f"the inverse needs one iteration or more, got iterations={iterations}")
    if kernel is not None and (kernel < 1 or kernel % 2 == 0):
        raise ValueError(f"kernel={kernel} has no middle: give an odd number, or None for no convolution")
