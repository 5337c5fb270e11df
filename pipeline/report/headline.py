"""The first thing a reader sees: what was measured, on whom, how sure, and what it may be used for."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..metrics import RESEARCH_USE
from ..metrics.calibration import TEMPERATURE_RANGE
from .blocks import Block, Section, Text, Tile, Tiles, Tone
from .explanation_section import reading
from .inputs import Run
from .label_blocks import label_name
from .result_section import Pair
from .wording import MINUS, UNKNOWN, name_of, plural


def headline_section(
    runs: Sequence[Run], pairs: Sequence[Pair], summary: Mapping[str, Any] | None, notes: Sequence[str]
) -> Section:
    """The statement of use and notes, what was measured, and tiles of the main figures."""
    evaluated = [run for run in runs if run.metrics is not None]
    blocks: list[Block] = [Text(RESEARCH_USE, Tone.WARNING)]
    blocks += [Text(note, Tone.NOTE) for note in notes]
    if evaluated:
        blocks += [Text(_measured(evaluated[0])), Text(_calibrated(evaluated[0]))]
    tiles = [_auc_tile(run) for run in evaluated] + _pair_tiles(pairs), _explanation_tiles(summary)
    blocks += [Tiles(row) for row in tiles if row]
    if not evaluated:
        blocks.append(
            Text("Missing: no classifier of this report was evaluated, so no accuracy is told.", Tone.MISSING)
        )
    return Section("Summary", blocks)


def _measured(run: Run) -> str:
    counts = (run.metrics or {})["counts"]
    if run.many_labels:
        names = [label_name(name) for name in counts["positive"]]
        question = f"telling which of {', '.join(names)} an image shows"
        of_each = zip(names, counts["positive"].values(), strict=True)
        shares = ", ".join(f"{n:,} {name}" for name, n in of_each)
        shares += f"; {plural(counts['with_several_labels'], 'image')} with more than one"
    elif run.several_classes:
        of_each = zip(run.classes, counts["classes"], strict=False)
        question, shares = f"telling {', '.join(run.classes)} apart", ", ".join(f"{n:,} {name}" for name, n in of_each)
    else:
        negative, positive = run.classes
        question = f"telling {positive} from {negative}"
        shares = f"{counts['positive']:,} {positive}, {counts['negative']:,} {negative}"
    overlap = counts["patients_in_test_and_validation"]
    extra = f" {plural(overlap, 'patient')} in test and validation both." if overlap else ""
    if counts["unlabelled"]:
        extra += f" {plural(counts['unlabelled'], 'image')} without a label left out."
    return (
        f"Measured: {question} on {plural(counts['images'], 'test image')} of "
        f"{plural(counts['patients'], 'patient')} ({shares}), "
        f"{_locked(run)}.{extra}"
    )


def _locked(run: Run) -> str:
    """What was taken from validation patients, as far as there is anything."""
    metrics = run.metrics or {}
    thresholds = [part["threshold"]["value"] for part in metrics["labels"].values()] if run.many_labels else []
    thresholds.append(metrics.get("threshold", {}).get("youden", {}).get("value"))
    found = {
        "thresholds": next((value for value in thresholds if value is not None), None),
        "temperature": metrics["calibration"].get("temperature"),
    }
    locked = " and ".join(name for name, value in found.items() if value is not None)
    if locked:
        return f"with {locked} taken from validation patients only"
    return "with no threshold and no temperature, for there were none to take from validation patients"


def _calibrated(run: Run) -> str:
    calibration = (run.metrics or {})["calibration"]
    if calibration.get("temperature") is None:
        return f"Probabilities are not calibrated ({calibration.get('reason', 'no temperature')})."
    before, after = (calibration[key]["ace"]["value"] for key in ("before", "after"))
    mean = " (mean over labels)" if run.many_labels else ""
    low, high = TEMPERATURE_RANGE
    found = 1.01 * low < calibration["temperature"] < 0.99 * high
    limit = "" if found else " It is the end of the range that was searched: there was nothing to fit."
    return (
        "Probabilities in predictions and case figures are as the models give them, not calibrated. A temperature "
        f"of {calibration['temperature']:.2f}, fitted on validation patients, takes the adaptive calibration error "
        f"(ACE){mean} of {run.name} from {before:.3f} to {after:.3f} on test patients.{limit}"
    )


def _auc_tile(run: Run) -> Tile:
    auc, name = (run.metrics or {})["levels"]["image"]["auc"], "Macro AUC" if run.many_labels else "AUC"
    if auc["value"] is None:
        return Tile(f"{name}, {run.name}", UNKNOWN, auc.get("reason", ""))
    bounds = "no interval" if auc["low"] is None else f"95 % interval {auc['low']:.3f} to {auc['high']:.3f}"
    return Tile(f"{name}, {run.name}", f"{auc['value']:.3f}", f"{bounds}; chance 0.5")


def _pair_tiles(pairs: Sequence[Pair]) -> list[Tile]:
    """The first paired difference that could be told."""
    told = [pair for pair in pairs if pair.result is not None]
    if not told or told[0].result is None:
        return []
    gap = told[0].result["difference"]
    bounds = "no interval" if gap["low"] is None else f"95 % interval {gap['low']:+.3f} to {gap['high']:+.3f}"
    return [Tile(f"AUC, {told[0].a} {MINUS} {told[0].b}", f"{gap['value']:+.3f}", f"{bounds}: {told[0].reading}")]


def _explanation_tiles(summary: Mapping[str, Any] | None) -> list[Tile]:
    """The share outside the breast, of every kind of map."""
    tiles = []
    for kind, content in (summary or {"maps": {}})["maps"].items():
        measure = content["measures"]["background_ratio"]
        mean, chance = measure["mean"]["value"], measure["chance"]["background_chance"]
        if mean is None or chance is None:
            continue
        detail = f"chance {chance:.3f}; than chance: {reading('background_ratio', measure)}"
        tiles.append(Tile(f"Outside the breast, {name_of(kind)}", f"{mean:.3f}", detail))
    return tiles
