"""Performer: the softmax kernel as a product of positive random features (FAVOR+)."""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class PerformerAttention(nn.Module):
    r"""FAVOR+ (Choromanski et al. 2020, arXiv:2009.14794): unbiased, positive random features of the softmax kernel.

    .. math:: \frac{\phi(Q) (\phi(K)^T V)}{\phi(Q) (\phi(K)^T 1)}, \quad
        \phi_i(x) = \exp(w_i^T x' - |x'|^2 / 2 - c) + \epsilon, \quad x' = x / d^{1/4}

    The :math:`w_i` are orthogonal in blocks of d, with the lengths of Gaussian vectors. c is the largest
    :math:`w_i^T x'`: of each query, and of all keys of a head; it takes no gradient. Computed in float32 at least,
    whatever autocast says.

    The random directions are drawn from torch's seed when the module is built, and drawn again during training, so
    that a network does not lean on one of them. Later draws depend on a seed of its own, which is part of the
    state like the directions and the number of steps: a run that is resumed goes on as if never stopped, on any
    number of devices. A pass that activation checkpointing repeats keeps the directions of the first.

    Args:
        head_dim: d, channels of a head.
        features: random features; None: int(d ln d).
        redraw_interval: forward passes in training mode after which the directions are drawn again; None: never.
        epsilon: :math:`\epsilon`. Where queries and keys are long, their features vanish beside it and the output
            tends to the mean of the values instead of to noise.

    Attributes:
        directions: ``(features, head_dim)`` buffer, the :math:`w_i`.
        steps: forward passes in training mode so far.

    Shape:
        - q, k, v: ``(B, heads, N, head_dim)``; the scale 1 / sqrt(d) is applied inside.
        - output: ``(B, heads, N, head_dim)``, of the type of q.

    Raises:
        ValueError: features or an interval below 1, an epsilon that is not above 0, or an input of other channels.
    """

    directions: Tensor
    seed: Tensor

    def __init__(
        self,
        head_dim: int,
        *,
        features: int | None = None,
        redraw_interval: int | None = 1000,
        epsilon: float = 1e-4,
    ) -> None:
        super().__init__()
        features = max(1, int(head_dim * math.log(head_dim))) if features is None else features
        if features < 1 or (redraw_interval is not None and redraw_interval < 1) or epsilon <= 0:
            raise ValueError(
                f"features={features} and redraw_interval={redraw_interval} must be 1 or more (None redraws never), "
                f"epsilon={epsilon} above 0"
            )
        self.redraw_interval = redraw_interval
        self.epsilon = epsilon
        self.steps = 0
        self.register_buffer("seed", torch.randint(2**62, ()))
        self.register_buffer("directions", torch.empty(features, head_dim))
        self._draw(0)

    # Not a buffer: reading one back from a GPU would hold up every step.
    def get_extra_state(self) -> Tensor:
        """The number of training steps, for the state dictionary."""
        return torch.tensor(self.steps)

    def set_extra_state(self, state: Tensor) -> None:
        """Take the number of training steps from a state dictionary."""
        self.steps = int(state)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if not torch.jit.is_tracing() and q.shape[-1] != self.directions.shape[1]:
            raise ValueError(
                f"Performer was built for heads of {self.directions.shape[1]} channels and got {q.shape[-1]}; "
                f"build it with head_dim={q.shape[-1]}"
            )
        if self.training and not _in_backward():
            self._step()
        if torch.jit.is_tracing() or not torch.is_grad_enabled():
            return self._attend(q, k, v, self.directions)
        # Features are wider than what they are made of: they are made again in the backward pass, from a copy of the
        # directions, which a later pass may draw anew before that.
        directions = self.directions.clone()
        out = checkpoint(self._attend, q, k, v, directions, use_reentrant=False, preserve_rng_state=False)
        return cast(Tensor, out)

    def _step(self) -> None:
        if self.redraw_interval is not None and self.steps and self.steps % self.redraw_interval == 0:
            self._draw(self.steps // self.redraw_interval)
        self.steps += 1

    def _draw(self, index: int) -> None:
        count, dim = self.directions.shape
        generator = torch.Generator().manual_seed(int(self.seed) + index)
        self.directions.copy_(orthogonal_directions(count, dim, generator))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, directions: Tensor) -> Tensor:
        precise = torch.promote_types(q.dtype, torch.float32)
        with torch.autocast(q.device.type, enabled=False):
            return self._kernel(q.to(precise), k.to(precise), v.to(precise), directions.to(precise)).to(q.dtype)

    def _kernel(self, q: Tensor, k: Tensor, v: Tensor, directions: Tensor) -> Tensor:
        queries = _exponentials(q, directions, (-1,))  # (B, heads, N, features)
        keys = _exponentials(k, directions, (-2, -1))
        # The last column sums weights. Epsilon is added to products of the features, which are far smaller than they.
        values = torch.cat([v, torch.ones_like(v[..., :1])], dim=-1)  # (B, heads, N, d + 1)
        gathered = keys.mT @ values + self.epsilon * values.sum(dim=-2, keepdim=True)  # (B, heads, features, d + 1)
        out = queries @ gathered + self.epsilon * gathered.sum(dim=-2, keepdim=True)
        return out[..., :-1] / out[..., -1:]


def _exponentials(x: Tensor, directions: Tensor, stabilised: tuple[int, ...]) -> Tensor:
    """Features ``(B, heads, N, features)`` without epsilon; their largest exponents are taken off over axes."""
    root = x.shape[-1] ** -0.25
    exponents = x @ (directions * root).mT
    offset = exponents.detach().amax(dim=stabilised, keepdim=True)
    offset = offset + 0.5 * root**2 * x.square().sum(dim=-1, keepdim=True)
    # In place: a single map of this size is kept for the backward pass.
    return exponents.sub_(offset).exp_()


def _in_backward() -> bool:
    """Whether autograd runs: a forward pass is then a repetition of one that activation checkpointing forgot."""
    return torch._C._current_graph_task_id() != -1


def orthogonal_directions(count: int, dim: int, generator: torch.Generator) -> Tensor:
    """Gaussian vectors ``(count, dim)`` in float64, orthogonal to each other in blocks of ``dim``.

    Each is standard normal by itself, so that features stay unbiased; only together do they cover space more evenly.

    Args:
        count: vectors.
        dim: their length, and how many make a block; the last block may be smaller.
        generator: source of randomness, on the CPU.
    """
    blocks = -(-count // dim)
    gaussian = torch.randn(blocks, dim, dim, dtype=torch.float64, generator=generator)
    rotations, triangles = torch.linalg.qr(gaussian)
    # LAPACK's choice of signs prefers some directions; with a positive diagonal all are equally likely (Mezzadri
    # 2007, arXiv:math-ph/0609050).
    rotations = rotations * triangles.diagonal(dim1=-2, dim2=-1).sign()[:, None]
    lengths = torch.randn(count, dim, dtype=torch.float64, generator=generator).norm(dim=1, keepdim=True)
    return rotations.mT.reshape(-1, dim)[:count] * lengths
