"""Do the explanations point at lesions, and do they stay inside the breast? Each measure beside its chance
level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..metrics import read_explanations, summarise_explanations
from .blocks import Block, Picture, Section, Text, missing
from .embed import embed_figure, embed_png
from .explanation_plots import energy_figure
from .explanation_tables import about, answer_tables, blank, map_table
from .explanation_words import map_name, reading
from .inputs import ReportError, read_object
from .plots import explanation_figure

__all__ = ["explanation_section", "explanation_summary", "read_explanation_table", "reading"]

TITLE = "Explanations"
MAX_CASES = 12
DRAWN = ("background_ratio", "pointing_hit", "energy_in_roi", "iou", "hit_iou_25", "hit_iou_50")
"""Measures that are drawn beside chance; the others are in the tables."""
CLASSES = ("benign", "malignant")
"""What the classes are called where no evaluation says so."""


def read_explanation_table(folder: Path | None) -> pd.DataFrame | None:
    """``explanations.csv`` of a folder; ``None`` without a folder, file or rows.

    Raises:
        ReportError: the folder does not exist.
        ValueError: the table is malformed.
    """
    if folder is None:
        return None
    if not folder.is_dir():
        raise ReportError(f"{folder}: there is no such folder (given for the explanations)")
    path = folder / "explanations.csv"
    table = read_explanations(path) if path.is_file() else None
    return None if table is None or table.empty else table


def explanation_section(
    folder: Path | None,
    table: pd.DataFrame | None,
    summary: Mapping[str, Any] | None,
    classes: Sequence[str] = CLASSES,
) -> Section:
    """Measures beside chance, then cases.

    Args:
        folder: of an explanation run, or of an evaluation with explanations.
        table: its ``explanations.csv``.
        summary: of the table, see :func:`explanation_summary`.
        classes: names of the classes of the task, in the order of the labels.
    """
    if folder is None:
        return Section(TITLE, [missing("explanations", "None were given to this report.")])
    blocks: list[Block] = [
        Text(
            "A map that says nothing scores its chance level: that of a pixel drawn blindly from the whole image, or, "
            "a fairer rival, from the breast. Only distance from chance counts. A map that looks right does not prove "
            "that the model reasons rightly."
        )
    ]
    report = _read_report(folder / "explanations.json")
    if table is None or summary is None:
        blocks.append(missing("explanations.csv", "Explain the test images: that writes it."))
    else:
        blocks += _measures((report or summary)["maps"], report, classes)
    return Section(TITLE, [*blocks, *_cases(folder / "figures", table, classes)])


def _read_report(path: Path) -> dict[str, Any] | None:
    """``explanations.json`` of an evaluation with explanations; None where there is none.

    Raises:
        ReportError: it is another file.
    """
    if not path.is_file():
        return None
    report = read_object(path)
    absent = {"maps", "behaviour", "threshold", "twin", "expensive"} - set(report)
    if absent:
        raise ReportError(f"{path}: {', '.join(sorted(absent))} is missing; evaluate with --explanations true again")
    return report


def explanation_summary(table: pd.DataFrame | None, *, draws: int, seed: int) -> dict[str, Any] | None:
    """:func:`~mammo.pipeline.metrics.summarise_explanations` of a table that may not be there."""
    return None if table is None else summarise_explanations(table, draws=draws, seed=seed)


def _measures(maps: Mapping[str, Any], report: Mapping[str, Any] | None, classes: Sequence[str]) -> list[Block]:
    tables: list[Block] = [map_table(kind, summary, classes) for kind, summary in maps.items()]
    tables = tables if report is None else [*answer_tables(report)]
    blocks: list[Block] = [] if report is None else [*about(report), tables.pop(0)]
    energy = energy_figure(maps)
    if energy is not None:
        caption = "Mean share of each map in lesion, rest of the breast and outside, on images with a known lesion."
        blocks.append(Picture(embed_figure(energy), "Where the energy of each map lies", caption))
    drawn = {map_name(kind): {"measures": _drawn(summary["measures"])} for kind, summary in maps.items()}
    figure = explanation_figure(drawn)
    if figure is not None:
        caption = "Dots: mean over test images with its 95 % patient-bootstrap interval; open marks: chance."
        blocks.append(Picture(embed_figure(figure), "Explanation measures of each map beside chance", caption))
    blocks += tables
    blocks += [blank(kind, summary) for kind, summary in maps.items()]
    return blocks


def _drawn(measures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: measures[name] for name in DRAWN if name in measures}


def _cases(folder: Path, table: pd.DataFrame | None, classes: Sequence[str]) -> list[Block]:
    paths = sorted(folder.glob("*.png"))
    if not paths:
        return [missing("case figures", "`mammo explain` writes them as figures/*.png of its run folder.")]
    cases = None if table is None else table.assign(figure=_figures(table))
    chosen = _taking_turns(paths, cases)
    rule = f"The first by name, {', '.join(classes[:-1])} and {classes[-1]} in turn; no case was picked by hand."
    blocks: list[Block] = [Text(f"{len(chosen)} of {len(paths)} cases. {rule}", heading="Cases")]
    return blocks + [Picture(embed_png(path), _alt(path, cases), _caption(path, cases, classes)) for path in chosen]


def _figures(table: pd.DataFrame) -> pd.Series[Any]:
    """What :class:`~mammo.pipeline.explain.ExplanationWriter` calls the figure of each row, without its suffix."""
    if "dataset" not in table:
        return table["image_id"]
    shared = table.groupby("image_id")["dataset"].transform("nunique") > 1
    return table["image_id"].mask(shared, table["dataset"].astype(str) + "_" + table["image_id"])


def _taking_turns(paths: Sequence[Path], table: pd.DataFrame | None) -> list[Path]:
    """At most :data:`MAX_CASES`, by name within each label, the labels in turn."""
    labels = {} if table is None or "label" not in table else dict(zip(table["figure"], table["label"], strict=True))
    groups: dict[Any, list[Path]] = {}
    for path in paths:
        groups.setdefault(labels.get(path.stem), []).append(path)
    rank = {path: place for group in groups.values() for place, path in enumerate(group)}
    return sorted(sorted(paths, key=lambda path: (rank[path], path.name))[:MAX_CASES], key=lambda path: rank[path])


def _rows_of(path: Path, table: pd.DataFrame | None) -> pd.DataFrame:
    return pd.DataFrame() if table is None else table[table["figure"] == path.stem]


def _alt(path: Path, table: pd.DataFrame | None) -> str:
    rows = _rows_of(path, table)
    kinds = ", ".join(map_name(kind) for kind in rows["map"]) if len(rows) else "explanations"
    return f"Mammogram {path.stem} with breast outline and {kinds}"


def _caption(path: Path, table: pd.DataFrame | None, classes: Sequence[str]) -> str:
    rows = _rows_of(path, table)
    if rows.empty:
        return f"{path.stem} (not in explanations.csv)"
    first = rows.iloc[0]
    parts = [path.stem]
    if "label" in rows:
        parts.append(f"labelled {dict(enumerate(classes)).get(int(first['label']), 'unknown')}")
    if "probability" in rows:
        parts.append(f"probability {float(first['probability']):.2f}")
    measures = "; ".join(f"{map_name(row['map'])} {_case_measures(row)}" for _, row in rows.iterrows())
    return f"{' · '.join(parts)}. {measures}."


def _case_measures(row: pd.Series[Any]) -> str:
    if row["degenerate"]:
        return "is blank"
    if not np.isfinite(row["background_ratio"]):
        return "has no breast mask"
    said = f"{row['background_ratio']:.2f} outside the breast (chance {row['background_chance']:.2f})"
    if "pointing_hit" in row and np.isfinite(row["pointing_hit"]):
        said += ", hottest pixel " + ("in" if row["pointing_hit"] >= 0.5 else "not in") + " the lesion"
    return said
