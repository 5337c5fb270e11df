"""What a fixed threshold decides, and whom it gets wrong."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from .blocks import Block, Group, Picture, Section, Table, Text, missing
from .embed import embed_figure
from .inputs import Run
from .label_blocks import label_decisions
from .plots import probability_figure
from .result_section import CURE, LEVELS, threshold_of, usable_tests
from .wording import UNKNOWN, interval, number

RATES = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "positive_predictive_value": "PPV",
    "negative_predictive_value": "NPV",
    "accuracy": "Accuracy",
}
LEVEL_RATES = ("sensitivity", "specificity", "accuracy")
LEVEL_RULES = ("youden", "specificity_0.90")
MISTAKES = 5
"""Cases of either kind of error that are listed: the worst ones."""


def threshold_section(runs: Sequence[Run]) -> Section:
    """Confusion matrices at the threshold chosen on validation patients, and the worst mistakes."""
    title = "Decisions at a threshold chosen on validation patients"
    found = [run for run in runs if run.metrics is not None]
    if not found:
        return Section(title, [missing("metrics.json", CURE)])
    evaluated = [run for run in found if run.two_classes]
    blocks: list[Block] = [block for run in found if run.many_labels for block in label_decisions(run)]
    if not evaluated:
        none = Text("Of several classes the likeliest is called: there is no threshold to choose.")
        return Section(title, blocks or [none])
    tests = usable_tests(evaluated)
    if tests:
        words = evaluated[0].classes
        figure = probability_figure(tests, {run.name: threshold_of(run) for run in evaluated}, words)
        caption = "Predicted probabilities of test images by their true class. The further apart, the better."
        blocks.append(Picture(embed_figure(figure), f"Histograms of probability for {' and '.join(words)}", caption))
    matrices = [matrix for run in evaluated if (matrix := _confusion(run)) is not None]
    if matrices:
        text = "Test images at the threshold that gave the greatest sensitivity + specificity on validation patients:"
        blocks += [Text(text), Group(matrices)]
    for run in evaluated:
        blocks += [_operating_points(run), *_levels(run)]
    blocks += _mistakes(evaluated[0])
    return Section(title, blocks)


def _confusion(run: Run) -> Table | None:
    """Rows are the truth, columns what the model called; ``None`` without a threshold."""
    point = (run.metrics or {})["threshold"]["youden"]
    if point["value"] is None:
        return None
    counts = point["confusion"]
    negative, positive = run.classes
    rows = [
        [positive, str(counts["true_positive"]), str(counts["false_negative"])],
        [negative, str(counts["false_positive"]), str(counts["true_negative"])],
    ]
    header = ["Truth", f"Called {positive}", f"Called {negative}"]
    return Table(f"{run.name}, threshold {point['value']:.3f}", header, rows)


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
    note = f"F1 at the threshold of the best F1: {interval(points['f1']['f1'])}." if points["f1"].get("f1") else ""
    return Table(
        f"{run.name}: operating points on test images", ["Chosen for", "Threshold", *RATES.values()], rows, note
    )


def _rule(name: str) -> str:
    return {"youden": "best balance", "f1": "best F1"}.get(name, name.replace("_", " "))


def _levels(run: Run) -> list[Block]:
    """Decisions per breast and patient, whose thresholds are chosen at their own level."""
    rows = [
        [LEVELS[level], _rule(rule), number(point["value"]), *(interval(point[key], 2) for key in LEVEL_RATES)]
        for level, part in (run.metrics or {})["levels"].items()
        for rule, point in part.get("threshold", {}).items()
        if point["value"] is not None and rule in LEVEL_RULES
    ]
    header = ["Level", "Chosen for", "Threshold", *(RATES[key] for key in LEVEL_RATES)]
    note = "Each threshold was chosen on validation breasts or patients of the same level."
    return [Table(f"{run.name}: decisions per breast and patient", header, rows, note)] if rows else []


def _mistakes(run: Run) -> list[Block]:
    """The most confident errors of either kind, for a reader to look up."""
    rows, threshold = run.test, threshold_of(run)
    if rows is None or threshold is None:
        return []
    called = rows["probability"] >= threshold
    negative, positive = run.classes
    missed = rows[(rows["label"] == 1) & ~called].nsmallest(MISTAKES, "probability")
    alarms = rows[(rows["label"] == 0) & called].nlargest(MISTAKES, "probability")
    worst = pd.concat([missed.assign(error=f"{positive}, missed"), alarms.assign(error=f"{negative}, flagged")])
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
