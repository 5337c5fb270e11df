"""Checkpoints that survive a kill: best weights, the whole state of the last epoch, early stop, resume."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Events
from ignite.handlers import EarlyStopping
from monai.engines import Workflow
from torch import nn

logger = logging.getLogger(__name__)


def save_atomically(content: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint beside ``path`` and move it there, so that a kill leaves the old one or the new one.

    Raises:
        OSError: with the file named, where it cannot be written; nothing half-written stays behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        torch.save(content, temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch's zip writer reports a full disk as RuntimeError
        raise OSError(
            getattr(error, "errno", None) or errno.ENOSPC,
            f"cannot write the checkpoint ({error}); free space there or choose another --output_dir",
            str(path),
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


class _BestMetric:
    """The part of an evaluator's state that MONAI does not put into a checkpoint."""

    def __init__(self, evaluator: Any) -> None:
        self.state = evaluator.state

    def state_dict(self) -> dict[str, Any]:
        return {
            "best_metric": float(self.state.best_metric),
            "best_metric_epoch": int(self.state.best_metric_epoch),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.state.best_metric = state["best_metric"]
        self.state.best_metric_epoch = state["best_metric_epoch"]


class TrainingCheckpoints:
    """Save ``best.pt`` and ``last.pt``, stop early, resume exactly.

    ``best.pt`` is the bare state dict of the network at the best validation metric; ``last.pt`` holds everything a
    resumed run needs, the best metric and the early-stop counter included (MONAI's CheckpointSaver loses both, so
    that a resumed run would overwrite a better model). Both load with ``weights_only=True``.

    Args:
        directory: where the two files go.
        trainer: the MONAI trainer; its validation handler must already be attached.
        evaluator: the MONAI evaluator whose key metric decides.
        network: the network, not wrapped for distribution.
        optimizer, scheduler: their states are kept in ``last.pt``.
        patience: validations without improvement before training stops; 0 never stops.
        lower_is_better: whether the key metric is a loss.
        resume: go on from ``last.pt`` where there is one.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        trainer: Any,
        evaluator: Any,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        scheduler: Any = None,
        patience: int = 0,
        lower_is_better: bool = False,
        resume: bool = False,
    ) -> None:
        self.directory = Path(directory)
        self.network = network
        self.evaluator = evaluator
        self.parts: dict[str, Any] = {
            "model": network,
            "optimizer": optimizer,
            "trainer": trainer,
            "best": _BestMetric(evaluator),
        }
        if scheduler is not None:
            self.parts["scheduler"] = scheduler
        if patience > 0:
            self.parts["early_stop"] = EarlyStopping(patience, _score(lower_is_better), trainer)
            evaluator.add_event_handler(Events.COMPLETED, self.parts["early_stop"])
        if resume:
            trainer.add_event_handler(Events.STARTED, self.load)
        evaluator.add_event_handler(Events.COMPLETED, self.save_best)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self.save_last)

    def save_best(self, evaluator: Workflow) -> None:
        """Keep the weights when the epoch just validated is the best so far."""
        if idist.get_rank() == 0 and evaluator.state.best_metric_epoch == evaluator.state.epoch:
            save_atomically(self.network.state_dict(), self.directory / "best.pt")

    def save_last(self, trainer: Workflow) -> None:
        """Keep everything that a resumed run needs."""
        if idist.get_rank() == 0:
            state = {name: part.state_dict() for name, part in self.parts.items()}
            save_atomically(state, self.directory / "last.pt")

    def load(self, trainer: Workflow) -> None:
        """Go on from ``last.pt``; start anew, and say so, where there is none.

        Raises:
            ValueError: if the file belongs to another architecture or to a longer run.
        """
        path = self.directory / "last.pt"
        if not path.is_file():
            logger.info("nothing to resume in %s: starting anew", self.directory)
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        planned = trainer.state.max_epochs
        for name, part in self.parts.items():
            if name not in state:
                raise ValueError(f"{path} holds no state of {name!r}: it was written by a run with other options")
            try:
                part.load_state_dict(state[name])
            except (RuntimeError, KeyError) as error:
                raise ValueError(f"{path} does not fit this run's {name}: {error}") from error
        if planned is not None and trainer.state.epoch > planned:
            raise ValueError(f"{path} is {trainer.state.epoch} epochs old, more than the {planned} asked for")
        trainer.state.max_epochs = planned
        logger.info("resumed from %s after epoch %d", path, trainer.state.epoch)


def _score(lower_is_better: bool) -> Callable[[Workflow], float]:
    sign = -1.0 if lower_is_better else 1.0
    return lambda engine: sign * float(engine.state.metrics[engine.state.key_metric_name])
