"""The exponent with which a cost grows, and the figure of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

__all__ = ["Growth", "fit", "plot"]


class Growth(NamedTuple):
    """Seconds of each round by the quantity that grows, and the exponent with its 95 % interval."""

    work: str
    quantity: str
    seconds: Mapping[float, Sequence[float]]
    exponent: float
    low: float
    high: float


def fit(seconds: Mapping[float, Sequence[float]]) -> tuple[float, float, float]:
    """Slope of log seconds over log quantity by least squares over all rounds, and its 95 % interval (Student's t).

    Raises:
        ValueError: for fewer than three points or two quantities, which have no interval.
    """
    points = np.log([(quantity, second) for quantity, rounds in seconds.items() for second in rounds])
    if len(points) < 3 or len(seconds) < 2:
        raise ValueError(f"{len(points)} points of {len(seconds)} quantities; an interval needs 3 points of 2")
    line = stats.linregress(points[:, 0], points[:, 1])
    half = float(stats.t.ppf(0.975, len(points) - 2) * line.stderr)
    return float(line.slope), float(line.slope) - half, float(line.slope) + half


def plot(found: Sequence[Growth], path: Path) -> None:
    """Write a panel for each work: seconds over the quantities, both as multiples of the smallest."""
    from matplotlib.figure import Figure

    works = list(dict.fromkeys(growth.work for growth in found))
    figure = Figure(figsize=(4.2 * len(works), 4), layout="constrained")
    for axes, work in zip(figure.subplots(1, len(works), squeeze=False)[0], works, strict=True):
        for growth in (one for one in found if one.work == work):
            quantities = np.array([float(quantity) for quantity in growth.seconds])
            medians = np.array([np.median(values) for values in growth.seconds.values()])
            label = f"{growth.quantity}: {growth.exponent:.2f} ({growth.low:.2f} to {growth.high:.2f})"
            axes.plot(quantities / quantities[0], medians / medians[0], "o-", label=label)
        _dress(axes, work)
    figure.savefig(path, dpi=110)


def _dress(axes: Any, work: str) -> None:
    end = axes.get_xlim()[1]
    axes.plot([1, end], [1, end], ":", color="0.6", label="proportional")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set(title=work, xlim=(0.9, 1.05 * end))
    axes.set(xlabel="quantity, multiples of the smallest", ylabel="seconds, multiples of the first")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    axes.legend(fontsize=7, loc="upper left")
