"""From images to breasts and to the exam: one rule, the one by which thresholds were chosen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from .result import BreastResult, ViewResult

__all__ = ["HANGING", "breasts_of", "missing_views"]

HANGING = (("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO"))
"""The four views of a screening exam in the order in which they hang."""


def breasts_of(views: Sequence[ViewResult]) -> tuple[BreastResult, ...]:
    """The breasts of an exam, left first: the mean over views, of a repeated view the mean of its images first.

    Without repeated views it is ``breast_mean`` of an evaluation, for which thresholds are chosen.

    Args:
        views: of one exam; those without probability or side do not count.
    """
    breasts: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for view in views:
        if view.probability is not None and view.laterality is not None:
            breasts[view.laterality][view.view or "unknown"].append(view.probability)
    return tuple(
        BreastResult(
            side,
            score=fmean(map(fmean, told.values())),
            views=tuple(sorted(told)),
            repeated=tuple(sorted(name for name, values in told.items() if len(values) > 1)),
        )
        for side, told in sorted(breasts.items())
    )


def missing_views(views: Sequence[ViewResult]) -> tuple[str, ...]:
    """Of the four screening views those without a scored image, in hanging order."""
    there = {(view.laterality, view.view) for view in views if view.probability is not None}
    return tuple(f"{side} {view}" for side, view in HANGING if (side, view) not in there)
