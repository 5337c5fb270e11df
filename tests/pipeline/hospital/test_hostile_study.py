"""Hostile files in a study: refused within seconds, without the memory that they ask for; the rest is read."""

import os
import time
from pathlib import Path

import pytest
from mammo.pipeline.hospital.decode import Limits, isolated
from mammo.pipeline.hospital.result import StudyStatus
from mammo.pipeline.hospital.study import StudyEngine
from mammo.pipeline.phantom import write_hostile

from .conftest import paths_of

SECONDS, MEGABYTES = 5.0, 1024


@pytest.fixture(scope="module")
def hostile(exam, tmp_path_factory) -> dict[str, Path]:
    """Files by what is wrong with them."""
    return write_hostile(tmp_path_factory.mktemp("hostile"), exam[0].path)


def worker_peak_mb() -> float:
    """Largest resident memory that a child of this process has ever had."""
    peaks = [0.0]
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        for child in (task / "children").read_text().split():
            status = Path(f"/proc/{child}/status").read_text()
            peaks += [int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")]
    return max(peaks)


def test_hostile_files_cost_neither_time_nor_memory_nor_the_study(model, exam, hostile):
    engine = StudyEngine(model, decode=isolated(model.transform, Limits(seconds=SECONDS, memory_mb=MEGABYTES)))
    assert engine.process(paths_of(exam)).status == StudyStatus.ANALYSED  # the process is there now
    before = worker_peak_mb()
    for name, path in hostile.items():
        begin = time.monotonic()
        result = engine.process([path])
        assert time.monotonic() - begin < SECONDS, name
        assert result.status == StudyStatus.NOT_ANALYSED, name
    assert worker_peak_mb() - before < MEGABYTES
    mixed = engine.process([*hostile.values(), *paths_of(exam)])
    assert mixed.status == StudyStatus.ANALYSED
    assert len(mixed.scored()) == 4
    refused = [view for view in mixed.views if view.probability is None]
    assert len(refused) + mixed.others == len(hostile)
    assert all(view.reasons for view in refused)
