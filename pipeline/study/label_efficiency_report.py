"""The files that a label-efficiency study leaves: table of runs, means with intervals, Markdown, curve."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from ..files import write_atomically
from ..handlers import write_table
from .figure import COLOURS, MARKERS, png
from .results import format_interval
from .setting import Setting

__all__ = ["curve", "markdown", "write_report"]

logger = logging.getLogger(__name__)


def write_report(setting: Setting, rows: pd.DataFrame, summary: Mapping[str, Any]) -> Path:
    """Write ``study.csv``, ``study.json``, ``study.md`` and ``curve.png`` into the study's folder.

    Args:
        setting: of the study.
        rows: one a fine-tuning.
        summary: of the study, JSON-safe.

    Returns:
        The path of ``study.csv``.
    """
    out = setting.output_dir
    content = {"study": "label_efficiency", **setting.provenance(), **summary}
    write_table(rows, out / "study.csv")
    write_atomically(out / "study.json", json.dumps(content, indent=1).encode())
    text = markdown(content)
    write_atomically(out / "study.md", text.encode())
    if any("test_auc" in cell for cell in content["cells"]):
        write_atomically(out / "curve.png", png(curve(content)))
    print(text)
    logger.info("%s, study.json, study.md and curve.png written", out / "study.csv")
    return out / "study.csv"


def markdown(content: Mapping[str, Any]) -> str:
    """The study as a section for a page of results: command, table of AUC, paired differences."""
    cells = {(cell["arm"], cell["fraction"]): cell for cell in content["cells"]}
    arms, fractions = content["arms"], content["fractions"]
    steps = ", ".join(f"{arm.replace('_', ' ')} {count}" for arm, count in content["steps"].items())
    seeds, selection = _joined(content["seeds"]), content["selection"]
    lines = [
        f"`{content['command']}`",
        "",
        f"Datalist SHA-256 {content['datalist_sha256'][:12]}; seeds {seeds}; optimiser steps in all, pretraining "
        f"included: {steps}. Per test image, mean over seeds, 95 % intervals by bootstrap over patients and seeds. "
        f"Learning rates {_joined(selection['learning_rates'])}: {selection['rule']} (seeds "
        f"{_joined(selection['seeds'])}). Primary endpoint: {content['primary_endpoint']}; all else is exploratory.",
        "",
    ]
    lines += _by_arm(cells, arms, fractions[0]) if len(fractions) == 1 else _by_fraction(cells, arms, fractions)
    lines += ["", "| labels | difference | AUC |", "|--:|---|---|"]
    for one in content["differences"]:
        name = f"{one['first']} minus {one['second']}".replace("_", " ")
        lines.append(f"| {one['fraction']:g} % | {name} | {format_interval(one['difference'])} |")
    return "\n".join(lines) + "\n"


Cells = Mapping[tuple[str, float], Mapping[str, Any]]


def _patients(cell: Mapping[str, Any]) -> str:
    counts = cell["labelled_patients"]
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _by_fraction(cells: Cells, arms: Sequence[str], fractions: Sequence[float]) -> list[str]:
    """AUC: a row for each share of the labels, a column for each arm."""
    lines = ["| labels | patients | " + " | ".join(arm.replace("_", " ") for arm in arms) + " |"]
    lines.append("|--:|--:|" + "---|" * len(arms))
    for share in fractions:
        row = [_measure(cells[arm, share], "auc") for arm in arms]
        lines.append(f"| {share:g} % | {_patients(cells[arms[0], share])} | " + " | ".join(row) + " |")
    return lines


def _by_arm(cells: Cells, arms: Sequence[str], share: float) -> list[str]:
    """All measures: a row for each arm, as papers print it."""
    told = {name for arm in arms for name in cells[arm, share]}
    names = [name for name in ("auc", "average_precision", "accuracy") if f"test_{name}" in told]
    titles = " | ".join("AUC" if name == "auc" else name.replace("_", " ") for name in names)
    lines = [f"| {share:g} % of the labels, {_patients(cells[arms[0], share])} patients | learning rate | {titles} |"]
    lines.append("|---|--:|" + "---|" * len(names))
    for arm in arms:
        rate = cells[arm, share]["learning_rate"]
        row = [_measure(cells[arm, share], name) for name in names]
        lines.append(
            f"| {arm.replace('_', ' ')} | {'none' if rate is None else f'{rate:g}'} | " + " | ".join(row) + " |"
        )
    return lines


def _joined(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _measure(cell: Mapping[str, Any], name: str) -> str:
    return format_interval(cell[f"test_{name}"]) if f"test_{name}" in cell else "failed"


def curve(content: Mapping[str, Any]) -> Figure:
    """Test AUC against the share of labels, with intervals; the arms stand beside each other."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained", dpi=150)
    axes = figure.subplots()
    arms, fractions = content["arms"], content["fractions"]
    for index, arm in enumerate(arms):
        own = [cell for cell in content["cells"] if cell["arm"] == arm and "test_auc" in cell]
        # Beside each other on a logarithmic axis: intervals must not hide one another.
        aside = (fractions[-1] / fractions[0]) ** (0.012 * (index - (len(arms) - 1) / 2))
        places = [cell["fraction"] * aside for cell in own]
        found = [cell["test_auc"] for cell in own]
        values = [one["value"] for one in found]
        low = [one["value"] - (one["value"] if one["low"] is None else one["low"]) for one in found]
        high = [(one["value"] if one["high"] is None else one["high"]) - one["value"] for one in found]
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        label = f"{arm.replace('_', ' ')}, {content['steps'][arm]} steps"
        axes.errorbar(
            places, values, yerr=[low, high], label=label, capsize=3, elinewidth=1, color=colour, marker=marker
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(fractions))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticklabels([f"{fraction:g} %" for fraction in fractions])
    axes.set_xlabel("share of the labelled training patients")
    axes.set_ylabel("test AUC per image")
    axes.set_title(f"Label efficiency, mean of {len(content['seeds'])} seeds, 95 % intervals", fontsize=11)
    axes.grid(axis="y", linewidth=0.4)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure
