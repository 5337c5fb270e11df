"""Spectral penalties: on the query and key weights, and on the attention maps themselves."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from .singular import LeadingSingularVectors


class SpectralNormPenalty(nn.Module):
    r"""Largest singular values of all query and key projections of a network.

    .. math:: L = \beta \sum_l \sigma_{max}(W^Q_l)^2 + \sigma_{max}(W^K_l)^2

    over all layers that have a joint projection ``qkv`` (MONAI's and timm's attention: rows 0:C are Q, C:2C are K).
    The gradient of a singular value is exactly :math:`u v^T`; the vectors are followed from step to step, see
    :class:`LeadingSingularVectors`, which costs a few per cent of what the exact decomposition would.

    The network is not registered as a part of this module: its state stays its own.

    Args:
        network: whose attention layers are penalised, wrapped for distributed training or not.
        beta: weight; 0 returns 0 without any work.
        block: singular vectors followed per matrix.
        interval: training steps of which one has the penalty, ``interval`` times as heavy, and the others 0 (lazy
            regularisation, Karras et al. 2020, arXiv:1912.04958): the mean is the same at a fraction of the cost.

    Shape:
        - output: float32 scalar, 0 or more.

    Raises:
        ValueError: a negative beta, an interval below 1, or a network without attention layers.
    """

    step: Tensor

    def __init__(self, network: nn.Module, beta: float, *, block: int = 8, interval: int = 1) -> None:
        super().__init__()
        if beta < 0 or interval < 1:
            raise ValueError(f"beta must be 0 or more and interval 1 or more, got {beta} and {interval}")
        # A tuple, not a ModuleList: registered, the network's weights would be saved with the loss.
        self.projections = tuple(_projections(network))
        if not self.projections:
            raise ValueError(f"{type(network).__name__} has no attention layer with a joint qkv projection")
        self.beta = beta
        self.interval = interval
        # It stays on the CPU wherever the rest goes: it decides in Python, and must not make a GPU wait.
        self.register_buffer("step", torch.zeros((), dtype=torch.int64), persistent=False)
        widths = sorted({layer.in_features for layer in self.projections})
        self.trackers = nn.ModuleDict({str(width): LeadingSingularVectors(block) for width in widths})
        self.stacks: dict[int, Tensor] = {}

    def forward(self) -> Tensor:
        if self.beta == 0 or not self._is_due():
            return torch.zeros((), device=self.projections[0].weight.device)
        terms = []
        for width, tracker in self.trackers.items():
            layers = [layer for layer in self.projections if layer.in_features == int(width)]
            terms += self._terms(layers, tracker)
        return self.beta * (self.interval if torch.is_grad_enabled() else 1) * torch.stack(terms).sum()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "SpectralNormPenalty":
        step = self.step
        super()._apply(fn, recurse)
        self.step = step
        return self

    def _is_due(self) -> bool:
        if not torch.is_grad_enabled():
            return True
        self.step += 1
        return (int(self.step) - 1) % self.interval == 0

    def _terms(self, layers: Sequence[nn.Linear], tracker: nn.Module) -> list[Tensor]:
        width = layers[0].in_features
        u, _, v = tracker(self._stack(layers, width))
        u, v = u.view(len(layers), 2, width), v.view(len(layers), 2, width)
        # Padded with zeros over K or Q, and V, u gives the gradient of the whole projection in one product.
        padded = torch.zeros(len(layers), 2, 3, width, device=u.device)
        padded[:, 0, 0], padded[:, 1, 1] = u[:, 0], u[:, 1]
        padded = padded.view(len(layers), 2, 3 * width)
        return [_squared_norms(layer.weight, padded[i], v[i]) for i, layer in enumerate(layers)]

    def _stack(self, layers: Sequence[nn.Linear], width: int) -> Tensor:
        """Copy Q and K of the first layer, of the second, ... into float32 ``(2 * layers, width, width)``."""
        weights = [layer.weight.detach()[: 2 * width].float() for layer in layers]
        stack = self.stacks.get(width)
        if stack is None or stack.device != weights[0].device:
            # Kept: on a CPU, fresh memory of this size costs ten times the copy.
            stack = self.stacks[width] = torch.stack(weights)
        else:
            torch.stack(weights, out=stack)
        return stack.view(-1, width, width)


def _projections(network: nn.Module) -> Iterator[nn.Linear]:
    for module in network.modules():
        projection = getattr(module, "qkv", None)
        if isinstance(projection, nn.Linear) and projection.out_features == 3 * projection.in_features:
            yield projection


def _squared_norms(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Sum of ``(u_i' W v_i) ** 2``; its gradient reaches W only."""
    with torch.autocast(weight.device.type, enabled=False):
        return ((u @ weight.float()) * v).sum(dim=-1).square().sum()


class AttentionSpectralPenalty(nn.Module):
    r"""Largest singular values of the attention maps: a price on attention sinks.

    .. math:: L = \gamma \sum_l mean_{windows, heads} \sigma_{max}(A_l)^2

    A map is row-stochastic: :math:`\sigma_{max} \ge 1`, reached where every token receives as much as it gives, and
    :math:`\sqrt N` when all N queries look at one key. Power iteration starts from the all-ones vector, whose
    quotient is 1, and never falls: too few steps err towards 1 (for random logits of standard deviation 3, 16 steps
    give the mean to 5e-4). The gradient flows through A, hence to queries, keys and what is before.

    Args:
        gamma: weight; 0 returns 0 without any work.
        steps: power steps.

    Shape:
        - maps: one ``(B * windows, heads, N, N)`` per layer, as :func:`record_attention` gives them.
        - output: float32 scalar, at least gamma times the number of layers.

    Raises:
        ValueError: a negative gamma, fewer than one step, or no maps.
    """

    def __init__(self, gamma: float, *, steps: int = 16) -> None:
        super().__init__()
        if gamma < 0 or steps < 1:
            raise ValueError(f"gamma must be 0 or more and steps 1 or more, got {gamma} and {steps}")
        self.gamma = gamma
        self.steps = steps

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        if self.gamma == 0:
            return torch.zeros(())
        if not maps:
            raise ValueError("no attention maps; call the classifier with details=True and attention=True")
        return self.gamma * torch.stack([self._mean_square(attention) for attention in maps]).sum()

    def _mean_square(self, attention: Tensor) -> Tensor:
        with torch.autocast(attention.device.type, enabled=False):
            attention = attention.float().flatten(0, -3)  # (windows * heads, N, N)
            u, v = _power_iteration(attention.detach(), self.steps)
            squares = ((u @ attention) * v).sum(dim=-1).square()[:, 0]
            there = attention.detach().flatten(1).any(dim=1)  # a window without a kept token has no map
            return squares.sum() / there.sum().clamp(min=1)


def _power_iteration(matrices: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Unit rows u ``(G, 1, N)`` and v towards the leading singular pair of non-negative matrices."""
    # Rows, as a CPU multiplies a row by a stack of matrices several times faster than the stack by a column.
    v = torch.full_like(matrices[:, :1], matrices.shape[-1] ** -0.5)
    u = nn.functional.normalize(v @ matrices.mT, dim=-1)
    for _ in range(steps):
        v = nn.functional.normalize(u @ matrices, dim=-1)
        u = nn.functional.normalize(v @ matrices.mT, dim=-1)
    return u, v
