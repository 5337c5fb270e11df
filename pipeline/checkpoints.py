"""Checkpoints that survive a kill: best weights, the whole state of a run, early stop, exact resume."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Events
from ignite.handlers import EarlyStopping
from monai.engines import Workflow
from torch import nn

from ..networks.checkpoints import read_torch_file
from .evidence.run_files import keep_configuration
from .files import sweep, temporary_name
from .finite import NonFiniteError, first_not_finite
from .resume import ResumableLoader, random_state
from .run_state import BestMetric, LossScale, PassingBuffers

logger = logging.getLogger(__name__)

PLAN = ("t_total", "warmup_steps")
"""Of a schedule: they belong to the run that goes on, not to the one that was stopped."""


def save_atomically(content: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint beside ``path`` and move it there, so that a kill leaves the old one or the new one.

    Equal contents give equal bytes.

    Raises:
        OSError: with the file named, where it cannot be written; nothing half-written stays behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        with open(temporary, "xb") as file:  # given a path, torch would write its name into the file
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())  # a machine may lose its power, too
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch's zip writer reports a full disk as RuntimeError
        raise OSError(
            getattr(error, "errno", None) or errno.ENOSPC,
            f"cannot write the checkpoint ({error}); free space there or choose another --output_dir",
            str(path),
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


class TrainingCheckpoints:
    """Save ``best.pt`` and ``last.pt``, stop early, resume exactly.

    ``best.pt`` is the bare state dict of the network at the best validation metric; ``last.pt`` holds everything a
    resumed run needs: a run that is killed at any moment and resumed gives, on a CPU, the weights, bit by bit, of one
    that was never disturbed. (MONAI's CheckpointSaver loses the best metric and the early-stop counter, so that a
    resumed run would overwrite a better model.) Both load with ``weights_only=True``; nothing that is not finite is
    saved.

    Make it when all other handlers are attached, since it saves what they have done.

    Args:
        directory: where the two files go.
        trainer: the MONAI trainer; its validation handler must already be attached.
        evaluator: the MONAI evaluator whose key metric decides.
        network: the network, not wrapped for distribution.
        optimizer, scheduler: their states are kept in ``last.pt``.
        objective: the loss, for what it follows from step to step.
        average: the moving average of the network, where one is validated; ``best.pt`` then holds its weights.
        epoch_parts: what has a state within an epoch, by name: objects with ``state_dict`` and ``load_state_dict``.
        save_steps: save ``last.pt`` within epochs too, every so many steps; a multiple of the accumulated batches.
            Taking it up loads again, without training, the batches that the epoch had used.
        patience: validations without improvement before training stops; 0 never stops.
        lower_is_better: whether the key metric is a loss.
        resume: go on from ``last.pt`` where there is one.

    Raises:
        ValueError: for ``save_steps`` below 1 or within groups of accumulated batches, or no batch to train on.
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
        objective: nn.Module | None = None,
        average: nn.Module | None = None,
        epoch_parts: Mapping[str, Any] | None = None,
        save_steps: int | None = None,
        patience: int = 0,
        lower_is_better: bool = False,
        resume: bool = False,
    ) -> None:
        if save_steps is not None and (save_steps < 1 or save_steps % trainer.accumulation_steps):
            raise ValueError(
                f"save_steps {save_steps}: give null, or a multiple of accumulate ({trainer.accumulation_steps}); "
                "half a group of accumulated batches is not saved"
            )
        if not len(trainer.data_loader):  # ignite would end such a run in peace
            raise ValueError(
                "there are fewer images for a process to train on than fill one batch; give a smaller --batch_size"
            )
        self.directory = Path(directory)
        self.network = network if average is None else average
        self.patience = patience
        self.save_steps = save_steps
        self.epoch_parts = dict(epoch_parts or {})
        trainer.data_loader = self.loader = ResumableLoader(trainer.data_loader)
        self.parts: dict[str, Any] = {
            "model": network,
            "optimizer": optimizer,
            "trainer": trainer,
            "best": BestMetric(evaluator),
            "scaler": LossScale(trainer),
        }
        if scheduler is not None:
            self.parts["scheduler"] = scheduler
        if objective is not None:
            self.parts["objective"] = PassingBuffers(objective, trainer.state.device)
        if average is not None:
            self.parts["average"] = average
        if patience > 0:
            self.parts["early_stop"] = EarlyStopping(patience, _score(lower_is_better), trainer)
            evaluator.add_event_handler(Events.COMPLETED, self.parts["early_stop"])
        trainer.add_event_handler(Events.STARTED, self.start, resume)
        evaluator.add_event_handler(Events.COMPLETED, self.save_best)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self.save_last)
        if save_steps is not None:
            trainer.add_event_handler(Events.ITERATION_COMPLETED(event_filter=self._is_due), self.save_last)

    def start(self, trainer: Workflow, resume: bool) -> None:
        """Sweep up what a killed run left half-written, and go on from ``last.pt`` if asked to."""
        if idist.get_rank() == 0:
            sweep(self.directory)
        if resume:
            self.load(trainer)

    def save_best(self, evaluator: Workflow) -> None:
        """Keep the weights when the epoch just validated is the best so far."""
        if idist.get_rank() == 0 and evaluator.state.best_metric_epoch == evaluator.state.epoch:
            _require_finite(self.network, self.directory / "best.pt", evaluator.state.epoch)
            save_atomically(self.network.state_dict(), self.directory / "best.pt")
            keep_configuration(self.directory.parent)

    def save_last(self, trainer: Workflow) -> None:
        """Keep everything that a resumed run needs."""
        here: dict[str, Any] = {"loader": self.loader.state_dict()}
        if trainer.state.iteration % trainer.state.epoch_length:
            here["random"] = random_state(self.loader.dataset)
            here["epoch_parts"] = {name: part.state_dict() for name, part in self.epoch_parts.items()}
        processes = _gather(here)
        if idist.get_rank() == 0:
            _require_finite(self.parts["model"], self.directory / "last.pt", trainer.state.epoch)
            state = {name: part.state_dict() for name, part in self.parts.items()}
            save_atomically({**state, "processes": processes}, self.directory / "last.pt")

    def load(self, trainer: Workflow) -> None:
        """Go on from ``last.pt``; start anew, and say so, where there is none.

        Raises:
            ValueError: the file is damaged, or of another architecture, of other data or options, or of a longer run.
        """
        path = self.directory / "last.pt"
        if not path.is_file():
            logger.info("nothing to resume in %s: starting anew", self.directory)
            return
        state = self._read(path)
        planned = trainer.state.max_epochs
        self._check(path, state, trainer)
        for name, part in self.parts.items():
            plan = {key: getattr(part, key) for key in PLAN if hasattr(part, key)}
            try:
                part.load_state_dict(state[name])
            except (RuntimeError, KeyError, ValueError) as error:
                raise ValueError(
                    f"{path} does not fit this run's {name}; resume with the options of that run, or name another "
                    f"--output_dir ({shorten(str(error), 300, placeholder=' ...')})"
                ) from error
            for key, value in plan.items():
                setattr(part, key, value)
        if planned is not None and trainer.state.epoch > planned:
            raise ValueError(f"{path} is {trainer.state.epoch} epochs old, more than the {planned} asked for")
        trainer.state.max_epochs = planned
        self._resume_within_epoch(trainer, state["processes"][idist.get_rank()])
        if "early_stop" in self.parts and self.parts["early_stop"].counter >= self.patience:
            trainer.terminate()  # it had stopped
        logger.info("resumed from %s after epoch %d, step %d", path, trainer.state.epoch, trainer.state.iteration)

    def _read(self, path: Path) -> dict[str, Any]:
        advice = "put a whole last.pt there, or begin anew by deleting it or with another --output_dir"
        try:
            state = read_torch_file(path)
        except ValueError as error:
            raise ValueError(f"{error}; {advice}") from error
        if not isinstance(state, dict):
            raise ValueError(f"{path} holds a {type(state).__name__}, not the state of a run; {advice}")
        return state

    def _check(self, path: Path, state: Mapping[str, Any], trainer: Workflow) -> None:
        for name in (*self.parts, "processes"):
            if name not in state:
                raise ValueError(f"{path} holds no state of {name!r}: it was written by a run with other options")
        stored = {"steps an epoch": state["trainer"]["epoch_length"], "processes": len(state["processes"])}
        now = {"steps an epoch": trainer.state.epoch_length, "processes": idist.get_world_size()}
        if "scheduler" in self.parts:
            stored["learning rates"] = state["scheduler"]["base_lrs"]
            now["learning rates"] = self.parts["scheduler"].base_lrs
        for name, value in now.items():
            if stored[name] != value:
                raise ValueError(
                    f"{path} was written by a run with other {name}: {stored[name]}, here {value}. Resume with the "
                    "options and data of that run, or give another --output_dir"
                )

    def _resume_within_epoch(self, trainer: Workflow, here: Mapping[str, Any]) -> None:
        self.loader.load_state_dict(here["loader"])
        if "random" not in here:
            return
        self.loader.resume_random_state(here["random"])

        def restore() -> None:
            handle.remove()
            for name, part in self.epoch_parts.items():
                part.load_state_dict(here["epoch_parts"][name])

        # Added now, it comes after the handlers that set these parts for the beginning of an epoch.
        handle = trainer.add_event_handler(Events.EPOCH_STARTED, restore)

    def _is_due(self, trainer: Workflow, iteration: int) -> bool:
        """Whether to save within the epoch; its end is saved after validation."""
        step = iteration % trainer.state.epoch_length
        return step > 0 and step % (self.save_steps or 1) == 0


def _require_finite(network: nn.Module, path: Path, epoch: int) -> None:
    wrong = first_not_finite(network)
    if wrong is not None:
        raise NonFiniteError(f"{path} is left as it was: in epoch {epoch} the weights {wrong} are not finite")


def _gather(value: Any) -> list[Any]:
    """``value`` of every process, in their order."""
    if idist.get_world_size() == 1:
        return [value]
    values: list[Any] = [None] * idist.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values


def _score(lower_is_better: bool) -> Callable[[Workflow], float]:
    sign = -1.0 if lower_is_better else 1.0
    return lambda engine: sign * float(engine.state.metrics[engine.state.key_metric_name])
