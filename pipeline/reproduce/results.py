"""What a row's runs measured, beside what was published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..metrics import LEVELS, RESEARCH_USE, aggregate, score_over_seeds
from ..metrics.predictions import label_columns
from ..study.results import format_interval, section_of
from .row import Figure, Row

__all__ = ["measure", "table_of"]


def measure(row: Row, folders: Sequence[Path], *, draws: int = 2000) -> list[dict[str, Any]]:
    """Each published figure with ours: mean over seeds, interval by bootstrap over patients (and seeds).

    Args:
        row: of the paper.
        folders: of the last stage of each seed, with ``predictions.csv``.
        draws: of the bootstrap.

    Returns:
        A JSON-safe mapping a figure: ``measure``, ``published`` (None where none is printed), ``ours`` and ``verdict``.
    """
    tables = [section_of(folder, "test") for folder in folders]
    return [_compared(figure, tables, draws) for figure in row.figures]


def _compared(figure: Figure, tables: Sequence[pd.DataFrame], draws: int) -> dict[str, Any]:
    chosen = [_rows_of(figure, table) for table in tables]
    ours = score_over_seeds(chosen, figure.measure, draws=draws)
    return {
        "measure": figure.name,
        "published": figure.value,
        "decimals": figure.decimals,
        "ours": ours,
        "rows": len(chosen[0]),
        "verdict": _verdict(figure, ours),
    }


def _rows_of(figure: Figure, table: pd.DataFrame) -> pd.DataFrame:
    """The rows that a figure is of: one label of many, breasts or patients in place of images."""
    if figure.label is not None:
        known = label_columns(table)
        if figure.label not in known:
            raise ValueError(f"the predictions have no label {figure.label!r}; they have {', '.join(known)}")
        names = {f"{kind}_{figure.label}": kind for kind in ("label", "probability")}
        table = table.drop(columns=[f"{kind}_{one}" for one in known for kind in names.values() if one != figure.label])
        table = table.rename(columns=names)
        table = table[table["label"] >= 0]
    if figure.level == "image":
        return table
    grouped = aggregate(table, *LEVELS[figure.level])
    return grouped.assign(image_id=[f"{number}" for number in range(len(grouped))])


def _verdict(figure: Figure, ours: Mapping[str, Any]) -> str:
    """Where the published number lies; it is rounded, so half of its last digit counts as equal."""
    if figure.value is None or ours["low"] is None:
        return ""
    half = 0.5 * 10**-figure.decimals
    if figure.value > ours["high"] + half:
        return "published lies above our interval"
    return (
        "published lies below our interval" if figure.value < ours["low"] - half else "published lies in our interval"
    )


def table_of(content: Mapping[str, Any]) -> str:
    """The result as Markdown, for a terminal and for a page of results alike."""
    seeds, changed = content["seeds"], content["changed"]
    over = "patients and seeds" if len(seeds) > 1 else "patients"
    lines = [
        f"## {content['row']}: {content['system']}",
        "",
        f"{content['paper']}. {content['dataset']}, {content['split']['rule']}.",
        f"Split {content['split']['sha256'][:16]} as frozen in {content['split']['file']}: "
        + ", ".join(f"{n['patients']} patients {section}" for section, n in content["split"]["counts"].items())
        + f". Seeds {', '.join(map(str, seeds))}; 95 % intervals by bootstrap over {over}.",
        "",
        "| test patients | published | ours (interval) | |",
        "|---|--:|---|---|",
        *map(_line, content["figures"]),
        "",
        *(f"- {one}" for one in ("What differs from the paper's protocol:", *content["differs"])),
        *(f"- Changed by you: `--{name} {value}`." for name, value in changed.items()),
        "",
        RESEARCH_USE,
    ]
    return "\n".join(lines).replace("- What differs", "What differs") + "\n"


def _line(found: Mapping[str, Any]) -> str:
    published = "none" if found["published"] is None else f"{found['published']:.{found['decimals']}f}"
    return f"| {found['measure']} | {published} | {format_interval(found['ours'])} | {found['verdict']} |"
