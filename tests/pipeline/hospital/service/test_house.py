"""What is no longer needed goes; what was done is remembered."""

import pytest
from mammo.pipeline.hospital.service.house import House
from mammo.pipeline.hospital.service.states import COMMITTED, COMPUTED, DEAD, KEPT, QUIET, SAME, SENT

DAY = 86400


@pytest.fixture
def house(desk):
    return House(desk, retention_days=2, dead_days=30)


def files(desk):
    return [*desk.spool.images.rglob("*.dcm"), *desk.spool.results.rglob("*.dcm")]


@pytest.mark.parametrize(
    ("state", "options", "days"),
    [
        (COMMITTED, {}, 2),
        (SENT, {}, 2),
        (SENT, {"due": 1.0}, 30),  # the PACS has not confirmed it
        (DEAD, {"back": COMPUTED}, 30),
        (KEPT, {"back": COMPUTED}, 30),
    ],
)
def test_images_and_results_go_after_their_time_and_the_job_is_remembered(
    desk, house, computed, clock, state, options, days
):
    job = desk.jobs.move(computed(), state, **options)
    clock.pass_s(days * DAY - 10)
    house.step()
    assert len(files(desk)) == 2
    clock.pass_s(1000)
    house.step()
    assert files(desk) == []
    (left,) = desk.jobs.table.jobs("number = ?", job.number)
    assert (left.state, left.uid, left.folder, left.identity) == (state, "", "", job.identity)
    assert desk.jobs.table.rows("SELECT DISTINCT uid FROM image") == [("",)]


def test_what_is_not_done_stays(desk, house, computed, queued, clock):
    computed("1.2.3")
    queued("1.2.4")
    clock.pass_s(1000 * DAY)
    house.step()
    assert len(files(desk)) == 3


def test_images_stay_while_another_job_of_the_study_needs_them(desk, house, computed, queued, clock):
    first = desk.jobs.move(computed("1.2.3"), COMMITTED)
    clock.pass_s(10)
    queued("1.2.3", "1.2.3.7")
    clock.pass_s(3 * DAY)
    house.step()
    assert not (desk.spool.results / first.folder / "sr.dcm").exists()
    assert len(files(desk)) == 2


def test_images_that_come_again_after_they_were_deleted_run_nothing(desk, house, arrivals, computed, receive, clock):
    desk.jobs.move(computed("1.2.3"), COMMITTED)
    clock.pass_s(3 * DAY)
    house.step()
    assert not receive("1.2.3", "1.2.3.1")
    clock.pass_s(100)
    assert [job.state for job in arrivals.settle(60, 600)] == [SAME]
    assert len(files(desk)) == 1
    clock.pass_s(3 * DAY)
    house.step()
    assert files(desk) == []


def test_what_was_given_up_and_deleted_runs_again_when_it_is_sent_again(
    desk, house, arrivals, computed, receive, clock
):
    job = desk.jobs.move(computed("1.2.3"), DEAD, back=COMPUTED)
    clock.pass_s(31 * DAY)
    house.step()
    assert desk.jobs.retry() == 0  # there is nothing left to go on with
    receive("1.2.3", "1.2.3.1")
    clock.pass_s(100)
    arrivals.settle(60, 600)
    (again,) = desk.jobs.table.jobs("number = ?", job.number)
    assert (again.state, again.uid) == (QUIET, "1.2.3")


def test_a_start_cleans_up_and_writes_the_letters_that_a_crash_prevented(desk, open_desk, computed):
    job = desk.jobs.move(computed(), DEAD, back=COMPUTED, reason="http_403")
    desk.spool.temporary().write_bytes(b"half")
    orphan = desk.spool.new_result_folder()
    again = open_desk()
    House(again, retention_days=2, dead_days=30).open_up()
    assert not orphan.exists()
    assert list(again.spool.incoming.iterdir()) == []
    assert (again.spool.results / job.folder / "sr.dcm").exists()
    assert "http_403" in (again.folder / "dead" / "000001" / "reason.json").read_text()


def test_what_was_answered_as_failed_stays_as_long_as_what_was_given_up(desk, house, computed, clock):
    desk.jobs.move(computed(), COMMITTED, answer="crashed")
    clock.pass_s(29 * DAY)
    house.step()
    assert len(files(desk)) == 2
    clock.pass_s(2 * DAY)
    house.step()
    assert files(desk) == []
