"""Has the encoder collapsed? The effective rank and the spread of its features, from the validation pass itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

import ignite.distributed as idist
import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator
from torch import Tensor
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

__all__ = ["FeatureRank", "effective_rank", "pool_over_breast"]

logger = logging.getLogger(__name__)

COLLAPSED_RANK = 1.05
"""Effective rank below which features count as collapsed: 1 means that all images give multiples of one vector.
RankMe does not centre, so that the mean feature weighs heavily. On 44 images of the phantom, random encoders give 1.13
to 1.19 (``micro``) and 3.6 to 4.2 (``tiny``), a ``micro`` one after 90 sound steps 3.3, and after 10 steps at a
learning rate of 1.0, which ruin it, 1.0001."""


class FeatureRank:
    r"""Add ``feature_rank`` and ``feature_std`` to an evaluator's metrics, and warn of a collapse.

    The features are the encoder's last map as the validation pass computes it, averaged over the breast: one vector an
    image. The rank is RankMe (Garrido et al. 2023, arXiv:2210.02885), the spread the standard deviation over the
    images, averaged over the channels. Both cost one small matrix product a batch: only the Gram matrix is kept.

    List it before handlers that read metrics.

    Args:
        vectors: from an engine's output to features ``(B, C)``, for a network that makes no map of the whole image;
            None listens to ``encoder.features``.
        warn_below: effective rank below which a warning is logged.
    """

    def __init__(
        self, warn_below: float = COLLAPSED_RANK, *, vectors: Callable[[Mapping[str, Any]], Tensor] | None = None
    ) -> None:
        self.warn_below = warn_below
        self.vectors = vectors
        self.features: Tensor | None = None
        self.hook: RemovableHandle | None = None

    def attach(self, engine: SupervisedEvaluator) -> None:
        """Register with the evaluator ``engine``, whose network has an ``encoder`` and takes image and mask."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.finish)

    def start(self, engine: SupervisedEvaluator) -> None:
        """Listen to the encoder's last map, and begin to count."""
        encoder: Any = engine.network.encoder
        if self.hook is not None:
            self.hook.remove()  # of a validation that was broken off
        if self.vectors is None:
            self.hook = encoder.features.register_forward_hook(self._keep)
        channels = encoder.out_channels
        self.gram = torch.zeros(channels, channels, dtype=torch.float64)
        self.total = torch.zeros(channels, dtype=torch.float64)
        self.images = 0

    def add(self, engine: SupervisedEvaluator) -> None:
        """Add the images of one batch that show a breast."""
        features, self.features = self.features, None
        mask = engine.state.output["image"][:, -1:]
        if self.vectors is not None:
            pooled = self.vectors(engine.state.output)
        elif features is not None:
            pooled = pool_over_breast(features, mask)
        else:
            return
        vectors = pooled[mask.flatten(1).any(dim=1)].double().cpu()  # (B, C)
        self.gram += vectors.mT @ vectors
        self.total += vectors.sum(dim=0)
        self.images += len(vectors)

    def finish(self, engine: SupervisedEvaluator) -> None:
        """Sum over processes, write the metrics, warn of a collapse."""
        if self.hook is not None:
            self.hook.remove()
        images = int(idist.all_reduce(self.images))
        gram, total = _sum_over_processes(self.gram), _sum_over_processes(self.total)
        if images < 2:
            return
        variance = gram.diagonal() / images - (total / images).square()
        rank = effective_rank(gram, images)
        engine.state.metrics |= {"feature_rank": rank, "feature_std": variance.clamp(min=0).sqrt().mean().item()}
        if rank < self.warn_below and idist.get_rank() == 0:
            logger.warning(
                "epoch %d: the effective rank of the features is %.2f (of at most %d): nearly the same for all %d "
                "validation images. Lower --learning_rate, lengthen --warmup, or start from --pretrained weights",
                engine.state.epoch, rank, min(images, len(gram)), images,
            )  # fmt: skip

    def _keep(self, module: Any, arguments: Any, output: Tensor) -> None:
        self.features = output.detach()


def _sum_over_processes(value: Tensor) -> Tensor:
    return cast(Tensor, idist.all_reduce(value.to(idist.device()))).cpu()


def effective_rank(gram: Tensor, rows: int) -> float:
    r"""RankMe of a matrix Z from its Gram matrix :math:`Z^T Z`.

    .. math:: \exp\left(-\sum_k p_k \log p_k\right), \quad p_k = \sigma_k / \sum_j \sigma_j + 10^{-7}

    over the singular values of Z, not centred (arXiv:2210.02885).

    Args:
        gram: ``(C, C)`` float64.
        rows: rows of Z; it has ``min(rows, C)`` singular values.

    Returns:
        From 1, for multiples of one row, to ``min(rows, C)``; 0 where Z is 0 or not finite.
    """
    if not bool(gram.isfinite().all()) or not bool(gram.any()):
        return 0.0
    sigma = torch.linalg.eigvalsh(gram)[-min(rows, len(gram)) :].clamp(min=0).sqrt()
    share = sigma / sigma.sum() + 1e-7
    return float((-(share * share.log()).sum()).exp())


def pool_over_breast(features: Tensor, mask: Tensor) -> Tensor:
    """Mean ``(B, C)`` of maps ``(B, C, h, w)``, weighted by the share of breast (B, 1, H, W) in each of their cells.

    Cells that are 0 in all channels do not count: an encoder gives them for tokens that it was told to leave out.
    """
    rows, columns = features.shape[-2:]
    weight = F.adaptive_avg_pool2d(mask.to(features.dtype), (rows, columns)) * features.any(dim=1, keepdim=True)
    return (features * weight).sum(dim=(-2, -1)) / weight.sum(dim=(-2, -1)).clamp(min=1e-8)
