"""Results reach the PACS whole, the same each time, and are asked for until it says that it has them."""

import pytest
from mammo.pipeline.hospital.service.retry import PacsError
from mammo.pipeline.hospital.service.sender import Sender
from mammo.pipeline.hospital.service.states import COMMITTED, COMPUTED, DEAD, FAILED, KEPT, SENT


class FakePacs:
    """Remembers what came; fails as told."""

    def __init__(self, confirms=True):
        self.confirms, self.got, self.errors, self.answer, self.tickets = confirms, [], [], True, []

    def send(self, paths):
        self.got.append({path.name: path.read_bytes() for path in paths})
        if self.errors:
            raise self.errors.pop(0)

    def confirm(self, paths, ticket):
        self.tickets.append(ticket)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def pacs():
    return FakePacs()


@pytest.fixture
def sender(desk, pacs):
    return Sender(desk, pacs, patience_s=600)


def state(desk):
    return desk.jobs.table.jobs("1 = 1")[0].state


def run(desk, sender, clock, seconds=0):
    clock.pass_s(seconds)
    desk.jobs.wake()
    sender.step()
    return state(desk)


def test_a_result_is_sent_then_confirmed(desk, sender, computed, clock):
    job = computed()
    assert run(desk, sender, clock) == SENT
    assert run(desk, sender, clock) == COMMITTED
    assert not sender.step()
    (done,) = desk.jobs.table.jobs("number = ?", job.number)
    assert done.sent == clock()


def test_a_result_is_sent_again_with_the_same_bytes(desk, sender, computed, pacs, clock):
    computed()
    pacs.errors = [PacsError("http_500"), PacsError("pacs_timed_out", passes=True)]
    assert run(desk, sender, clock) == FAILED
    assert run(desk, sender, clock, 10) == FAILED
    assert run(desk, sender, clock, 20) == SENT
    assert len(pacs.got) == 3
    assert pacs.got[0] == pacs.got[1] == pacs.got[2]


def test_a_pacs_that_says_no_is_given_up_and_one_that_is_down_never(desk, sender, computed, pacs, clock):
    computed()
    pacs.errors = [PacsError("pacs_unreachable", passes=True)] * 30
    assert {run(desk, sender, clock, 100) for _ in range(30)} == {FAILED}
    pacs.errors = [PacsError("http_403")] * 30
    states = [run(desk, sender, clock, 100) for _ in range(5)]
    assert states[-1] == DEAD
    letter = desk.folder / "dead" / "000001"
    assert (letter / "reason.json").is_file()
    assert (letter / "results" / "sr.dcm").is_file()
    desk.jobs.retry()
    pacs.errors = []
    assert run(desk, sender, clock) == SENT


def test_shadow_mode_keeps_results(desk, pacs, computed, clock):
    computed()
    sender = Sender(desk, pacs, shadow=True)
    assert run(desk, sender, clock) == KEPT
    assert pacs.got == []
    assert not sender.step()


def test_a_late_answer_commits_and_is_asked_for_again_until_it_comes(desk, sender, computed, pacs, clock):
    computed()
    pacs.answer = False
    run(desk, sender, clock)
    run(desk, sender, clock)
    assert not sender.step()  # patience
    assert run(desk, sender, clock, 601) == SENT
    assert len(set(pacs.tickets)) == 2
    assert not sender.answered("2.25.1", 0)
    assert not sender.answered("", 0)
    assert sender.answered(pacs.tickets[-1], 0)
    assert state(desk) == COMMITTED
    assert not sender.answered(pacs.tickets[-1], 0)


def test_an_answer_to_an_earlier_question_commits_too(desk, sender, computed, pacs, clock):
    """A PACS that takes longer than we wait would else never be heard."""
    computed()
    pacs.answer = False
    run(desk, sender, clock)
    for _ in range(5):
        assert run(desk, sender, clock, 601) == SENT
    assert len(set(pacs.tickets)) == 5
    assert not sender.answered(pacs.tickets[2][:-1], 0)  # the beginning of one
    assert sender.answered(pacs.tickets[2], 0)
    assert state(desk) == COMMITTED


def test_kinds_that_the_pacs_does_not_take_any_more_are_not_sent_again(desk, computed, pacs, clock):
    job = computed()
    folder = desk.spool.results / job.folder
    for name in ("sr-1.dcm", "overlay-1.dcm", "overlay-2.dcm"):
        (folder / name).write_bytes(b"object")
    assert run(desk, Sender(desk, pacs, kinds=["sr", "mask"]), clock) == SENT
    assert [*pacs.got[0]] == ["sr-1.dcm"]


def test_what_the_pacs_lost_is_sent_again(desk, sender, computed, pacs, clock):
    computed()
    pacs.answer = False
    run(desk, sender, clock)
    run(desk, sender, clock)
    assert sender.answered(pacs.tickets[-1], 1)
    assert state(desk) == FAILED
    assert run(desk, sender, clock, 100) == SENT
    assert len(pacs.got) == 2


def test_what_the_pacs_never_finds_is_given_up_at_last(desk, sender, computed, pacs, clock):
    computed()
    pacs.answer = PacsError("not_found_by_query")
    states = [run(desk, sender, clock, 700) for _ in range(20)]
    assert states[-1] == DEAD
    assert len(pacs.got) == 4


def test_a_pacs_that_is_down_when_asked_is_asked_again_and_nothing_is_sent_again(desk, sender, computed, pacs, clock):
    computed()
    pacs.answer = PacsError("pacs_unreachable", passes=True)
    assert {run(desk, sender, clock, 700) for _ in range(20)} == {SENT}
    pacs.answer = True
    assert run(desk, sender, clock, 700) == COMMITTED
    assert len(pacs.got) == 1


def test_a_pacs_that_is_not_asked_is_done_when_sent(desk, computed, clock):
    computed()
    sender = Sender(desk, FakePacs(confirms=False))
    assert run(desk, sender, clock) == SENT
    assert not sender.step()


def test_a_result_without_objects_is_never_silently_done(desk, sender, computed, clock):
    job = computed()
    (desk.spool.results / job.folder / "sr.dcm").unlink()
    assert [run(desk, sender, clock, 100) for _ in range(4)][-1] == DEAD
    assert desk.jobs.counts() == {DEAD: 1}


def test_a_job_is_known_by_its_number_only(desk, sender, computed, clock):
    computed()
    run(desk, sender, clock)
    text = (desk.folder / "log.jsonl").read_text() + (desk.folder / "audit.jsonl").read_text()
    assert "1.2.3" not in text
    assert COMPUTED not in desk.jobs.counts()


def test_a_result_that_cannot_be_sent_for_a_reason_of_its_own_holds_up_no_other(desk, sender, computed, pacs, clock):
    computed("1.2.3", "r1")
    clock.pass_s(1)
    computed("1.2.4", "r2")
    pacs.errors = [KeyError("a defect")]
    sender.step()
    sender.step()
    assert [job.state for job in desk.jobs.table.jobs("1 = 1 ORDER BY number")] == [FAILED, SENT]


def test_an_object_that_cannot_be_identified_holds_up_no_other(desk, sender, computed, pacs, clock):
    from mammo.pipeline.hospital.service.incoming import InstanceError

    computed()
    pacs.answer = InstanceError("undecodable")
    run(desk, sender, clock)
    assert run(desk, sender, clock) == FAILED
