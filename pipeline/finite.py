"""Stop a run whose loss or weights are no longer numbers, and say with which images that happened."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from torch import Tensor, nn

from .files import write_atomically

__all__ = ["NonFiniteError", "StopAtNonFiniteLoss", "first_not_finite"]

SHOWN = 8
"""Images named in a message; the file names all."""


class NonFiniteError(ValueError):
    """A loss or a weight that is NaN or infinite."""


@dataclass
class _Watched:
    """What is known of a step whose loss may still be on its way from the GPU."""

    place: dict[str, int]
    images: list[str]
    terms: dict[str, Tensor]
    copied: torch.cuda.Event | None = None

    def fetch(self) -> dict[str, float]:
        if self.copied is not None:
            self.copied.synchronize()
        return {name: float(value) for name, value in self.terms.items()}


class StopAtNonFiniteLoss:
    """End training with one clear error at a loss that is NaN or infinite, and write down the batch.

    On a CPU each loss is looked at when its step is done. On a GPU that would make the processor wait for every step:
    the loss is copied beside the work, and looked at when the next step has been queued, or at the end of the epoch.
    The weights themselves are looked at once an epoch, before validation: a gradient may fail where the loss did not.
    A step that a loss scaler leaves out since its gradients overflowed is no error.

    List it first: what it finds at the end of an epoch must come before validation.

    Args:
        path: receives epoch, step, losses and image ids of the batch as JSON; removed when a run starts.
        objective: a loss with a mapping ``parts`` of its last terms, told in the file.
    """

    def __init__(self, path: str | Path, *, objective: Any = None) -> None:
        self.path = Path(path)
        self.objective = objective
        self.last: _Watched | None = None

    def attach(self, engine: SupervisedTrainer) -> None:
        """Register with the trainer ``engine``."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.watch)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.explain)

    def start(self, engine: SupervisedTrainer) -> None:
        """Forget what an earlier run left."""
        self.last = None
        if idist.get_rank() == 0:
            self.path.unlink(missing_ok=True)

    def watch(self, engine: SupervisedTrainer) -> None:
        """Look at the last step's loss, on a GPU at the one before."""
        before, self.last = self.last, self._watch(engine)
        if self.last.copied is None:
            self._check(self.last)
        elif before is not None:
            self._check(before)

    def finish(self, engine: SupervisedTrainer) -> None:
        """Look at the loss that is left, and at the weights."""
        if self.last is None:
            return
        self._check(self.last)
        wrong = first_not_finite(engine.network)
        if wrong is not None:
            self._stop(self.last, f"the weights {wrong} are not finite, although the loss was,")

    def explain(self, engine: SupervisedTrainer, error: BaseException) -> None:
        """Raise the error again; a decomposition that failed is first looked at for what made it fail.

        A penalty that decomposes matrices stops at the first step after the weights went wrong, which may be before the
        loss of that step was looked at.
        """
        if not isinstance(error, torch.linalg.LinAlgError):
            raise error
        if self.last is not None:
            self.finish(engine)
        here = _Watched(_place(engine), _image_ids(engine.state.batch), {})
        self._stop(here, f"the loss cannot be computed ({str(error).splitlines()[0]})")

    def _watch(self, engine: SupervisedTrainer) -> _Watched:
        parts = getattr(self.objective, "parts", None) or {}
        terms = {name: value.detach() for name, value in {"loss": engine.state.output["loss"], **parts}.items()}
        copied = None
        if terms["loss"].is_cuda:
            terms = {name: _to_pinned_memory(value) for name, value in terms.items()}
            copied = torch.cuda.Event()
            copied.record()
        return _Watched(_place(engine), _image_ids(engine.state.batch), terms, copied)

    def _check(self, watched: _Watched) -> None:
        terms = watched.fetch()
        if not torch.tensor(terms["loss"]).isfinite():
            self._stop(watched, f"the loss is {terms['loss']}")

    def _stop(self, watched: _Watched, what: str) -> None:
        terms = {name: repr(value) for name, value in watched.fetch().items()}  # JSON has no NaN
        content = watched.place | {"terms": terms, "image_id": watched.images}
        if not self.path.exists():  # of several processes, the first to stop saw the cause
            write_atomically(self.path, json.dumps(content, indent=1).encode())
        more = f" and {len(watched.images) - SHOWN} more" if len(watched.images) > SHOWN else ""
        raise NonFiniteError(
            f"{what} in epoch {watched.place['epoch']}, step {watched.place['step']}, with the images "
            f"{', '.join(watched.images[:SHOWN])}{more} (written to {self.path}); checkpoints are those of before. "
            "Look at these images, lower --learning_rate, or take --precision float32"
        )


def first_not_finite(network: nn.Module) -> str | None:
    """Name of the first parameter that holds a NaN or an infinite number; None where all are finite."""
    named = dict(network.named_parameters())
    finite = torch.stack([parameter.detach().isfinite().all() for parameter in named.values()]).tolist()
    return next((name for name, fine in zip(named, finite, strict=True) if not fine), None)


def _place(engine: SupervisedTrainer) -> dict[str, int]:
    """Epoch, step within it from 1, and step of the whole run."""
    state = engine.state
    step = (state.iteration - 1) % state.epoch_length + 1
    return {"epoch": state.epoch, "step": step, "iteration": state.iteration}


def _image_ids(batch: Any) -> list[str]:
    ids = batch.get("image_id", ()) if isinstance(batch, Mapping) else ()
    return [str(name) for name in ids] if isinstance(ids, Sequence) and not isinstance(ids, str) else [str(ids)]


def _to_pinned_memory(value: Tensor) -> Tensor:
    copy = torch.empty_like(value, device="cpu", pin_memory=True)
    return copy.copy_(value, non_blocking=True)
