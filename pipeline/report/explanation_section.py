"""Do the explanations point at lesions, and do they stay inside the breast? Each measure beside its chance
level.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..metrics import read_explanations, summarise_explanations
from .blocks import Block, Picture, Section, Table, Text, Tone, missing
from .embed import embed_figure, embed_png
from .inputs import ReportError
from .plots import explanation_figure
from .wording import LOWER_IS_BETTER, UNKNOWN, interval, name_of, number, verdict

TITLE = "Explanations"
MAX_CASES = 12
WORDS = {1: "malignant", 0: "benign", -1: "unknown"}


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


def explanation_section(folder: Path | None, table: pd.DataFrame | None, summary: Mapping[str, Any] | None) -> Section:
    """Measures beside chance, then cases."""
    if folder is None:
        return Section(TITLE, [missing("explanations", "None were given to this report.")])
    blocks: list[Block] = [
        Text(
            "A map that says nothing scores its chance level: that of a pixel drawn blindly from the whole image, or, "
            "a fairer rival, from the breast. Only distance from chance counts. A map that looks right does not prove "
            "that the model reasons rightly."
        )
    ]
    if table is None or summary is None:
        blocks.append(missing("explanations.csv", "Explain the test images: that writes it."))
    else:
        blocks += _measures(summary["maps"])
    return Section(TITLE, [*blocks, *_cases(folder / "figures", table)])


def explanation_summary(table: pd.DataFrame | None, *, draws: int, seed: int) -> dict[str, Any] | None:
    """:func:`~mammo.pipeline.metrics.summarise_explanations` of a table that may not be there."""
    return None if table is None else summarise_explanations(table, draws=draws, seed=seed)


def hardest(measure: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The difference to the chance that is hardest to beat: that of the breast, else of the image, else none."""
    gaps = list(measure["above_chance"].values())
    return gaps[-1] if gaps else None


def reading(name: str, measure: Mapping[str, Any]) -> str:
    """On which side of chance a mean lies, in words."""
    gap = hardest(measure)
    if gap is None:
        return UNKNOWN
    sides = ("worse", "better") if name in LOWER_IS_BETTER else ("better", "worse")
    return verdict(gap, *sides, "no difference")


def _measures(maps: Mapping[str, Any]) -> list[Block]:
    blocks: list[Block] = []
    figure = explanation_figure(maps)
    if figure is not None:
        caption = "Dots: mean over test images with its 95 % patient-bootstrap interval; open marks: chance."
        blocks.append(Picture(embed_figure(figure), "Explanation measures of each map beside chance", caption))
    blocks += [_table(kind, summary) for kind, summary in maps.items()]
    blocks += [_blank(kind, summary) for kind, summary in maps.items()]
    return blocks


def _table(kind: str, summary: Mapping[str, Any]) -> Table:
    header = ["Measure", "Mean", "Chance, image", "Chance, breast", "Mean minus chance", "Than chance", "Images"]
    rows = [_row(name, measure) for name, measure in summary["measures"].items()]
    note = (
        "For the share outside the breast lower is better, for all others higher. The difference is to the chance of "
        "the breast where there is one, else to that of the image."
    )
    return Table(name_of(kind), header, rows, note)


def _blank(kind: str, summary: Mapping[str, Any]) -> Text:
    """How many maps show nothing; a warning if there are any."""
    said = f"{name_of(kind)}: {summary['degenerate']} of {summary['images']} maps are blank (constant or not finite)."
    if not summary["degenerate"]:
        return Text(said)
    return Text(f"{said} They count as misses and are left out of shares.", Tone.WARNING)


def _row(name: str, measure: Mapping[str, Any]) -> list[str]:
    chances = list(measure["chance"].values())
    gap = hardest(measure)
    return [
        name_of(name),
        interval(measure["mean"]),
        number(chances[0]) if chances else "0",
        number(chances[1]) if len(chances) > 1 else UNKNOWN,
        interval(gap, signed=True) if gap else UNKNOWN,
        reading(name, measure),
        f"{measure['images']:,}",
    ]


def _cases(folder: Path, table: pd.DataFrame | None) -> list[Block]:
    paths = sorted(folder.glob("*.png"))
    if not paths:
        return [missing("case figures", "They are written as figures/*.png of the explanation folder.")]
    chosen = _taking_turns(paths, table)
    rule = "The first by name, benign and malignant in turn; no case was picked by hand."
    blocks: list[Block] = [Text(f"{len(chosen)} of {len(paths)} cases. {rule}", heading="Cases")]
    return blocks + [Picture(embed_png(path), _alt(path, table), _caption(path, table)) for path in chosen]


def _taking_turns(paths: Sequence[Path], table: pd.DataFrame | None) -> list[Path]:
    """At most :data:`MAX_CASES`, by name within each label, the labels in turn."""
    labels = {} if table is None or "label" not in table else dict(zip(table["image_id"], table["label"], strict=True))
    groups: dict[Any, list[Path]] = {}
    for path in paths:
        groups.setdefault(labels.get(path.stem), []).append(path)
    rank = {path: place for group in groups.values() for place, path in enumerate(group)}
    return sorted(sorted(paths, key=lambda path: (rank[path], path.name))[:MAX_CASES], key=lambda path: rank[path])


def _rows_of(path: Path, table: pd.DataFrame | None) -> pd.DataFrame:
    return pd.DataFrame() if table is None else table[table["image_id"] == path.stem]


def _alt(path: Path, table: pd.DataFrame | None) -> str:
    rows = _rows_of(path, table)
    kinds = ", ".join(name_of(kind) for kind in rows["map"]) if len(rows) else "explanations"
    return f"Mammogram {path.stem} with breast outline and {kinds}"


def _caption(path: Path, table: pd.DataFrame | None) -> str:
    rows = _rows_of(path, table)
    if rows.empty:
        return f"{path.stem} (not in explanations.csv)"
    first = rows.iloc[0]
    parts = [path.stem]
    if "label" in rows:
        parts.append(f"labelled {WORDS.get(int(first['label']), 'unknown')}")
    if "probability" in rows:
        parts.append(f"probability {float(first['probability']):.2f}")
    measures = "; ".join(f"{name_of(row['map'])} {_case_measures(row)}" for _, row in rows.iterrows())
    return f"{' · '.join(parts)}. {measures}."


def _case_measures(row: "pd.Series[Any]") -> str:
    if row["degenerate"]:
        return "is blank"
    if not np.isfinite(row["background_ratio"]):
        return "has no breast mask"
    said = f"{row['background_ratio']:.2f} outside the breast (chance {row['background_chance']:.2f})"
    if "pointing_hit" in row and np.isfinite(row["pointing_hit"]):
        said += ", hottest pixel " + ("in" if row["pointing_hit"] >= 0.5 else "not in") + " the lesion"
    return said
