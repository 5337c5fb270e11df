"""What a fixed threshold decides, whom it gets wrong, and whether the probabilities can be believed."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from .blocks import Block, Group, Picture, Section, Table, Text, Tone, missing
from .embed import embed_figure
from .inputs import Run
from .plots import calibration_figure, probability_figure
from .result_section import CURE, threshold_of, usable_tests
from .wording import UNKNOWN, interval, number

RATES = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "positive_predictive_value": "PPV",
    "negative_predictive_value": "NPV",
    "balanced_accuracy": "Balanced acc.",
}
MISTAKES = 5
"""Cases of either kind of error that are listed: the worst ones."""


def threshold_section(runs: Sequence[Run]) -> Section:
    """Confusion matrices at the threshold chosen on validation patients, and the worst mistakes."""
    title = "Decisions at a threshold chosen on validation patients"
    evaluated = [run for run in runs if run.metrics is not None]
    if not evaluated:
        return Section(title, [missing("metrics.json", CURE)])
    blocks: list[Block] = []
    tests = usable_tests(evaluated)
    if tests:
        figure = probability_figure(tests, {run.name: threshold_of(run) for run in evaluated})
        caption = "Predicted probabilities of test images by their true class. The further apart, the better."
        blocks.append(Picture(embed_figure(figure), "Histograms of probability for benign and malignant", caption))
    matrices = [matrix for run in evaluated if (matrix := _confusion(run)) is not None]
    if matrices:
        text = "Test images at the threshold that gave the greatest sensitivity + specificity on validation patients:"
        blocks += [Text(text), Group(matrices)]
    blocks += [_operating_points(run) for run in evaluated]
    blocks += _mistakes(evaluated[0])
    return Section(title, blocks)


def calibration_section(runs: Sequence[Run]) -> Section:
    """Reliability curves, ECE and Brier score before and after one temperature."""
    title = "Calibration"
    parts = {run.name: run.metrics["calibration"] for run in runs if run.metrics is not None}
    if not parts:
        return Section(title, [missing("metrics.json", CURE)])
    intro = (
        "Of images given a probability of 0.3, three in ten should be malignant: points on the dotted line. "
        "One number, the temperature, is fitted on validation patients and applied to test patients; it changes "
        "no ranking and no AUC."
    )
    figure = calibration_figure(parts)
    caption = "Each point holds a tenth of the images. Above the dotted line the model says too little, below too much."
    picture = Picture(embed_figure(figure), "Reliability curves before and after temperature scaling", caption)
    header = ["Model", "Temperature", "ECE, equal-width bins", "ECE, equal-mass bins", "Brier score"]
    rows = [row for name, part in parts.items() for row in _calibration_rows(name, part)]
    note = (
        "ECE: expected calibration error; Brier: mean squared error; both 0 at best. In brackets: 95 % intervals by "
        "resampling patients, which pushes ECE up: its interval leans high."
    )
    reasons = [
        Text(f"{name}: no temperature, {part['reason']}.", Tone.MISSING)
        for name, part in parts.items()
        if part.get("temperature") is None
    ]
    return Section(title, [Text(intro), picture, Table("Calibration error", header, rows, note), *reasons])


def subgroup_section(runs: Sequence[Run]) -> Section:
    """AUC of the first classifier in each subgroup; columns whose groups hold one class each tell nothing."""
    title = "Subgroups"
    run = next((run for run in runs if run.metrics is not None), None)
    if run is None or run.metrics is None:
        return Section(title, [missing("metrics.json", CURE)])
    groups = run.metrics["subgroups"]
    telling = [column for column, parts in groups.items() if any(p["auc"]["value"] is not None for p in parts.values())]
    if not telling:
        return Section(title, [missing("subgroups", "No column of predictions.csv parts the images into such groups.")])
    text = "Exploratory: small groups have wide intervals, and among many groups one looks worst by chance."
    return Section(
        title, [Text(text), Group([_subgroup_table(run.name, column, groups[column]) for column in telling])]
    )


def _subgroup_table(name: str, column: str, parts: Mapping[str, Any]) -> Table:
    rows = [
        [group, interval(p["auc"]) if p["auc"]["value"] is not None else "one class only", *_counts(p)]
        for group, p in parts.items()
    ]
    header = [column.replace("birads", "BI-RADS").capitalize(), "AUC", "Images", "Malignant"]
    return Table(f"{name} by {header[0].lower()}", header, rows)


def _counts(part: Mapping[str, Any]) -> list[str]:
    return [f"{part['images']:,}", f"{part['positive']:,}"]


def _confusion(run: Run) -> Table | None:
    """Rows are the truth, columns what the model called; ``None`` without a threshold."""
    point = (run.metrics or {})["threshold"]["youden"]
    if point["value"] is None:
        return None
    counts = point["confusion"]
    rows = [
        ["malignant", str(counts["true_positive"]), str(counts["false_negative"])],
        ["benign", str(counts["false_positive"]), str(counts["true_negative"])],
    ]
    return Table(f"{run.name}, threshold {point['value']:.3f}", ["Truth", "Called malignant", "Called benign"], rows)


def _operating_points(run: Run) -> Block:
    points = (run.metrics or {})["threshold"]
    rows = [
        [_rule(name), number(point["value"]), *(interval(point[key], 2) for key in RATES)]
        for name, point in points.items()
        if point["value"] is not None
    ]
    if not rows:
        what = f"decisions of {run.name} ({points['youden'].get('reason', 'no threshold')})"
        return missing(what, "A threshold is chosen on validation predictions.")
    return Table(f"{run.name}: operating points on test images", ["Chosen for", "Threshold", *RATES.values()], rows)


def _rule(name: str) -> str:
    kind, _, level = name.partition("_")
    return f"specificity {level}" if kind == "specificity" else "best balance"


def _mistakes(run: Run) -> list[Block]:
    """The most confident errors of either kind, for a reader to look up."""
    rows, threshold = run.test, threshold_of(run)
    if rows is None or threshold is None:
        return []
    called = rows["probability"] >= threshold
    missed = rows[(rows["label"] == 1) & ~called].nsmallest(MISTAKES, "probability")
    alarms = rows[(rows["label"] == 0) & called].nlargest(MISTAKES, "probability")
    worst = pd.concat([missed.assign(error="malignant, missed"), alarms.assign(error="benign, flagged")])
    if worst.empty:
        return [Text(f"{run.name} makes no mistake at this threshold.")]
    columns = [name for name in ("patient_id", "view", "density", "abnormality") if name in worst]
    header = ["Image", "Error", "Probability", *(name.replace("_id", "").capitalize() for name in columns)]
    table = [
        [
            str(row["image_id"]),
            row["error"],
            f"{row['probability']:.3f}",
            *(_cell(row[name]) for name in columns),
        ]
        for _, row in worst.iterrows()
    ]
    return [Table(f"{run.name}: most confident mistakes on test images", header, table)]


def _cell(value: Any) -> str:
    return UNKNOWN if pd.isna(value) else str(value)


def _calibration_rows(name: str, part: Mapping[str, Any]) -> list[list[str]]:
    keys = ("ece_width", "ece_mass", "brier")
    rows = [[f"{name}, as the model gives it", "1", *(interval(part["before"][key]) for key in keys)]]
    if part.get("after"):
        scale = number(part["temperature"], 2)
        rows.append([f"{name}, with temperature", scale, *(interval(part["after"][key]) for key in keys)])
    return rows
