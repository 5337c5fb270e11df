"""Two runs at a time in one place: both right, or one of them refused before it writes anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pydicom
from mammo.pipeline.phantom import write_study

from .campaign import Ground, Tally
from .comparing import different_files, different_training, whole_results
from .processes import Run, one_error, succeeded

__all__ = ["rows"]


def rows(ground: Ground) -> Iterator[Tally]:
    """Two of each, started together."""
    yield _prepares(ground)
    yield _trainings(ground)
    yield _studies(ground)


def _prepares(ground: Ground) -> Tally:
    tally = Tally("two `mammo prepare` into one store", "both end well, the store as its twin, to the byte")
    for number in range(ground.size(1, 4)):
        store = ground.new(f"both/store-{number}")
        runs = [ground.prepare(store) for _ in range(2)]
        tally.add([text for run in runs for text in succeeded(run)] + different_files(ground.store, store))
    return tally


def _trainings(ground: Ground) -> Tally:
    promise = "one is refused in one line until the other has ended; weights and history as the twin's, to the bit"
    tally = Tally("two `mammo finetune` into one --output_dir", promise)
    for number in range(ground.size(1, 6)):
        out = ground.new(f"both/run-{number}")
        first, second = ground.finetune(out), ground.finetune(out)
        tally.add(_one_of(first, second, "--output_dir") + different_training(ground.classifier, out))
    return tally


def _studies(ground: Ground) -> Tally:
    promise = "one is refused in one line until the other has ended; results whole and of one study"
    tally = Tally("two `mammo process` of two studies into one folder", promise)
    later = ground.new("later")
    write_study(later, index=1, seed=78, preset="demo", date="20270105")
    for number in range(ground.size(1, 4)):
        out = ground.new(f"both/results-{number}")
        first, second = ground.process(out, ground.exam), ground.process(out, later)
        wrong = _one_of(first, second, "OUT") + whole_results(out)
        ended = {exam for run, exam in ((first, ground.exam), (second, later)) if run.wait() == 0}
        tally.add(wrong + _not_of(ended, out))
    return tally


def _one_of(first: Run, second: Run, option: str) -> list[str]:
    """What is wrong with two runs of which one should be refused; where one began after the other's end, none."""
    statuses = [first.wait(), second.wait()]
    if statuses == [0, 0]:
        return []
    if 0 not in statuses:
        return ["both failed", *succeeded(first)]
    return one_error(second if statuses[0] == 0 else first, "another run is at work in", option)


def _not_of(exams: set[Path], out: Path) -> list[str]:
    """What is wrong with results that must be of one of these studies, where there are any."""
    if not (out / "result.json").is_file():
        return []
    uids = {str(pydicom.dcmread(next(exam.rglob("*.dcm"))).StudyInstanceUID) for exam in exams}
    told = json.loads((out / "result.json").read_text())["study_instance_uid"]
    objects = {str(pydicom.dcmread(path).StudyInstanceUID) for path in out.glob("*.dcm")}
    return [] if {told} == objects and told in uids else [f"results of {objects | {told}}, not of {uids}"]
