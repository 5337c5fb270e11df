"""The figures of a report, on matplotlib's object interface: no window, no global state.

Colours are Okabe and Ito's, told apart by colour-blind readers; line styles differ as well, for grey
printers.
"""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import precision_recall_curve, roc_curve

from ..metrics import bootstrap_draws, confusion, patient_keys
from ..metrics.intervals import Statistic
from ..metrics.weighted import precision_on_grid, roc_on_grid
from .inputs import finite
from .wording import LOWER_IS_BETTER, MINUS, name_of

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
STYLES = ("-", "--", "-.", ":")
GREY = "#666666"
PANEL_IN = 4.4
"""Width of one panel in inches."""
GRID = np.linspace(0, 1, 101)

History = Mapping[str, Sequence[Mapping[str, Any]]]


def history_figure(histories: Mapping[str, History]) -> Figure:
    """Training loss in the first panel, each validation metric in one of its own, one line per run.

    The parts of the loss are drawn where there is one run only; several would be a thicket.
    """
    metrics = dict.fromkeys(key for h in histories.values() for row in h["validation"] for key in _values(row))
    figure, panels = _panels(1 + len(metrics))
    for index, (name, history) in enumerate(histories.items()):
        _line(panels[0], history["train"], "loss", name if len(histories) > 1 else "total", index)
        if len(histories) == 1:
            parts = dict.fromkeys(key for row in history["train"] for key in _values(row) if key != "loss")
            for number, part in enumerate(parts, start=1):
                _line(panels[0], history["train"], part, name_of(part), number)
        for axes, metric in zip(panels[1:], metrics, strict=True):
            _line(axes, history["validation"], metric, name, index)
    _dress(panels[0], "Training loss", "epoch", "mean loss of the epoch")
    for axes, metric in zip(panels[1:], metrics, strict=True):
        _dress(axes, f"Validation {name_of(metric)}", "epoch", name_of(metric))
    for axes in panels:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    return figure


def ranking_figure(
    tests: Mapping[str, pd.DataFrame],
    thresholds: Mapping[str, float | None],
    *,
    draws: int = 2000,
    seed: int = 0,
    positive: str = "malignant",
) -> Figure:
    """ROC and precision-recall curves with 95 % patient-bootstrap bands.

    Args:
        tests: labelled test rows by classifier, both classes in each.
        thresholds: of each classifier, marked on its curves; ``None`` marks nothing.
        draws: bootstrap draws.
        seed: of the draws.
        positive: what readers call the positive class.
    """
    figure, (roc, precision) = _panels(2)
    for index, (name, rows) in enumerate(tests.items()):
        labels, scores = rows["label"].to_numpy(), rows["probability"].to_numpy()
        patients, style = patient_keys(rows), _style(index)
        false, true, _ = roc_curve(labels, scores)
        exact, recall, _ = precision_recall_curve(labels, scores)
        roc.plot(false, true, label=_plain(name), **style)
        precision.plot(recall[:-1], exact[:-1], drawstyle="steps-pre", label=_plain(name), **style)
        _band(roc, roc_on_grid(labels, scores, GRID), patients, index, draws, seed)
        _band(precision, precision_on_grid(labels, scores, GRID[1:]), patients, index, draws, seed)
        if thresholds.get(name) is not None:
            _mark_threshold(roc, precision, labels, scores, float(thresholds[name] or 0.0), index)
    roc.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (1, 2)), label="chance")
    share = float(next(iter(tests.values()))["label"].mean())
    precision.axhline(share, color=GREY, linewidth=1, linestyle=(0, (1, 2)), label=_plain(f"chance (share {positive})"))
    _dress(roc, "ROC", f"1 {MINUS} specificity", "sensitivity")
    _dress(precision, "Precision and recall", "recall (sensitivity)", "precision (PPV)")
    for axes in (roc, precision):
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))
    return figure


def calibration_figure(calibrations: Mapping[str, Mapping[str, Any]], positive: str = "malignant") -> Figure:
    """Observed share of positives against mean probability, before and after the temperature, a panel per
    model.
    """
    figure, panels = _panels(len(calibrations))
    for axes, (name, calibration) in zip(panels, calibrations.items(), strict=True):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (1, 2)), label="perfect")
        for index, (key, label) in enumerate((("before", "as the model gives it"), ("after", "with temperature"))):
            if calibration.get(key):
                points = calibration[key]["reliability"]
                style = _style(index) | {"marker": "o", "markersize": 4}
                axes.plot(points["predicted"], points["observed"], label=label, **style)
        _dress(axes, name, "predicted probability", f"observed share {positive}")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return figure


def decision_curve_figure(curves: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Net benefit over threshold probabilities beside acting on everybody and on nobody, one line per model."""
    figure, (axes,) = _panels(1)
    for index, (name, curve) in enumerate(curves.items()):
        axes.plot(curve["threshold"], curve["model"], label=_plain(name), **_style(index))
        axes.fill_between(
            curve["threshold"], curve["low"], curve["high"], color=_style(index)["color"], alpha=0.15, lw=0
        )
    first = next(iter(curves.values()))
    axes.plot(
        first["threshold"], first["treat_all"], color=GREY, linewidth=1.2, linestyle="--", label="act on everybody"
    )
    axes.axhline(0, color=GREY, linewidth=1.2, linestyle=(0, (1, 2)), label="act on nobody")
    highest = max(max(curve["high"]) for curve in curves.values())
    axes.set(xlim=(0, 1), ylim=(-0.3 * highest if highest > 0 else -0.1, 1.1 * max(highest, 0.02)))
    _dress(axes, "Decision curve", "probability at which one acts", "net benefit")
    return figure


def probability_figure(
    tests: Mapping[str, pd.DataFrame],
    thresholds: Mapping[str, float | None],
    classes: Sequence[str] = ("benign", "malignant"),
) -> Figure:
    """How the probabilities of both classes are spread, with the threshold, a panel per model."""
    figure, panels = _panels(len(tests), height=2.6)
    bins = np.linspace(0, 1, 26)
    for axes, (name, rows) in zip(panels, tests.items(), strict=True):
        for index, (label, word) in enumerate(enumerate(classes)):
            values = rows.loc[rows["label"] == label, "probability"]
            counts = np.histogram(values, bins)[0]
            axes.stairs(counts, bins, fill=True, color=COLOURS[index], alpha=0.3, label=_plain(word))
            axes.stairs(counts, bins, color=COLOURS[index], linewidth=1.5, linestyle=STYLES[index])
        threshold = thresholds.get(name)
        if threshold is not None:
            axes.axvline(threshold, color="black", linewidth=1.2, linestyle="--", label="threshold")
        _dress(axes, name, f"predicted probability, {classes[1]}", "images")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    return figure


def explanation_figure(maps: Mapping[str, Mapping[str, Any]]) -> Figure | None:
    """Mean and interval of each measure beside its chance level, a panel per measure; ``None`` without
    measures.
    """
    names = [
        name
        for name in dict.fromkeys(name for summary in maps.values() for name in summary["measures"])
        if any(s["measures"].get(name, {}).get("mean", {}).get("value") is not None for s in maps.values())
    ]
    if not names:
        return None
    rows = (len(names) + 2) // 3
    height = rows * (1.35 + 0.34 * len(maps))
    figure = Figure(figsize=(10.2, height), layout="constrained")
    grid = figure.subplots(rows, min(3, len(names)), squeeze=False, sharey=True).ravel()
    for axes, name in zip(grid, names, strict=False):
        _measure_panel(axes, name, maps)
    for axes in grid[len(names) :]:
        axes.set_visible(False)
    shown = [pair for axes in grid for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
    legend = {label: handle for handle, label in shown}
    figure.legend(list(legend.values()), list(legend), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def _measure_panel(axes: Axes, name: str, maps: Mapping[str, Mapping[str, Any]]) -> None:
    for place, summary in enumerate(maps.values()):
        measure = summary["measures"].get(name)
        if measure is None or measure["mean"]["value"] is None:
            continue
        mean, first = measure["mean"], place == 0
        low, high = (mean["low"], mean["high"]) if mean["low"] is not None else (mean["value"],) * 2
        axes.plot([low, high], [place, place], color=COLOURS[0], linewidth=3, alpha=0.6, solid_capstyle="butt")
        axes.plot(mean["value"], place, "o", color=COLOURS[0], label="mean, 95 % interval" if first else None)
        marks = (("D", "chance: random pixel of the image"), ("^", "chance: random pixel of the breast"))
        for (marker, label), chance in zip(marks, measure["chance"].values(), strict=False):
            if chance is not None:
                style: dict[str, Any] = {"color": COLOURS[1], "markerfacecolor": "white", "linestyle": "none"}
                axes.plot(chance, place, marker=marker, label=label if first else None, **style)
    axes.set_yticks(range(len(maps)), [_plain(name_of(kind)) for kind in maps])
    axes.set_ylim(len(maps) - 0.5, -0.5)
    axes.set_xlim(0, max(1.08 * axes.dataLim.x1, 0.05))
    better = "lower is better" if name in LOWER_IS_BETTER else "higher is better"
    _dress(axes, fill(name_of(name), 26), better, "", legend=False)
    axes.title.set_fontsize(9)


def _panels(count: int, height: float = 3.6) -> tuple[Figure, Sequence[Axes]]:
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = Figure(figsize=(max(PANEL_IN * columns, 5.5), height * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[count:]:
        axes.set_visible(False)
    return figure, list(grid[:count])


def _line(axes: Axes, rows: Sequence[Mapping[str, Any]], key: str, label: str, index: int) -> None:
    points = [(row["epoch"], finite(row.get(key))) for row in rows]
    if points:
        marker = "o" if len(points) < 40 else None
        axes.plot(*zip(*points, strict=True), label=_plain(label), marker=marker, markersize=3, **_style(index))


def _band(axes: Axes, statistic: Statistic, patients: np.ndarray, index: int, draws: int, seed: int) -> None:
    curves = bootstrap_draws(statistic, patients, draws=draws, seed=seed)
    curves = curves[np.isfinite(curves).all(axis=1)]
    if len(curves):
        low, high = np.quantile(curves, [0.025, 0.975], axis=0)
        axes.fill_between(GRID[-curves.shape[1] :], low, high, color=COLOURS[index % len(COLOURS)], alpha=0.15, lw=0)


def _mark_threshold(
    roc: Axes, precision: Axes, labels: np.ndarray, scores: np.ndarray, threshold: float, index: int
) -> None:
    table = confusion(labels, scores, threshold)
    style: dict[str, Any] = {
        "marker": "s",
        "color": COLOURS[index % len(COLOURS)],
        "markeredgecolor": "black",
        "zorder": 4,
    }
    roc.plot(1 - table.specificity, table.sensitivity, **style)
    flagged = table.true_positive + table.false_positive
    if flagged:
        precision.plot(table.sensitivity, table.true_positive / flagged, **style)


def _values(row: Mapping[str, Any]) -> list[str]:
    return [key for key in row if key not in ("epoch", "iteration")]


def _style(index: int) -> dict[str, Any]:
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": STYLES[index % len(STYLES)],
        "linewidth": 1.8,
    }


def _plain(text: str) -> str:
    """The text with matplotlib's formula sign made harmless."""
    return text.replace("$", r"\$")


def _dress(axes: Axes, title: str, x: str, y: str, legend: bool = True) -> None:
    axes.set_title(_plain(title), fontsize=10, loc="left", fontweight="bold")
    axes.set_xlabel(_plain(x), fontsize=9)
    axes.set_ylabel(_plain(y), fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False)
