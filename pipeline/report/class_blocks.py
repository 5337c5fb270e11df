"""Results of a task of several classes, such as breast density."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .blocks import Block, Table
from .inputs import Run
from .wording import interval

MEASURES = {
    "auc": "AUC, macro",
    "average_precision": "AP, macro",
    "accuracy": "Accuracy",
    "commonest_class": "Accuracy of the commonest class",
    "macro_f1": "F1, macro",
    "balanced_accuracy": "Balanced acc.",
    "kappa": "Kappa",
    "kappa_quadratic": "Quadratic kappa",
}
LEVELS = {
    "image": "one image",
    "breast_mean": "breast, mean of its images",
    "patient_mean": "patient, mean of the images",
}


def class_blocks(run: Run) -> list[Block]:
    """Measures by level and by class, and the confusion matrix, of a run of several classes."""
    metrics = run.metrics or {}
    return [_levels(run.name, metrics["levels"]), _classes(run.name, metrics["classes"]), _confusion(run)]


def _levels(name: str, levels: Mapping[str, Any]) -> Table:
    told = [key for key in MEASURES if key in levels["image"]]
    rows = [
        [words, *(interval(levels[key][measure]) for measure in told), f"{levels[key]['rows']:,}"]
        for key, words in LEVELS.items()
        if key in levels and levels[key]["auc"] is not None
    ]
    note = (
        "Macro: the mean over one class against the rest; chance is 0.5 for AUC. The class called is the likeliest. "
        "In brackets: 95 % interval by resampling patients."
    )
    return Table(f"{name}: results by level", ["Level", *(MEASURES[key] for key in told), "Rows"], rows, note)


def _classes(name: str, classes: Mapping[str, Any]) -> Table:
    told = {"auc": "AUC", "average_precision": "AP", "sensitivity": "Sensitivity", "specificity": "Specificity"}
    rows = [[word, *(interval(part[key]) for key in told), f"{part['images']:,}"] for word, part in classes.items()]
    return Table(f"{name}: each class against the rest", ["Class", *told.values(), "Images"], rows)


def _confusion(run: Run) -> Table:
    metrics = run.metrics or {}
    words = list(metrics["classes"])
    rows = [[word, *map(str, row)] for word, row in zip(words, metrics["confusion"], strict=True)]
    return Table(f"{run.name}: confusion matrix", ["Truth", *(f"called {word}" for word in words)], rows)
