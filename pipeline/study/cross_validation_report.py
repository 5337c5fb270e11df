"""The files that a cross-validation leaves: table of runs, out-of-fold predictions, means with intervals, Markdown."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..files import write_atomically
from ..handlers import write_table
from .results import format_interval
from .setting import Setting

__all__ = ["markdown", "write_report"]

logger = logging.getLogger(__name__)


def write_report(
    setting: Setting, rows: pd.DataFrame, tables: Mapping[str, Sequence[pd.DataFrame]], summary: Mapping[str, Any]
) -> Path:
    """Write ``study.csv``, ``predictions.csv``, ``study.json`` and ``study.md``; return the path of the first.

    Args:
        setting: of any fold.
        rows: one a fine-tuning.
        tables: out-of-fold predictions of each arm, one table a seed.
        summary: of the study, JSON-safe.
    """
    out = setting.output_dir
    content = {"study": "cross_validation", **setting.provenance(), **summary}
    write_table(rows, out / "study.csv")
    found = [table.assign(arm=arm, run=run) for arm, seeds in tables.items() for run, table in enumerate(seeds)]
    write_table(pd.concat(found), out / "predictions.csv")
    write_atomically(out / "study.json", json.dumps(content, indent=1).encode())
    text = markdown(content)
    write_atomically(out / "study.md", text.encode())
    print(text)
    logger.info("%s, predictions.csv, study.json and study.md written", out / "study.csv")
    return out / "study.csv"


def markdown(content: Mapping[str, Any]) -> str:
    """The study as a section for a page of results: command, table of AUC, paired differences."""
    rates = ", ".join(f"{rate:g}" for rate in content["learning_rates"])
    lines = [
        f"`{content['command']}`",
        "",
        f"{content['folds']} folds by patient; seeds {', '.join(map(str, content['seeds']))}; learning rates {rates}, "
        "chosen for each arm and fold on its validation patients. AUC per image, within folds (mean of the folds' AUC) "
        "and of all predictions pooled, mean over seeds, 95 % intervals by bootstrap over patients and seeds. Primary "
        f"endpoint: {content['primary_endpoint']}.",
        "",
        "| arm | steps | images (patients) | AUC within folds | AUC pooled |",
        "|---|--:|--:|---|---|",
    ]
    for one in content["arms"]:
        name, steps = one["arm"].replace("_", " "), content["steps"].get(one["arm"], "")
        told = ["failed", "failed"]
        if one["seeds"]:
            told = [format_interval(one[kind]) for kind in ("auc", "auc_pooled")]
        counts = f"{one['images']} ({one['patients']})" if one["seeds"] else ""
        lines.append(f"| {name} | {steps} | {counts} | {told[0]} | {told[1]} |")
    lines += ["", "| difference | AUC within folds |", "|---|---|"]
    for one in content["differences"]:
        name = f"{one['first']} minus {one['second']}".replace("_", " ")
        lines.append(f"| {name} | {format_interval(one['difference'])} |")
    return "\n".join(lines) + "\n"
