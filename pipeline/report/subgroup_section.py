"""Does the first classifier serve every group alike?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .blocks import Block, Group, Section, Table, Text, missing
from .inputs import Run
from .result_section import CURE
from .wording import UNKNOWN, interval

TITLE = "Subgroups"
LOWEST = " \N{BLACK DOWN-POINTING TRIANGLE} lowest"
"""Mark of the group that fares worst in its column."""
MEANING = (
    "Against the rest: difference of AUC to all other images. Sensitivity and specificity are those at the threshold "
    "chosen on validation patients for the best balance."
)
LABEL_MEANING = (
    "Macro AUC: the mean over labels, told where five patients of the group or more have each label, and five have not."
)
NAMES = {"birads": "BI-RADS", "age_band": "Age", "abnormality": "Lesion type"}


def subgroup_section(runs: Sequence[Run]) -> Section:
    """A table for each column that parts the test images into groups of which something can be told."""
    run = next((run for run in runs if run.metrics is not None), None)
    if run is None or run.metrics is None:
        return Section(TITLE, [missing("metrics.json", CURE)])
    measure = "accuracy" if run.several_classes else "auc"
    groups = run.metrics["subgroups"]
    telling = {
        column: parts
        for column, parts in groups.items()
        if any(part[measure]["value"] is not None for part in parts.values())
    }
    if not telling:
        return Section(TITLE, [missing("subgroups", "No column of predictions.csv parts the images into such groups.")])
    table = _table if run.two_classes else _plain_table
    text = (
        "Exploratory: small groups have wide intervals, and among many groups one looks worst by chance. Groups of "
        "fewer than five patients of a class are counted and not judged (“too few”)."
    )
    blocks: list[Block] = [Text(text)]
    if run.two_classes:
        blocks.append(Text(MEANING))
    if run.many_labels:
        blocks.append(Text(LABEL_MEANING))
    silent = [_title(column) for column in groups if column not in telling]
    if silent:
        names = ", ".join(silent)
        blocks.append(Text(f"Nothing can be told by {names}: each group is too small or of one class."))
    return Section(TITLE, [*blocks, Group([table(run, column, parts) for column, parts in telling.items()])])


def _table(run: Run, column: str, parts: Mapping[str, Any]) -> Table:
    rows = [
        [
            name + (LOWEST if part.get("lowest") else ""),
            _told(part["auc"]),
            interval(part["difference"], signed=True) if part["difference"]["value"] is not None else UNKNOWN,
            _told(part.get("sensitivity"), 2),
            _told(part.get("specificity"), 2),
            f"{part['patients']:,}",
            f"{part['images']:,} ({part['positive']:,})",
        ]
        for name, part in parts.items()
    ]
    header = [_title(column), "AUC", "Against the rest", "Sensitivity", "Specificity", "Patients"]
    header.append(f"Images ({run.classes[1]})")
    return Table(f"{run.name} by {_title(column)}", header, rows)


def _plain_table(run: Run, column: str, parts: Mapping[str, Any]) -> Table:
    """One measure of each group: accuracy of several classes, macro AUC of many labels."""
    measure, words = ("accuracy", "Accuracy") if run.several_classes else ("auc", "Macro AUC")
    rows = [
        [
            name + (LOWEST if part.get("lowest") else ""),
            _told(part[measure]),
            f"{part['patients']:,}",
            f"{part['images']:,}",
        ]
        for name, part in parts.items()
    ]
    return Table(f"{run.name} by {_title(column)}", [_title(column), words, "Patients", "Images"], rows)


def _told(found: Mapping[str, Any] | None, digits: int = 3) -> str:
    """An interval, or in two words that there is none; the reason is in ``metrics.json``."""
    if found is None:
        return UNKNOWN
    return interval(found, digits) if found["value"] is not None else "too few"


def _title(column: str) -> str:
    return NAMES.get(column, column.replace("_", " ").capitalize())
