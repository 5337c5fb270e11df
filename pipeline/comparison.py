"""``mammo compare``: two evaluated recipes side by side, with paired differences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .evidence.run_files import METRICS, PREDICTIONS, evaluation_folder, read_json
from .files import write_atomically
from .metrics import RESEARCH_USE, RunPredictions, compare_labels, compare_measures, label_columns, read_predictions

HIDDEN_RULES = ("f1: ", "specificity_0.80", "specificity_0.95", "sensitivity_")
"""Locked thresholds that the printed table leaves to the JSON file."""


def compare_runs(
    a: Sequence[Path], b: Sequence[Path], *, draws: int = 2000, seed: int = 0, out: Path | None = None
) -> dict[str, Any]:
    """Compare the evaluations of two recipes, each of one or more run folders (one a seed).

    Args:
        a: run folders of the first recipe, see :func:`~mammo.pipeline.evidence.run_files.evaluation_folder`.
        b: those of the second, evaluated on the same test images.
        draws: patient-bootstrap draws.
        seed: of the draws.
        out: the JSON file to write, if any.

    Returns:
        As :func:`~mammo.pipeline.metrics.compare_measures`, of many labels as
        :func:`~mammo.pipeline.metrics.compare_labels`, with the folders' names.

    Raises:
        ValueError: the runs' tasks, test images or labels differ.
        FileNotFoundError: a folder holds no predictions.
    """
    tasks = {json.dumps(task, sort_keys=True) for run in (*a, *b) if (task := _task(run)) is not None}
    if len(tasks) > 1:
        raise ValueError(f"the runs answer different tasks and cannot be compared: {' and '.join(sorted(tasks))}")
    task = json.loads(tasks.pop()) if tasks else {}
    sides = [_predictions(run) for run in a], [_predictions(run) for run in b]
    if any(label_columns(run.test) for side in sides for run in side):
        found = compare_labels(*sides, draws=draws, seed=seed)
    else:
        found = compare_measures(*sides, ordered=task.get("ordered", False), draws=draws, seed=seed)
    about = {"notice": RESEARCH_USE, "a": [str(run) for run in a], "b": [str(run) for run in b], "task": task}
    bootstrap = {"unit": "patient", "level": 0.95, "draws": draws, "seed": seed}
    result = about | {"bootstrap": bootstrap} | found
    if out is not None:
        write_atomically(out, json.dumps(result, indent=1, allow_nan=False).encode())
    return result


def comparison_table(result: Mapping[str, Any]) -> str:
    """The main rows of a comparison as text: all levels by AUC, and the measures per image."""
    counts = f"{result['images']} test images of {result['patients']} patients"
    seeds = f"a: {result['seeds_a']} run(s), b: {result['seeds_b']} run(s)"
    lines = [f"{counts}; {seeds}; 95 % intervals by resampling patients" + _with_seeds(result), ""]
    header = ("", "a", "b", "a - b")
    rows = [(_name(level, name), *_cells(sides)) for level, name, sides in _shown(result)]
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(4)]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)]
    delong = result.get("delong", {})
    if delong.get("p_value") is not None:
        lines += ["", f"AUC per image: DeLong p = {delong['p_value']:.3g}, images grouped by patient"]
    lines += ["", "An interval of a - b that holds zero shows no difference; it does not prove equality."]
    return "\n".join(lines)


def _with_seeds(result: Mapping[str, Any]) -> str:
    return " and seeds" if max(result["seeds_a"], result["seeds_b"]) > 1 else ""


def _shown(result: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    image = result["levels"]["image"]["measures"]
    rows = [(level, "auc", part["measures"]["auc"]) for level, part in result["levels"].items() if part["measures"]]
    shown = [name for name in image if name != "auc" and not name.startswith(HIDDEN_RULES)]
    return rows + [("image", name, image[name]) for name in shown]


def _name(level: str, name: str) -> str:
    rule, locked, rate = name.partition(": ")
    words = f"threshold for {'best balance' if rule == 'youden' else rule}, {rate}" if locked else name
    return f"{level}: {words}".replace("_", " ")


def _cells(sides: Mapping[str, Mapping[str, Any]]) -> tuple[str, str, str]:
    return _interval(sides["a"], ""), _interval(sides["b"], ""), _interval(sides["difference"], "+")


def _interval(found: Mapping[str, Any], sign: str) -> str:
    if found["value"] is None:
        return "undefined"
    if found["low"] is None:
        return f"{found['value']:{sign}.3f}"
    return f"{found['value']:{sign}.3f} ({found['low']:{sign}.3f} to {found['high']:{sign}.3f})"


def _predictions(run: Path) -> RunPredictions:
    path = evaluation_folder(run) / PREDICTIONS
    table = read_predictions(path)
    if "split" not in table:
        raise ValueError(f"{path}: column split is missing, so test rows cannot be told from validation rows")
    test, validation = (table[table["split"] == split] for split in ("test", "validation"))
    return RunPredictions(test, validation)


def _task(run: Path) -> dict[str, Any] | None:
    path = evaluation_folder(run) / METRICS
    return read_json(path).get("task") if path.is_file() else None
