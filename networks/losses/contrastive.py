"""InfoNCE between two views of a batch of images, as MoCo-v3 is trained."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from ..moco import MoCoOutput

__all__ = ["ContrastiveLoss", "info_nce"]


def info_nce(queries: Tensor, keys: Tensor, places: Tensor, temperature: float) -> Tensor:
    r"""Cross-entropy of finding each query's own key among all keys (van den Oord et al. 2018, arXiv:1807.03748).

    .. math:: -\frac{1}{B} \sum_i \log \frac{\exp(q_i \cdot k_{p_i} / \tau)}{\sum_j \exp(q_i \cdot k_j / \tau)}

    over vectors of unit length, which both are made here; :math:`\log N` where all are alike.

    Args:
        queries: ``(B, D)``.
        keys: ``(N, D)``.
        places: ``(B,)`` int64, for each query which of the keys is its own.
        temperature: :math:`\tau`, above 0.

    Returns:
        Scalar.
    """
    return F.cross_entropy(_cosines(queries, keys) / temperature, places)


class ContrastiveLoss(nn.Module):
    r"""Symmetrised InfoNCE of MoCo-v3 (Chen, Xie and He 2021, arXiv:2104.02057).

    .. math:: 2 \tau (\text{InfoNCE}(q_1, k_2) + \text{InfoNCE}(q_2, k_1))

    Args:
        temperature: :math:`\tau`.
        gather: tell apart the images of all processes, which must then call it together, each with as many. False, for
            validation, where processes may have different numbers of batches, takes those of this one.

    Attributes:
        parts: ``accuracy`` of the last call, the share of queries whose own key is the nearest.

    Shape:
        - output: see :class:`MoCoOutput`.
        - places: ``(B,)`` int64, the place of each image in its batch.
        - result: scalar.

    Raises:
        ValueError: for a temperature that is not above 0.
    """

    def __init__(self, temperature: float = 0.2, *, gather: bool = True) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature {temperature} must be above 0, such as 0.2")
        self.temperature = temperature
        self.gather = gather
        self.parts: dict[str, Tensor] = {}

    def forward(self, output: MoCoOutput, places: Tensor) -> Tensor:
        keys = output.keys
        if self.gather and distributed.is_initialized():
            places = places + distributed.get_rank() * keys.shape[1]
            keys = _gathered(keys)
        pairs = list(zip(output.queries, keys.flip(0), strict=True))
        with torch.no_grad():
            nearest = torch.stack([_cosines(*pair).argmax(dim=1) for pair in pairs])
            self.parts = {"accuracy": (nearest == places).float().mean()}
        return 2 * self.temperature * torch.stack([info_nce(*pair, places, self.temperature) for pair in pairs]).sum()


def _cosines(queries: Tensor, keys: Tensor) -> Tensor:
    return F.normalize(queries, dim=-1) @ F.normalize(keys, dim=-1).mT


def _gathered(keys: Tensor) -> Tensor:
    """Keys ``(2, B, D)`` of all processes as ``(2, processes * B, D)``, in the order of their ranks."""
    parts = [torch.empty_like(keys) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, keys.contiguous())
    return torch.cat(parts, dim=1)
