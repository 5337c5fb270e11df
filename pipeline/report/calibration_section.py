"""Whether probabilities can be believed, and whether acting on them does more good than harm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .blocks import Block, Picture, Section, Table, Text, Tone, missing
from .embed import embed_figure
from .inputs import Run
from .plots import calibration_figure, decision_curve_figure
from .result_section import CURE
from .wording import interval, number

TITLE = "Calibration"
ERRORS = {
    "ece": "ECE",
    "ace": "ACE",
    "brier": "Brier score",
    "negative_log_likelihood": "Log loss",
}


def calibration_section(runs: Sequence[Run]) -> Section:
    """Reliability curves, calibration errors before and after one temperature, and the decision curve."""
    parts = {run.name: run.metrics["calibration"] for run in runs if run.metrics is not None}
    if not parts:
        return Section(TITLE, [missing("metrics.json", CURE)])
    two = [run for run in runs if run.metrics is not None and run.two_classes]
    blocks: list[Block] = [Text(_intro(two))]
    if two:
        figure = calibration_figure({run.name: parts[run.name] for run in two}, two[0].classes[1])
        caption = "Each point holds a tenth of the images. Above the line the model says too little, below too much."
        blocks.append(Picture(embed_figure(figure), "Reliability curves before and after temperature scaling", caption))
    blocks.append(_errors(parts))
    means = [run.name for run in runs if run.metrics is not None and run.many_labels]
    if means:
        blocks.append(Text(f"Of {', '.join(means)} the errors are means over labels, which share the temperature."))
    blocks += [
        Text(f"{name}: no temperature, {part['reason']}.", Tone.MISSING)
        for name, part in parts.items()
        if part.get("temperature") is None
    ]
    return Section(TITLE, [*blocks, *_decision_curves(two)])


def _intro(two: Sequence[Run]) -> str:
    example = f"Of images given a probability of 0.3, three in ten should be {two[0].classes[1]}: " if two else ""
    line = "points on the dotted line. " if two else ""
    return (
        f"{example}{line}One number, the temperature, is fitted on validation patients and applied to test patients; "
        "it changes no ranking and no AUC."
    )


def _errors(parts: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = [row for name, part in parts.items() for row in _rows(name, part)]
    note = (
        "ECE: expected calibration error, bins of equal width; ACE: adaptive, bins of equal mass; Brier: mean squared "
        "error; log loss in nats; all 0 at best. In brackets: 95 % intervals by resampling patients, which pushes ECE "
        "and ACE up: their intervals lean high."
    )
    return Table("Calibration error", ["Model", *ERRORS.values()], rows, note)


def _rows(name: str, part: Mapping[str, Any]) -> list[list[str]]:
    rows = [[f"{name}, as the model gives it", *(interval(part["before"][key]) for key in ERRORS)]]
    if part.get("after"):
        rows.append(
            [f"{name}, temperature {number(part['temperature'], 2)}", *(interval(part["after"][key]) for key in ERRORS)]
        )
    return rows


def _decision_curves(runs: Sequence[Run]) -> list[Block]:
    if not runs:
        return []
    curves = {run.name: (run.metrics or {})["decision_curve"] for run in runs}
    raw = [name for name, curve in curves.items() if not curve["calibrated"]]
    caption = (
        "Net benefit: true positives less false positives, each weighed by what acting at that probability says it is "
        "worth, per image. A model helps where its line is above both others. It holds for the share of positives in "
        "these test images, which is not that of screening. Bands: 95 % by resampling patients."
    )
    if raw:
        caption += f" Of {', '.join(raw)} the probabilities have no temperature."
    alt = "Decision curves beside acting on everybody and on nobody"
    return [Picture(embed_figure(decision_curve_figure(curves)), alt, caption)]
