"""The files that ablations and twins leave: table of runs, means with intervals, Markdown, figure."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..files import write_atomically
from ..handlers import write_table
from .figure import COLOURS, png
from .results import format_interval
from .setting import Setting

__all__ = ["differences_figure", "markdown", "write_report"]

logger = logging.getLogger(__name__)


def write_report(name: str, setting: Setting, rows: pd.DataFrame, summary: Mapping[str, Any]) -> Path:
    """Write ``study.csv``, ``study.json``, ``study.md`` and ``differences.png``; return the path of the first.

    Args:
        name: of the study.
        setting: of the study.
        rows: one a variant and seed.
        summary: of :meth:`Variants.summary`, with ``map`` and ``endpoints``.
    """
    out = setting.output_dir
    content = {"study": name, **setting.provenance(), **summary}
    write_table(rows, out / "study.csv")
    write_atomically(out / "study.json", json.dumps(content, indent=1).encode())
    text = markdown(content)
    write_atomically(out / "study.md", text.encode())
    if _compared(content):
        write_atomically(out / "differences.png", png(differences_figure(content)))
    print(text)
    logger.info("%s, study.json, study.md and differences.png written", out / "study.csv")
    return out / "study.csv"


def markdown(content: Mapping[str, Any]) -> str:
    """The study as a section for a page of results."""
    kind, seeds = content["map"], ", ".join(map(str, content["seeds"]))
    lines = [
        f"`{content['command']}`",
        "",
        f"Datalist SHA-256 {content['datalist_sha256'][:12]}; seeds {seeds}; background ratio of the map `{kind}`. "
        f"Means over seeds; differences are paired with the twin ({content['twin']}), 95 % intervals by bootstrap over "
        f"patients and seeds. Endpoints: {content['endpoints']}.",
    ]
    for section in ("validation", "test"):
        lines += [
            "",
            f"| {section} | AUC | difference | background ratio | difference |",
            "|---|---|---|--:|---|",
            *(_line(one["variant"], one[section], kind) for one in content["variants"]),
        ]
        chances = [
            one[section]["background_chance"] for one in content["variants"] if "background_chance" in one[section]
        ]
        if chances:
            lines += ["", f"Background ratio by chance, {section}: {chances[0]:.3f}."]
    if "rule" in content:
        lines += ["", f"Chosen by {content['rule']}: {content['chosen'] or 'none, the twin failed'}."]
    return "\n".join(lines) + "\n"


def _line(name: str, found: Mapping[str, Any], kind: str) -> str:
    if kind not in found.get("background_ratio", {}):
        return f"| {name} | failed, or its map is undefined | | | |"
    cells = [format_interval(found["auc"]), "", f"{found['background_ratio'][kind]:.3f}", ""]
    if kind in found.get("background_ratio_difference", {}):
        cells[1] = format_interval(found["auc_difference"])
        cells[3] = format_interval(found["background_ratio_difference"][kind])
    return f"| {name} | " + " | ".join(cells) + " |"


def differences_figure(content: Mapping[str, Any]) -> Figure:
    """Differences from the twin with intervals: AUC in the left panel, background ratio in the right."""
    variants = _compared(content)
    figure = Figure(figsize=(10, 1.8 + 0.45 * len(variants)), layout="constrained", dpi=150)
    panels = figure.subplots(1, 2, sharey=True)
    kind = content["map"]
    for index, section in enumerate(("validation", "test")):
        told = [one[section] for one in variants]
        _intervals(panels[0], [one["auc_difference"] for one in told], index, section)
        _intervals(panels[1], [one["background_ratio_difference"][kind] for one in told], index, section)
    panels[0].set_yticks(range(len(variants)), [one["variant"] for one in variants])
    panels[0].set_ylim(len(variants) - 0.5, -0.5)
    panels[0].set_xlabel("AUC minus twin\n(above 0 is better)")
    panels[1].set_xlabel(f"background ratio of {kind.replace('_', ' ')} minus twin\n(below 0 is better)")
    for axes in panels:
        axes.axvline(0, color="#666666", linewidth=0.8)
        axes.grid(axis="x", linewidth=0.4)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure


def _compared(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The variants with a difference from the twin on validation and on test."""
    kind, sections = content["map"], ("validation", "test")
    return [
        one
        for one in content["variants"]
        if all(kind in one[section].get("background_ratio_difference", {}) for section in sections)
    ]


def _intervals(axes: Any, found: Sequence[Mapping[str, Any]], index: int, label: str) -> None:
    values = [one["value"] for one in found]
    low = [value - (value if one["low"] is None else one["low"]) for value, one in zip(values, found, strict=True)]
    high = [(value if one["high"] is None else one["high"]) - value for value, one in zip(values, found, strict=True)]
    places = [row + 0.24 * index - 0.12 for row in range(len(found))]
    marker = ("o", "s")[index]
    axes.errorbar(
        values, places, xerr=[low, high], fmt=marker, color=COLOURS[index], label=label, capsize=3, markersize=5
    )
