"""Go on in the middle of a pass over the data: the same batches, the same augmentation, the same random numbers."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform
from torch import Tensor

__all__ = ["ResumableLoader", "random_state", "restore_random_state"]


class ResumableLoader:
    """Passes over a data loader, one of which can be taken up where a killed run left it.

    An engine asks for one pass after another. A pass may reach over several epochs, or an epoch over several passes.
    A pass is taken up by loading it again from its beginning, without training on it, up to where the run was: worker
    processes then draw what they had drawn, which nothing that the main process can save would tell. (ignite's
    ``DeterministicEngine`` leaves those batches out and so augments the others differently; it is also an engine of
    its own, which MONAI's trainers are not.) That costs the loading of these batches, and nothing between two passes.

    Args:
        loader: a data loader, or a list of batches.
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        self.loader = loader
        self.beginning: dict[str, Any] = {}
        self.taken = 0
        self.resumed: Mapping[str, Any] = {}
        self.random: Mapping[str, Any] = {}

    @property
    def dataset(self) -> Any:
        """The loader's dataset; None for a list."""
        return getattr(self.loader, "dataset", None)

    def __len__(self) -> int:
        return len(self.loader)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        resumed, self.resumed = self.resumed, {}
        batches = self._repeat(resumed) if resumed else None
        saved, self.random = self.random, {}
        if saved:
            restore_random_state(saved, self.dataset)
        if batches is None:
            batches = self._begin()
        for batch in batches:
            self.taken += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Where the present pass began and how many batches it has given; empty between two passes."""
        return {**self.beginning, "taken": self.taken} if 0 < self.taken < len(self) else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next pass be the one of ``state``, from where it was."""
        self.resumed = state

    def resume_random_state(self, state: Mapping[str, Any]) -> None:
        """Set the generators of :func:`random_state` when the next batch is asked for; empty sets none."""
        self.random = state

    def _begin(self) -> Iterator[Any]:
        # A sampler and worker processes are seeded from torch's generator, a distributed sampler from its epoch.
        epoch = getattr(self._sampler, "epoch", None)
        self.beginning = {"torch": torch.get_rng_state(), "sampler_epoch": epoch}
        self.taken = 0
        return iter(self.loader)

    def _repeat(self, state: Mapping[str, Any]) -> Iterator[Any]:
        here = random_state(self.dataset)
        epoch = getattr(self._sampler, "epoch", None)
        torch.set_rng_state(state["torch"])
        self._set_sampler_epoch(state["sampler_epoch"])
        batches = self._begin()
        while self.taken < state["taken"]:
            next(batches)
            self.taken += 1
        self._set_sampler_epoch(epoch)
        restore_random_state(here, self.dataset)
        return batches

    @property
    def _sampler(self) -> Any:
        return getattr(self.loader, "sampler", None)

    def _set_sampler_epoch(self, epoch: int | None) -> None:
        if epoch is not None:
            self._sampler.set_epoch(epoch)


def random_state(dataset: Any = None) -> dict[str, Any]:
    """States of the generators of this process: Python's, NumPy's, torch's and those of a dataset's transforms.

    Args:
        dataset: whose attribute ``transform``, where there is one, is looked through for generators.

    Returns:
        Plain values and tensors, which ``torch.load(weights_only=True)`` reads.
    """
    state = {
        "python": random.getstate(),
        "numpy": _plain(np.random.get_state(legacy=False)),  # noqa: NPY002 others may draw from it
        "torch": torch.get_rng_state(),
        "transforms": [_plain(generator.get_state(legacy=False)) for generator in _generators(dataset)],
    }
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: Mapping[str, Any], dataset: Any = None) -> None:
    """Set the generators to what :func:`random_state` gave for the same dataset."""
    random.setstate(state["python"])
    np.random.set_state(_numpy(state["numpy"]))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    for generator, value in zip(_generators(dataset), state["transforms"], strict=True):
        generator.set_state(_numpy(value))


def _generators(dataset: Any) -> list[np.random.RandomState]:
    """The generators of a dataset's transforms, each once, in an order that depends on the transforms alone."""
    found: dict[int, np.random.RandomState] = {}
    seen: set[int] = set()

    def look(value: Any) -> None:
        if isinstance(value, np.random.RandomState):
            found.setdefault(id(value), value)
        if not isinstance(value, (list, tuple, Transform)) or id(value) in seen:
            return
        seen.add(id(value))
        for part in vars(value).values() if isinstance(value, Transform) else value:
            look(part)

    look(getattr(dataset, "transform", None))
    return list(found.values())


def _plain(state: Any) -> dict[str, Any]:
    """A state of NumPy's as plain values and a tensor."""
    key = torch.from_numpy(state["state"]["key"].astype(np.int64))
    return {**state, "state": {"key": key, "pos": int(state["state"]["pos"])}}


def _numpy(state: Mapping[str, Any]) -> dict[str, Any]:
    key: Tensor = state["state"]["key"]
    return {**state, "state": {"key": key.numpy().astype(np.uint32), "pos": state["state"]["pos"]}}
