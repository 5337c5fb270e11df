"""How the weights move: schedule, gradient accumulation, loss scaling and averages that MONAI's trainer lacks."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Events
from ignite.handlers import EMAHandler
from monai.engines import SupervisedTrainer, Workflow
from monai.engines.utils import IterationEvents
from torch import nn
from torch.nn.parallel import DistributedDataParallel

__all__ = ["CompleteLastGroup", "LearningRateSchedule", "LossScaling", "WeightAveraging"]


class LearningRateSchedule:
    """Move a learning-rate schedule on with every step that the optimiser really takes.

    MONAI's ``LrScheduleHandler`` counts batches instead: with accumulated gradients the schedule would end early and
    rise again (:class:`monai.optimizers.WarmupCosineSchedule` is a cosine, and does that behind its last step), and
    where a loss scaler leaves a step out, PyTorch warns that the schedule runs ahead. (A fused optimiser leaves such a
    step out by itself, unseen from here: it then counts.)

    Args:
        scheduler: of PyTorch's kind, one step an optimiser step.
    """

    def __init__(self, scheduler: torch.optim.lr_scheduler.LRScheduler) -> None:
        self.scheduler = scheduler

    def attach(self, engine: Workflow) -> None:
        """Register with the optimiser that the schedule is for."""
        self.scheduler.optimizer.register_step_post_hook(lambda *_: self.scheduler.step())


class CompleteLastGroup:
    """Give the last group of accumulated batches in an epoch its full weight.

    ``SupervisedTrainer(accumulation_steps=N)`` divides every loss by N. Where an epoch ends with fewer than N batches,
    their gradient would be too small by that share; here it is the mean over the batches there are. Batches count
    alike: where the last one has fewer images, the mean over batches is not quite that over images.
    """

    def attach(self, engine: SupervisedTrainer) -> None:
        """Register with the trainer ``engine``."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: SupervisedTrainer) -> None:
        length, group = engine.state.epoch_length, engine.accumulation_steps
        batches = length % group
        if batches and engine.state.iteration % length == 0:
            for parameter in engine.network.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(group / batches)


class LossScaling:
    """Scale the loss of float16 training, so that small gradients do not become 0, on any device.

    MONAI's own switch (``amp``) makes the scaler for CUDA alone, and autocasts the loss as well; here precision is the
    inferer's matter (:class:`mammo.pipeline.engines.NetworkInferer`) and the loss stays in float32. A step whose
    gradients overflow is left out and the scale halved: that is normal.
    """

    def attach(self, engine: SupervisedTrainer) -> None:
        """Register with the trainer ``engine``."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: SupervisedTrainer) -> None:
        engine.amp, engine.amp_kwargs = True, {"enabled": False}
        # The trainer's annotation names the older class for CUDA, of which this one is the parent.
        engine.scaler = torch.amp.GradScaler(engine.state.device.type)  # type: ignore[assignment]


class WeightAveraging:
    """Exponential moving average of the weights (Polyak and Juditsky 1992), by ignite's handler.

    After every optimiser step ``average = decay * average + (1 - decay) * weights``; buffers, such as the running
    means of batch norm, are those of the network itself. The average spans about ``1 / (1 - decay)`` steps: a run
    should be several times as long.

    Args:
        network: the network that is trained, wrapped for distribution or not.
        decay: above 0 and below 1; None takes no average.

    Attributes:
        average: the averaged network, or None.
        validated: the network to validate: the average, or the network itself, not wrapped.

    Raises:
        ValueError: for a decay that is none.
    """

    def __init__(self, network: nn.Module, decay: float | None = None) -> None:
        if decay is not None and not 0 < decay < 1:
            raise ValueError(f"ema {decay}: the decay must lie between 0 and 1, such as 0.999; null takes no average")
        self.handler = None if decay is None else EMAHandler(network, momentum=1 - decay)
        self.average: nn.Module | None = None if self.handler is None else self.handler.ema_model
        trained = network.module if isinstance(network, DistributedDataParallel) else network
        self.validated: nn.Module = trained if self.average is None else self.average

    def attach(self, engine: SupervisedTrainer) -> None:
        """Register with the trainer ``engine``."""
        if self.handler is not None:
            steps = Events.ITERATION_COMPLETED(event_filter=_moves_weights)
            self.handler.attach(engine, event=steps)


def _moves_weights(engine: Any, iteration: int) -> bool:
    """Whether the optimiser takes a step with this batch (MONAI's rule)."""
    step = (iteration - 1) % engine.state.epoch_length + 1  # in this epoch, from 1
    return bool(step % engine.accumulation_steps == 0 or step == engine.state.epoch_length)
