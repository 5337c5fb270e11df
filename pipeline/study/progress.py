"""How long a study still takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from .stage import Stage

__all__ = ["Progress", "format_seconds"]


class Progress:
    """Estimate the time left from what finished stages of the same kind took, a training by its steps.

    Args:
        workers: stages at a time.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.seconds: dict[str, float] = defaultdict(float)
        self.work: dict[str, float] = defaultdict(float)

    def add(self, stage: Stage, seconds: float) -> None:
        """Take note of a finished stage."""
        self.seconds[stage.name] += seconds
        self.work[stage.name] += amount(stage)

    def left(self, waiting: Iterable[Stage]) -> float | None:
        """Seconds until these stages are done; None while there is one of a kind that has not been seen."""
        stages = list(waiting)
        if any(stage.name not in self.seconds for stage in stages):
            return None
        return sum(amount(s) * self.seconds[s.name] / self.work[s.name] for s in stages) / self.workers


def amount(stage: Stage) -> float:
    """Optimiser steps of a training whose configuration tells them, epochs of another; 1 for other stages."""
    epochs, length = (stage.configuration.get(name) for name in ("max_epochs", "epoch_length"))
    if "optimizer" not in stage.configuration or not isinstance(epochs, int):
        return 1.0
    return float(max(1, epochs) * (length if isinstance(length, int) else 1))


def format_seconds(seconds: float) -> str:
    """``"45 s"``, ``"12 min"`` or ``"3 h 05 min"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
