"""The similarity of every image to every report, sorted so that findings and sides stand together."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

__all__ = ["group_means", "similarity_figure"]

LEAST_SHARE = 0.025
"""A group smaller than this share of an axis is not named there: names would overlap. The right panel has it."""
MOST_GROUPS = 12
COLOURS = "cividis"


def group_means(
    cosines: ArrayLike, rows: Sequence[str], columns: Sequence[str]
) -> tuple[NDArray[np.float64], list[str], list[str]]:
    """Mean cosine of each group of rows with each group of columns, and the names of both in order."""
    values = np.asarray(cosines, float)
    of_rows, of_columns = (sorted(set(groups)) for groups in (rows, columns))
    means = [
        [values[np.ix_(np.array(rows) == row, np.array(columns) == column)].mean() for column in of_columns]
        for row in of_rows
    ]
    return np.array(means), of_rows, of_columns


def similarity_figure(
    cosines: ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    report: ArrayLike | None = None,
    *,
    what: str = "breast",
) -> bytes:
    """Draw the matrix, and the means of its groups beside it, as PNG.

    Args:
        cosines: ``(N, M)`` of N images or breasts and M different reports.
        rows: group of each of N, such as ``mass, left``.
        columns: group of each of M.
        report: ``(N,)`` int, the report of each of N; within their group they stand in its order, so that right pairs
            lie along a diagonal. None keeps the order of the data.
        what: what the rows are.
    """
    values = np.asarray(cosines, float)
    means, of_rows, of_columns = group_means(values, rows, columns)
    small = max(len(of_rows), len(of_columns)) <= MOST_GROUPS
    figure = Figure(figsize=(13.6 if small else 8.2, 7.0), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2 if small else 1, squeeze=False, width_ratios=[1.2, 1] if small else [1])[0]
    across = np.argsort(columns, kind="stable")
    own = np.arange(len(values)) if report is None else np.argsort(across)[np.asarray(report)]
    order = [np.lexsort((own, np.asarray(rows))), across]
    low, high = np.percentile(values, (1, 99))
    shown = panels[0].imshow(
        values[np.ix_(*order)], vmin=low, vmax=high, cmap=COLOURS, aspect="auto", interpolation="nearest"
    )
    _name_groups(panels[0], [rows[k] for k in order[0]], "y")
    _name_groups(panels[0], [columns[k] for k in order[1]], "x")
    panels[0].set_ylabel(f"{len(values)} {what}s, by what is reported", fontsize=10)
    panels[0].set_xlabel(f"{values.shape[1]} different reports, each beside those of its kind", fontsize=10)
    panels[0].set_title("Cosine of image and report", fontsize=11)
    figure.colorbar(shown, ax=panels[0], shrink=0.6, label="cosine (colours from the 1st to the 99th percentile)")
    if small:
        _draw_means(panels[1], means, of_rows, of_columns)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120, format="png")
    return picture.getvalue()


def _name_groups(axes: Axes, groups: Sequence[str], side: str) -> None:
    """Lines between groups, and the name of each that is large enough at its middle."""
    names, starts = np.unique(groups, return_index=True)
    ends = np.append(starts[1:], len(groups))
    for start in starts[1:]:
        line = axes.axhline if side == "y" else axes.axvline
        line(start - 0.5, color="white", linewidth=0.8)
    told = [k for k in range(len(names)) if ends[k] - starts[k] >= LEAST_SHARE * len(groups)]
    middles = [(starts[k] + ends[k] - 1) / 2 for k in told]
    labels = [str(names[k]) for k in told]
    if side == "y":
        axes.set_yticks(middles, labels, fontsize=9)
    else:
        axes.set_xticks(middles, labels, fontsize=9, rotation=30, ha="right", rotation_mode="anchor")
    axes.tick_params(length=0)


def _draw_means(axes: Axes, means: NDArray[np.float64], rows: Sequence[str], columns: Sequence[str]) -> None:
    low, high = float(means.min()), float(means.max())
    axes.imshow(means, vmin=low, vmax=high, cmap=COLOURS, aspect="auto")
    for row, column in np.ndindex(*means.shape):
        bright = means[row, column] > (low + high) / 2
        axes.text(
            column, row, f"{means[row, column]:.2f}", ha="center", va="center", color="black" if bright else "white"
        )
    axes.set_yticks(range(len(rows)), rows, fontsize=9)
    axes.set_xticks(range(len(columns)), columns, fontsize=9, rotation=30, ha="right", rotation_mode="anchor")
    axes.tick_params(length=0)
    axes.set_title("Mean cosine of each kind of image and report", fontsize=11)
