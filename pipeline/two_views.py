"""Several random views of each image, and what moves beside the weights where a network learns from such views."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from copy import deepcopy
from typing import Any, Protocol

import numpy as np
import torch
from ignite.engine import Events
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.engines import SupervisedTrainer, Workflow
from monai.engines.utils import IterationEvents
from monai.transforms import Compose, MapTransform, Randomizable, RandomizableTransform
from monai.utils import MAX_SEED
from torch import Tensor, nn

from .random_streams import stream_seed

__all__ = [
    "ClipGradients",
    "FreezeAtFirst",
    "MomentumUpdate",
    "PrepareViews",
    "RandSolarized",
    "RandViewsd",
    "TeacherTemperature",
    "WeightDecaySchedule",
    "cosine_between",
]


class RandViewsd(MapTransform, Randomizable):
    """Several random views of one image, put under ``views`` as a list of tensors, sizes of which may differ.

    Args:
        keys: what a view is made of, such as image and breast mask, each ``(C, H, W)``: its channels, in this order.
        views: for each view the dictionary transforms that make it from ``keys``, of which copies are taken.
        fixed_by: a field of the record, such as ``image_id``: views then follow from it and ``seed`` alone, so that
            epochs of validation compare. None draws anew each time.
        seed: of fixed views.
        allow_missing_keys: see :class:`monai.transforms.MapTransform`.

    Raises:
        ValueError: without any view.
    """

    def __init__(
        self,
        keys: KeysCollection,
        views: Sequence[Sequence[Callable[..., Any]]],
        *,
        fixed_by: str | None = None,
        seed: int = 0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if not views:
            raise ValueError("views is empty: give the transforms of one view at least")
        # Copies: each view, and each user of the same transforms, draws from a stream of its own.
        self.chains = [Compose(deepcopy(list(view))) for view in views]
        self.fixed_by = fixed_by
        self.seed = seed

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandViewsd:
        """Seed the transforms of every view, each with a stream of its own."""
        super().set_random_state(seed, state)
        for chain in self.chains:
            chain.set_random_state(seed=int(self.R.randint(MAX_SEED, dtype="uint32")))
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        if self.fixed_by is not None:
            self.set_random_state(stream_seed(self.seed, zlib.crc32(str(d[self.fixed_by]).encode())))
        source = {key: d[key] for key in self.key_iterator(d)}
        d["views"] = [self._joined(chain(source)) for chain in self.chains]
        return d

    def _joined(self, view: Any) -> Tensor:
        parts = [torch.as_tensor(view[key]) for key in self.key_iterator(view)]
        return torch.cat([part.as_tensor() if isinstance(part, MetaTensor) else part for part in parts])


class RandSolarized(MapTransform, RandomizableTransform):
    """Turn the bright half of images in [0, 1] over: grey values from 0.5 on become ``1 - value``.

    (MONAI has no such transform, and its ``RandLambdad`` fails where metadata are not tracked.)

    Args:
        keys: images ``(C, H, W)``.
        prob: probability, one draw for all keys.
        allow_missing_keys: see :class:`monai.transforms.MapTransform`.
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.2, allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        self.randomize(None)
        if self._do_transform:
            for key in self.key_iterator(d):
                d[key] = torch.where(d[key] < 0.5, d[key], 1 - d[key])
        return d


class PrepareViews:
    """Take the views of :class:`RandViewsd` from a batch: the ``prepare_batch`` of an engine.

    Returns MONAI's four-part batch: the first view ``(B, C, H, W)``, as target the place ``(B,)`` of each image in the
    batch, the other views as further arguments of the network, and no keywords.
    """

    def __call__(
        self, batch: Mapping[str, Any], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...], dict[str, Any]]:
        first, *others = (view.to(device=device, non_blocking=non_blocking, **kwargs) for view in batch["views"])
        return first, torch.arange(len(first), device=first.device), tuple(others), {}


def cosine_between(start: float, end: float, progress: float) -> float:
    """From ``start`` at progress 0 to ``end`` at progress 1 along half a cosine."""
    return end - (end - start) * (1 + math.cos(math.pi * progress)) / 2


def _progress(engine: Workflow) -> float:
    """Share of the run's batches that lie behind the present one."""
    planned = (engine.state.max_epochs or 1) * (engine.state.epoch_length or 1)
    return (engine.state.iteration - 1) / planned


class Follows(Protocol):
    """A network with a slower copy in it."""

    def update_momentum(self, momentum: float) -> None:
        """Let the copy follow by one step."""


class MomentumUpdate:
    """Let a network's slow copy follow after each step of the optimiser, ever more slowly.

    The momentum rises from ``start`` to 1 along half a cosine (arXiv:2006.07733). It follows from the step alone, so
    that a resumed run goes on as it was; a step that a loss scaler leaves out moves nothing. (ignite's ``EMAHandler``
    keeps the copy outside of the network, which calls it in each step here, and its momentum stays.)

    Args:
        network: such as :class:`mammo.networks.moco.MoCoV3` or :class:`mammo.networks.dino.DINO`, not wrapped for
            distribution.
        optimizer: whose steps count.
        start: momentum of the first step.

    Raises:
        ValueError: for a momentum below 0 or above 1.
    """

    def __init__(self, network: Follows, optimizer: torch.optim.Optimizer, start: float) -> None:
        if not 0 <= start <= 1:
            raise ValueError(f"momentum {start} must be 0 to 1, such as 0.99")
        self.network = network
        self.optimizer = optimizer
        self.start = start

    def attach(self, engine: SupervisedTrainer) -> None:
        """Register with the optimiser, in the run of the trainer ``engine``."""
        self.optimizer.register_step_post_hook(
            lambda *_: self.network.update_momentum(cosine_between(self.start, 1.0, _progress(engine)))
        )


class WeightDecaySchedule:
    """Move the weight decay of all groups that are decayed from ``start`` to ``end`` along half a cosine.

    Args:
        start: of the first step, above 0.
        end: of the last; None leaves ``start``.

    Raises:
        ValueError: if one of them is not above 0.
    """

    def __init__(self, start: float, end: float | None = None) -> None:
        if end is not None and min(start, end) <= 0:
            raise ValueError(f"weight decay from {start} to {end}: both must be above 0; end null keeps the start")
        self.start, self.end = start, end

    def attach(self, engine: SupervisedTrainer) -> None:
        """Register with the trainer ``engine``."""
        if self.end is not None:
            engine.add_event_handler(Events.ITERATION_STARTED, self, self.end)

    def __call__(self, engine: SupervisedTrainer, end: float) -> None:
        for group in engine.optimizer.param_groups:
            if group["weight_decay"]:
                group["weight_decay"] = cosine_between(self.start, end, _progress(engine))


class Sharpens(Protocol):
    """A loss whose teacher is sharpened by a temperature."""

    teacher_temperature: float


class TeacherTemperature:
    """Let a loss's ``teacher_temperature`` rise, epoch by epoch in equal steps, from ``start`` to the loss's own.

    Args:
        objective: such as :class:`mammo.networks.losses.self_distillation.SelfDistillationLoss`.
        start: of the first epoch.
        epochs: the last of them, and all behind, have the loss's own; up to 1 there is no rise.
    """

    def __init__(self, objective: Sharpens, start: float, epochs: int) -> None:
        self.objective = objective
        self.start, self.end = start, objective.teacher_temperature
        self.epochs = epochs

    def attach(self, engine: Workflow) -> None:
        """Register with the trainer ``engine``."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Workflow) -> None:
        share = min((engine.state.epoch - 1) / (self.epochs - 1), 1.0) if self.epochs > 1 else 1.0
        self.objective.teacher_temperature = self.start + share * (self.end - self.start)


class FreezeAtFirst:
    """Leave the weights of ``layer`` as they are in the first epochs, as DINO does with its last layer.

    Its gradients are dropped, so that the optimiser passes it by, weight decay and moments included.

    Args:
        layer: a part of the network that is trained.
        epochs: how many; 0 freezes nothing.
    """

    def __init__(self, layer: nn.Module, epochs: int = 1) -> None:
        self.layer = layer
        self.epochs = epochs

    def attach(self, engine: SupervisedTrainer) -> None:
        """Register with the trainer ``engine``."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: SupervisedTrainer) -> None:
        if engine.state.epoch <= self.epochs:
            for parameter in self.layer.parameters():
                parameter.grad = None


class ClipGradients:
    """Shorten the gradient of each weight tensor, before each step of the optimiser, to a largest norm.

    DINO clips tensor by tensor; PyTorch's ``clip_grad_norm_`` takes all of them as one.

    Args:
        optimizer: whose weights are meant.
        largest: norm; None clips nothing.

    Raises:
        ValueError: for a norm that is not above 0.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, largest: float | None = None) -> None:
        if largest is not None and largest <= 0:
            raise ValueError(f"the largest norm {largest} must be above 0, such as 3.0; null clips nothing")
        self.optimizer = optimizer
        self.largest = largest

    def attach(self, engine: SupervisedTrainer) -> None:
        """Register with the optimiser, whose steps the trainer ``engine`` takes."""
        if self.largest is not None:
            self.optimizer.register_step_pre_hook(self)

    def __call__(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        # A fused optimiser undoes the scale of float16 training by itself, behind this.
        scale = getattr(optimizer, "grad_scale", None)
        largest = (self.largest or math.inf) * (1.0 if scale is None else scale)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.mul_((largest / (parameter.grad.norm() + 1e-6)).clamp(max=1.0))
