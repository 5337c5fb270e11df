"""Running stages: in order, once, each for itself; whatever a stage does, the others go on."""

import json
import signal

import pytest
from mammo.pipeline.study import Stage, run_stages

IMPORTS = ["$import os", "$import pathlib", "$import signal", "$import time", "$import multiprocessing"]
COUNT = "$pathlib.Path(@output_dir, 'count.txt').open('a').write('x')"


def stage(name, *steps, inputs=None):
    """A stage that takes these steps in place of training."""
    content = {"imports": IMPORTS, "output_dir": "", "marker": name, "initialize": [], "run": [COUNT, *steps]}
    content |= dict.fromkeys(inputs or {}, "")
    return Stage("swin_mim", "evaluate", content, inputs or {}, title=name)


def count(one, runs):
    path = one.folder(runs) / "count.txt"
    return len(path.read_text()) if path.is_file() else 0


def test_inputs_run_first_and_shared_ones_once(tmp_path):
    first = stage("first")
    write = "$pathlib.Path(@output_dir, 'seen.txt').write_text(str(pathlib.Path(@start).parent.parent.is_dir()))"
    users = [stage(f"user {n}", write, inputs={"start": first}) for n in range(3)]
    outcomes = run_stages(users, tmp_path, workers=2)
    assert outcomes.failures() == []
    assert count(first, tmp_path) == 1
    assert [(one.folder(tmp_path) / "seen.txt").read_text() for one in users] == ["True"] * 3


def test_finished_stages_are_not_run_again(tmp_path):
    chain = stage("second", inputs={"start": stage("first")})
    for _ in range(2):
        outcomes = run_stages([chain], tmp_path)
    assert count(chain, tmp_path) == 1
    record = json.loads((chain.folder(tmp_path) / "completed.json").read_text())
    assert record["digest"] == chain.digest
    assert outcomes.of(chain).seconds == record["seconds"]


def test_a_record_of_another_configuration_does_not_count(tmp_path):
    one = stage("one")
    run_stages([one], tmp_path)
    path = one.folder(tmp_path) / "completed.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"digest": "other"}))
    run_stages([one], tmp_path)
    assert count(one, tmp_path) == 2


def test_a_failure_is_told_and_stops_only_what_needs_it(tmp_path):
    bad = stage("bad", "$int('no number')")
    needs_bad = stage("needs bad", inputs={"start": bad})
    good = stage("good")
    outcomes = run_stages([needs_bad, good], tmp_path)
    assert "invalid literal" in outcomes.of(bad).reason
    assert "failed" in outcomes.of(needs_bad).reason
    assert outcomes.of(good).reason is None
    assert "Traceback" in (bad.folder(tmp_path) / "log.txt").read_text()
    assert len(run_stages([needs_bad, good], tmp_path).failures()) == 2
    assert [count(bad, tmp_path), count(good, tmp_path)] == [2, 1]  # tried again, not run again


def test_a_stage_that_is_killed_takes_nobody_with_it(tmp_path):
    killed, good = stage("killed", "$os.kill(os.getpid(), signal.SIGKILL)"), stage("good")
    outcomes = run_stages([killed, good], tmp_path, workers=2)
    assert "SIGKILL" in outcomes.of(killed).reason
    assert outcomes.of(good).reason is None


def test_no_more_stages_run_at_a_time_than_there_are_workers(tmp_path):
    log = tmp_path / "times.txt"
    note = f"$pathlib.Path({str(log)!r}).open('a').write({{!r}} + '\\n')"
    stages = [stage(f"{n}", note.format("+"), "$time.sleep(0.2)", note.format("-")) for n in range(5)]
    run_stages(stages, tmp_path, workers=2)
    running, most = 0, 0
    for line in log.read_text().split():
        running += 1 if line == "+" else -1
        most = max(most, running)
    assert running == 0
    assert most <= 2


@pytest.fixture
def ctrl_c():
    """Python's own answer to Ctrl-C, which a shell that starts jobs in the background switches off."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupted_study_ends_its_processes_and_goes_on(tmp_path, ctrl_c):
    interrupt = "$os.kill(multiprocessing.parent_process().pid, signal.SIGINT) if not @again else None"
    wait = "$time.sleep(60) if not @again else None"
    again = "$pathlib.Path(@output_dir, 'count.txt').stat().st_size > 1"
    content = dict(stage("slow", interrupt, wait).configuration) | {"again": again}
    slow = Stage("swin_mim", "evaluate", content, title="slow")
    with pytest.raises(KeyboardInterrupt):
        run_stages([slow], tmp_path)
    assert not (slow.folder(tmp_path) / "completed.json").exists()
    assert run_stages([slow], tmp_path).failures() == []
    assert count(slow, tmp_path) == 2


def test_two_studies_do_not_share_a_folder_at_the_same_time(tmp_path):
    run_stages([stage("one")], tmp_path)
    with open(tmp_path / ".lock", "w") as file:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="another study"):
            run_stages([stage("one")], tmp_path)


def test_a_study_without_workers_is_refused(tmp_path):
    with pytest.raises(ValueError, match="one process or more"):
        run_stages([], tmp_path, workers=0)
