"""The worker outlives every study, and every study is answered."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from mammo.pipeline.hospital.naming import file_name
from mammo.pipeline.hospital.service.arrivals import Address
from mammo.pipeline.hospital.service.collector import Collector
from mammo.pipeline.hospital.service.incoming import InstanceError
from mammo.pipeline.hospital.service.messages import Answer, Ready, Trouble
from mammo.pipeline.hospital.service.states import COMPUTED, DEAD, FAILED, QUEUED, RUNNING, SENT
from mammo.pipeline.hospital.service.worker import Worker


def honest(task):
    if task is None:
        return Ready("model")
    (Path(task.folder) / "sr.dcm").write_bytes(b"".join(Path(path).read_bytes() for path in task.paths))
    return Answer("result", "analysed", ("implant",))


def only_when_asked_to_give_up(fails):
    """A study of which processing fails, but not the answer that it failed."""

    def work(task):
        if task is None:
            return Ready("model")
        if task.answer is None:
            return fails()
        (Path(task.folder) / "sr.dcm").write_text(task.answer)
        return Answer("given up", "failed", (task.answer,))

    return work


def work_off(desk, worker, clock, steps=10):
    """Until nothing is left to do; returns the first job's states on the way."""
    states = []
    for _ in range(steps):
        desk.jobs.wake()
        worker.step()
        states.append(desk.jobs.table.jobs("1 = 1")[0].state)
        clock.pass_s(100)
    return list(dict.fromkeys(states))


def test_a_study_is_computed_and_its_result_is_on_disk(desk, queued):
    queued()
    worker = Worker(desk, honest)
    assert worker.step()
    job = desk.jobs.next(COMPUTED)
    assert (desk.spool.results / job.folder / "sr.dcm").read_bytes() == b"image"
    assert (job.result, job.outcome, job.codes) == ("result", "analysed", "implant")
    assert (worker.ready, worker.model) == (True, "model")
    assert not worker.step()


def test_a_study_with_a_late_image_is_told_of_the_report_that_the_pacs_has(desk, queued):
    def work(task):
        if task is None:
            return Ready("model")
        (Path(task.folder) / file_name("sr")).write_text(str(task.predecessor))
        return Answer(task.folder, "analysed")

    worker, told = Worker(desk, work), []
    for instance in ("1.2.3.1", "1.2.3.2", "1.2.3.3"):
        queued(instance=instance)
        assert worker.step()
        job = desk.jobs.table.jobs("1 = 1 ORDER BY number DESC")[0]
        told.append((desk.spool.results / job.folder / file_name("sr")).read_text())
        if instance == "1.2.3.1":  # the second is never sent: nobody has it
            desk.jobs.move(job, SENT, sent=1.0)
            sent = desk.spool.results / job.folder / file_name("sr")
    assert told == ["None", str(sent), str(sent)]


def test_a_study_is_processed_with_the_reasons_of_the_images_that_are_not_there(desk, arrivals, clock):
    def fetch(job, image, address):
        if address.instance == "1.2.3.2":
            raise InstanceError("too_large")
        temporary = desk.spool.temporary()
        temporary.write_bytes(b"image")
        desk.spool.adopt(temporary, job.study, image)

    def work(task):
        return Ready("model") if task is None else Answer("result", "analysed", (f"told_{task.absent}",))

    addresses = (Address("1.2.3", "1.2.3.1"), Address("1.2.3", "1.2.3.2"))
    arrivals.listed("s" * 32, "1.2.3", {desk.names.instance(one.instance): one for one in addresses})
    clock.pass_s(61)
    Collector(desk, lambda: arrivals, quiet_s=60, max_wait_s=600, fetch=fetch).step()
    assert Worker(desk, work).step()
    assert desk.jobs.next(COMPUTED).codes == "told_('too_large',) too_large"


def crash():
    os.kill(os.getpid(), signal.SIGSEGV)


def hang():
    time.sleep(60)


def exhaust():
    return bytearray(1 << 60)


def engine_failed():
    return Answer("x", "failed")


def trouble():
    return Trouble("ValueError", "study.py:1")


@pytest.mark.parametrize(
    ("fails", "reason"),
    [
        (crash, "crashed"),
        (hang, "timed_out"),
        (exhaust, "MemoryError:worker"),
        (engine_failed, "engine_failed"),
        (trouble, "ValueError:study.py:1"),
    ],
)
def test_a_study_that_fails_each_time_is_answered_as_failed_with_the_reason(desk, queued, clock, fails, reason):
    queued()
    worker = Worker(desk, only_when_asked_to_give_up(fails), timeout_s=1 if fails is hang else 600)
    assert work_off(desk, worker, clock) == [FAILED, QUEUED, COMPUTED]
    job = desk.jobs.next(COMPUTED)
    assert (job.outcome, job.codes) == ("failed", reason)
    assert (desk.spool.results / job.folder / "sr.dcm").read_text() == reason
    letter = json.loads((desk.folder / "dead" / "000001" / "reason.json").read_text())
    assert (letter["reason"], letter["stage"]) == (reason, QUEUED)
    assert len(list((desk.folder / "dead" / "000001").glob("*.dcm"))) == 1
    assert len(list(desk.spool.results.iterdir())) == 1  # of failed attempts nothing is left


def test_a_study_that_cannot_even_be_answered_is_given_up(desk, queued, clock):
    def work(task):
        if task is not None:
            os._exit(1)
        return Ready("model")

    queued()
    assert work_off(desk, Worker(desk, work), clock)[-1] == DEAD


def test_the_next_study_is_processed_after_one_that_killed_the_process(desk, queued, clock):
    def work(task):
        if task is not None and Path(task.paths[0]).read_bytes() == b"bad":
            os._exit(1)
        return honest(task)

    bad = queued("1.2.3")
    for key in desk.jobs.images(bad):
        desk.spool.path(bad.study, key).write_text("bad")
    clock.pass_s(1)
    good = queued("1.2.4")
    worker = Worker(desk, work)
    worker.step()
    worker.step()
    assert desk.jobs.next(COMPUTED).number == good.number


def test_a_model_that_cannot_be_loaded_costs_no_study(desk, queued):
    queued()
    now = [0.0]
    worker = Worker(desk, lambda task: Trouble("ValueError", "loading.py:1", "no such file"), clock=lambda: now[0])
    for _ in range(5):
        assert not worker.step()
        now[0] += 30
    assert desk.jobs.counts() == {QUEUED: 1}
    assert (worker.ready, worker.model, worker.trouble, worker.advice) == (
        False,
        None,
        "ValueError:loading.py:1",
        "no such file",
    )


def test_a_stop_in_the_middle_leaves_the_study_to_the_next_start(desk, queued, open_desk):
    queued()

    def work(task):
        if task is not None:
            os._exit(1)
        return Ready("model")

    Worker(desk, work, stopping=lambda: True).step()
    (job,) = desk.jobs.table.jobs("1 = 1")
    assert (job.state, job.attempts) == (RUNNING, 0)
    assert open_desk().jobs.recover() == 1


def test_the_text_of_an_error_is_not_logged(desk, queued, clock):
    def work(task):
        if task is None:
            return Ready("model")
        raise ValueError("Secret^Name 1.2.3.4")

    queued()
    work_off(desk, Worker(desk, work), clock)
    text = (desk.folder / "log.jsonl").read_text() + (desk.folder / "audit.jsonl").read_text()
    assert "Secret" not in text
    assert "1.2.3" not in text
    assert "ValueError" in text


def test_a_full_disk_costs_no_attempt(desk, queued, clock, monkeypatch):
    def full(self):
        raise OSError(28, "No space left on device")

    queued()
    worker = Worker(desk, honest)
    with monkeypatch.context() as patch:
        patch.setattr("mammo.pipeline.hospital.service.spool.Spool.new_result_folder", full)
        worker.step()
    (job,) = desk.jobs.table.jobs("1 = 1")
    assert (job.state, job.attempts) == (FAILED, 0)
    assert work_off(desk, worker, clock) == [FAILED, COMPUTED]
