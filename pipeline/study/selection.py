"""Choose a learning rate on validation patients, from the same grid for every arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .results import best_validation
from .runner import Outcomes
from .stage import Stage

__all__ = ["choose"]


def choose(candidates: Mapping[float, Sequence[Stage]], outcomes: Outcomes) -> float | None:
    """The learning rate of the highest mean validation AUC over its runs; the smaller one of equals.

    A rate of which a run failed is out of the choice, since a mean over other seeds would not compare.

    Args:
        candidates: fine-tunings of the same seeds, by learning rate.
        outcomes: of all of them.

    Returns:
        The rate; None where every one failed.
    """
    scores: dict[float, float] = {}
    for rate, stages in sorted(candidates.items()):
        ended = [outcomes.of(stage) for stage in stages]
        if all(outcome.reason is None for outcome in ended):
            scores[rate] = float(np.mean([best_validation(outcome.folder)[0] for outcome in ended]))
    return max(scores, key=lambda rate: scores[rate]) if scores else None
