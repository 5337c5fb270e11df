"""``mammo verify``: are the files those that were evaluated, and do the predictions give the metrics told?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..evaluation import evaluate_table
from ..metrics import read_predictions
from .hashes import sha256_of
from .record import EVIDENCE, TRAINING
from .run_files import METRICS, OPERATING_POINTS, PREDICTIONS, evaluation_folder, read_json, training_configuration

RELATIVE_TOLERANCE = 1e-9
"""Another machine may sum in another order: two numbers this close are the same."""
FITTED_TOLERANCE = 1e-6
"""The same of a temperature, which an optimiser finds only as closely as this."""
SHOWN = 8
"""Differing figures of one file that are listed; the others are counted."""


@dataclass
class VerificationReport:
    """What a verification found, in sentences.

    Attributes:
        same: what is as it was.
        different: what is not, or is gone.
        notes: what may explain a difference, such as other versions of the libraries, and what was not recomputed.
    """

    same: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify_run(run: str | Path, *, moved: Mapping[str, Path] | None = None) -> VerificationReport:
    """Recompute hashes and metrics of an evaluated run.

    Args:
        run: the evaluation's folder, or the run folder above its folder ``test``.
        moved: where ``datalist``, ``checkpoint`` and ``twin`` lie now, if elsewhere than they did.

    Raises:
        FileNotFoundError: the run holds no predictions or no ``evidence.json``.
        ValueError: a file cannot be read; the message names it.
    """
    folder = evaluation_folder(run)
    if not (folder / EVIDENCE).is_file():
        raise FileNotFoundError(f"{folder}: no {EVIDENCE}; evaluate the classifier again to have one")
    evidence = read_json(folder / EVIDENCE)
    report = VerificationReport()
    places = dict(moved or {})
    if "checkpoint" in places:  # its options went with it
        places[TRAINING] = training_configuration(places["checkpoint"].parent.parent)
    for name, expected in _entries(evidence, "files", folder):
        _check_hash(name, folder / name, expected, report)
    for name, expected in _entries(evidence, "inputs", folder):
        path = places.get(name) or folder / expected["path"]
        _check_hash(name, path, expected["sha256"], report)
    _check_metrics(folder, report)
    _note_versions(evidence.get("versions") or {}, report)
    return report


def differences(told: Any, found: Any, place: str = "") -> Iterator[str]:
    """Where two JSON values differ, as ``levels.image.auc.value: 0.8 told, 0.7 found``."""
    if isinstance(told, Mapping) and isinstance(found, Mapping):
        for key in dict.fromkeys((*told, *found)):
            yield from differences(told.get(key, "nothing"), found.get(key, "nothing"), f"{place}.{key}".strip("."))
    elif isinstance(told, list) and isinstance(found, list) and len(told) == len(found):
        for index, (one, other) in enumerate(zip(told, found, strict=True)):
            yield from differences(one, other, f"{place}[{index}]")
    elif not _equal(told, found, FITTED_TOLERANCE if place.endswith("temperature") else RELATIVE_TOLERANCE):
        yield f"{place}: {told} told, {found} found"


def _equal(told: Any, found: Any, tolerance: float) -> bool:
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (told, found))
    if numbers:
        return math.isclose(told, found, rel_tol=tolerance, abs_tol=tolerance)
    return type(told) is type(found) and told == found


def _entries(evidence: Mapping[str, Any], key: str, folder: Path) -> list[tuple[str, Any]]:
    entries = evidence.get(key)
    if not isinstance(entries, Mapping):
        raise ValueError(f"{folder / EVIDENCE}: {key!r} is missing; evaluate the classifier again")
    return list(entries.items())


def _check_hash(name: str, path: Path, expected: str, report: VerificationReport) -> None:
    if not path.is_file():
        way = f"; give its place with --{name}" if name in ("datalist", "checkpoint", "twin") else ""
        report.different.append(f"{name}: {path} is not there{way}")
    elif sha256_of(path) != expected:
        report.different.append(f"{name}: {path} has another SHA-256 than when it was evaluated")
    else:
        report.same.append(f"{name} ({expected[:12]})")


def _check_metrics(folder: Path, report: VerificationReport) -> None:
    """Compute metrics and operating points again from the predictions, with the draws and seed told.

    Of a risk model, whose metrics have no levels, the hashes are all that is checked.
    """
    told = read_json(folder / METRICS)
    if "levels" not in told:
        report.notes.append(f"{METRICS} is not that of a classifier: hashed, not recomputed")
        return
    bootstrap = told.get("bootstrap", {})
    if not {"draws", "seed"} <= set(bootstrap):
        raise ValueError(f"{folder / METRICS}: bootstrap.draws and bootstrap.seed are missing; evaluate again")
    table = read_predictions(folder / PREDICTIONS)
    stored = read_json(folder / OPERATING_POINTS) if (folder / OPERATING_POINTS).is_file() else {}
    given = stored if "taken_from" in stored else None  # chosen by another evaluation, and hashed in this one
    options = {"draws": bootstrap["draws"], "seed": bootstrap["seed"]}
    metrics, points = evaluate_table(table, told.get("task"), points=given, **options)
    _report_differences(METRICS, told, metrics, report)
    if stored and given is None:
        stored.pop("checkpoint_sha256", None)  # a hash like any other, and no figure of the predictions
        _report_differences(OPERATING_POINTS, stored, points, report)


def _report_differences(name: str, told: Any, found: Any, report: VerificationReport) -> None:
    wrong = list(differences(told, found))
    if not wrong:
        report.same.append(f"{name}, recomputed from {PREDICTIONS}")
    report.different += [f"{name}, {line}" for line in wrong[:SHOWN]]
    if len(wrong) > SHOWN:
        report.different.append(f"{name}: {len(wrong) - SHOWN} more figures differ")


def _note_versions(versions: Mapping[str, str], report: VerificationReport) -> None:
    for package, then in versions.items():
        if package == "python":
            continue
        try:
            now = version(package)
        except PackageNotFoundError:
            now = "not installed"
        if now != then:
            report.notes.append(f"{package} was {then}, is {now}")
