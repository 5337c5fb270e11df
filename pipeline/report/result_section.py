"""How well classifiers answer on the test patients, and which is better."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pandas as pd

from ..metrics import area_under_roc, compare
from ..metrics.discrimination import missing_class
from .blocks import Block, Picture, Section, Table, Text, Tone, missing
from .class_blocks import class_blocks
from .embed import embed_figure
from .inputs import Run
from .label_blocks import label_blocks
from .plots import ranking_figure
from .wording import MINUS, UNKNOWN, interval, plural, verdict

TITLE = "Results on test patients"
CURE = "Evaluate the classifier: that writes predictions.csv and metrics.json."
LEVELS = {
    "image": "one image",
    "breast_max": "breast, most suspicious image",
    "breast_mean": "breast, mean of its images",
    "patient_max": "patient, most suspicious image",
    "patient_mean": "patient, mean of the images",
    "exam_max": "exam, most suspicious breast by the mean of its images",
}
TOLERANCE = 1e-9
"""``metrics.json`` and ``predictions.csv`` hold the same digits: anything beyond rounding means two
different runs."""


@dataclass(frozen=True)
class Pair:
    """Two classifiers and :func:`~mammo.pipeline.metrics.compare` of them; ``reason`` where that could not be."""

    a: str
    b: str
    result: dict[str, Any] | None
    reason: str = ""

    @property
    def reading(self) -> str:
        """Which one is better, in words."""
        if self.result is None:
            return UNKNOWN
        said = f"{self.a} is better", f"{self.b} is better"
        return verdict(self.result["difference"], *said, "no difference shown")


def result_section(runs: Sequence[Run], pairs: Sequence[Pair], *, draws: int, seed: int) -> Section:
    """Curves, a table of AUCs with intervals, and paired differences."""
    evaluated = [run for run in runs if run.metrics is not None]
    blocks: list[Block] = [missing(f"metrics.json of {r.name}", CURE) for r in runs if r.metrics is None]
    if not runs:
        blocks.append(missing("classifiers", "None was given to this report."))
    two = [run for run in evaluated if run.two_classes]
    if two:
        blocks += [*_stale(two), _table(two), *_operating_levels(two)]
    rest = [run for run in runs if run.two_classes]
    curves = _curves(rest, draws, seed) if rest else []
    several = [block for run in evaluated if run.several_classes for block in class_blocks(run)]
    several += [block for run in evaluated if run.many_labels for block in label_blocks(run)]
    return Section(TITLE, [*blocks, *curves, *several, *(_comparisons(rest, pairs) if rest else [])])


def usable_tests(runs: Sequence[Run]) -> dict[str, pd.DataFrame]:
    """Labelled test rows of the classifiers of two classes that have both among them."""
    tests = {run.name: run.test for run in runs if run.two_classes}
    return {name: rows for name, rows in tests.items() if rows is not None and not missing_class(rows["label"])}


def threshold_of(run: Run) -> float | None:
    """The threshold chosen on validation by Youden's index, if there is one."""
    if run.metrics is None or not run.two_classes:
        return None
    value = run.metrics["threshold"]["youden"]["value"]
    return None if value is None else float(value)


def paired_differences(runs: Sequence[Run], *, draws: int, seed: int) -> list[Pair]:
    """Every pair of classifiers, compared on the same test images where they have the same."""
    pairs = []
    for (a, first), (b, second) in combinations(usable_tests(runs).items(), 2):
        try:
            pairs.append(Pair(a, b, compare(first, second, draws=draws, seed=seed)))
        except ValueError as error:
            pairs.append(Pair(a, b, None, str(error)))
    return pairs


def _comparisons(runs: Sequence[Run], pairs: Sequence[Pair]) -> list[Block]:
    blocks: list[Block] = [
        Text(f"{pair.a} and {pair.b} cannot be compared: {pair.reason}", Tone.WARNING)
        for pair in pairs
        if pair.result is None
    ]
    rows = [
        [
            f"{pair.a} {MINUS} {pair.b}",
            interval(pair.result["difference"], signed=True),
            _p_value(pair.result["delong"]["p_value"]),
            f"{pair.result['images']:,} of {plural(pair.result['patients'], 'patient')}",
            pair.reading,
        ]
        for pair in pairs
        if pair.result is not None
    ]
    if rows:
        header = ["Models", "Difference of AUC", "DeLong p", "Images", "Reading"]
        note = (
            "Paired on the same patients. “No difference shown”: the interval holds zero, which does not prove "
            "equality. The p value of DeLong, with images grouped by patient, is a cross-check."
        )
        blocks.append(Table("Paired differences", header, rows, note))
    elif len(runs) < 2:
        blocks.append(missing("a second classifier", "One from scratch beside it shows the gain."))
    return blocks


def _p_value(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _table(runs: Sequence[Run]) -> Table:
    rows = [
        [
            f"{run.name}: {words}",
            interval(level["auc"]),
            interval(level["average_precision"]),
            interval(level["probabilistic_f1"]),
            f"{level['rows']:,}",
        ]
        for run in runs
        for key, words in LEVELS.items()
        if (level := (run.metrics or {})["levels"].get(key, {"auc": None}))["auc"] is not None
    ]
    note = (
        f"AUC: chance is 0.5. AP: average precision, chance is the share of {runs[0].classes[1]} rows. pF1: the "
        "probabilistic F1 of RSNA 2022, of the probabilities as they are. In brackets: 95 % interval by resampling "
        "patients."
    )
    return Table("Discrimination by level", ["Model and level", "AUC", "AP", "pF1", "Rows"], rows, note)


def _operating_levels(runs: Sequence[Run]) -> list[Block]:
    """Sensitivity at fixed specificities, and the other way round, a table each."""
    blocks: list[Block] = []
    for read, fixed in (("sensitivity", "specificity"), ("specificity", "sensitivity")):
        points = [(run.name, (run.metrics or {})[f"{read}_at_{fixed}"]) for run in runs]
        levels = sorted({level for _, values in points for level in values})
        header = ["Model", *(f"at {fixed} {level}" for level in levels)]
        rows = [
            [name, *(interval(values[lv]) if lv in values else UNKNOWN for lv in levels)] for name, values in points
        ]
        note = "Read off the test ROC curve; see below for what thresholds chosen beforehand reach."
        if levels:
            blocks.append(Table(f"{read.capitalize()} at fixed {fixed}", header, rows, note))
    return blocks


def _curves(runs: Sequence[Run], draws: int, seed: int) -> list[Block]:
    tests = usable_tests(runs)
    left_out = [run for run in runs if run.name not in tests]
    blocks: list[Block] = []
    for run in left_out:
        why = "predictions.csv" if run.test is None else "both classes among the labelled test rows"
        blocks.append(missing(f"curves of {run.name}, for want of {why}", CURE))
    if tests:
        thresholds = {run.name: threshold_of(run) for run in runs}
        figure = ranking_figure(tests, thresholds, draws=draws, seed=seed, positive=runs[0].classes[1])
        aucs = ", ".join(f"{n} AUC {area_under_roc(t['label'], t['probability']):.3f}" for n, t in tests.items())
        caption = (
            "Per image. Bands: 95 % by resampling patients. Squares: the threshold chosen on validation patients. "
            "A curve towards the upper left (ROC) or upper right (precision) is better."
        )
        blocks.insert(0, Picture(embed_figure(figure), f"ROC and precision-recall curves: {aucs}", caption))
    return blocks


def _stale(runs: Sequence[Run]) -> list[Block]:
    """Warnings where ``metrics.json`` was not made from the ``predictions.csv`` beside it."""
    blocks: list[Block] = []
    for run in runs:
        told = (run.metrics or {})["levels"]["image"]["auc"]
        rows = usable_tests([run]).get(run.name)
        if rows is None or told["value"] is None:
            continue
        found = area_under_roc(rows["label"], rows["probability"])
        if abs(found - told["value"]) > TOLERANCE:
            text = f"{run.name}: metrics.json says AUC {told['value']:.4f}, its predictions.csv gives {found:.4f}. "
            blocks.append(Text(text + "One of the files is from another run: evaluate again.", Tone.WARNING))
    return blocks
