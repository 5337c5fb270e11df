"""Jobs: the same images are done once, a late one makes a new job, and a failure waits longer each time."""

import sqlite3

import pytest
from mammo.pipeline.hospital.service.arrivals import Arrivals
from mammo.pipeline.hospital.service.states import (
    COMPUTED,
    DEAD,
    ENDS,
    FAILED,
    KEPT,
    QUEUED,
    QUIET,
    RECEIVED,
    SAME,
    SENT,
    STATES,
)
from mammo.pipeline.hospital.service.table import Table


def settle(arrivals, clock, seconds=61):
    clock.pass_s(seconds)
    return arrivals.settle(60, 600)


def test_ends_are_states():
    assert set(ENDS) < set(STATES)


def test_a_study_settles_when_nothing_came_for_a_while(arrivals, receive, clock):
    receive(instance="1.2.3.1")
    clock.pass_s(59)
    receive(instance="1.2.3.2")
    assert settle(arrivals, clock, 59) == []
    (job,) = settle(arrivals, clock, 1)
    assert job.state == QUIET


def test_a_study_that_never_ends_is_not_waited_for(arrivals, receive, clock):
    for number in range(11):
        receive(instance=f"1.2.3.{number + 1}")
        clock.pass_s(59)
    assert [job.state for job in arrivals.settle(60, 600)] == [QUIET]


def test_the_same_images_again_are_the_same_job_whatever_their_order(desk, arrivals, receive, clock):
    for number in (1, 2, 3):
        assert receive(instance=f"1.2.3.{number}")
    (first,) = settle(arrivals, clock)
    for number in (3, 1, 2):
        assert not receive(instance=f"1.2.3.{number}")
    (again,) = settle(arrivals, clock)
    assert (first.state, again.state) == (QUIET, SAME)


def test_a_part_of_the_images_sent_again_is_the_same_job(arrivals, receive, clock):
    receive(instance="1.2.3.1")
    receive(instance="1.2.3.2")
    settle(arrivals, clock)
    receive(instance="1.2.3.2")
    assert [job.state for job in settle(arrivals, clock)] == [SAME]


def test_a_late_image_is_a_new_job_with_all_images(desk, arrivals, receive, clock):
    receive(instance="1.2.3.1")
    (first,) = settle(arrivals, clock)
    receive(instance="1.2.3.2")
    (second,) = settle(arrivals, clock)
    assert second.state == QUIET
    assert second.identity != first.identity
    assert set(desk.jobs.images(second)) == {desk.names.instance("1.2.3.1"), desk.names.instance("1.2.3.2")}
    assert desk.jobs.images(first) == [desk.names.instance("1.2.3.1")]


def test_another_model_is_another_job(desk, arrivals, receive, clock):
    receive()
    settle(arrivals, clock)
    receive()
    clock.pass_s(61)
    (job,) = Arrivals(desk.jobs.table, "newer model", clock=clock).settle(60, 600)
    assert job.state == QUIET


def test_two_studies_do_not_mix(desk, arrivals, receive, clock):
    receive("1.2.3", "1.2.3.1")
    receive("1.2.4", "1.2.4.1")
    jobs = settle(arrivals, clock)
    assert [len(desk.jobs.images(job)) for job in jobs] == [1, 1]
    assert len({job.study for job in jobs}) == 2


def test_sending_again_what_was_given_up_tries_it_again(desk, arrivals, receive, clock):
    receive()
    (job,) = settle(arrivals, clock)
    desk.jobs.move(job, DEAD, back=QUEUED, reason="crashed", attempts=3)
    receive()
    settle(arrivals, clock)
    (job,) = desk.jobs.table.jobs("number = ?", job.number)
    assert (job.state, job.attempts, job.reason) == (QUEUED, 0, "")


def test_what_shadow_mode_kept_is_sent_when_it_is_sent_again_without(desk, receive, clock):
    shadow = Arrivals(desk.jobs.table, "model", clock=clock)
    receive()
    (job,) = settle(shadow, clock)
    desk.jobs.move(job, KEPT, back=COMPUTED)
    receive()
    settle(shadow, clock)
    assert desk.jobs.next(KEPT).number == job.number
    receive()
    settle(Arrivals(desk.jobs.table, "model", revived=(DEAD, KEPT), clock=clock), clock)
    assert desk.jobs.next(COMPUTED).number == job.number


def test_failures_wait_longer_each_time_and_end_in_death(desk, queued, clock):
    waits = []
    job = queued()
    while job.state != DEAD:
        job = desk.jobs.fail(
            desk.jobs.move(job, COMPUTED, attempts=job.attempts, waits=job.waits), COMPUTED, "http_500"
        )
        waits.append(job.due - clock())
    assert waits[:-1] == [10.0, 20.0, 40.0]
    assert (job.attempts, job.back, job.reason) == (4, COMPUTED, "http_500")


def test_a_pacs_that_is_down_is_waited_for_without_end(desk, queued, clock):
    job = queued()
    for _ in range(50):
        job = desk.jobs.fail(job, COMPUTED, "pacs_unreachable", counts=False)
        assert job.state == FAILED
        assert job.due - clock() <= 80.0
    assert desk.jobs.fail(job, COMPUTED, "http_500").state == FAILED  # only its first that counts


def test_a_failed_job_comes_back_when_its_time_has_come(desk, queued, clock):
    job = desk.jobs.fail(queued(), COMPUTED, "http_500")
    clock.pass_s(9.9)
    desk.jobs.wake()
    assert desk.jobs.next(FAILED) is not None
    clock.pass_s(0.2)
    desk.jobs.wake()
    assert desk.jobs.next(COMPUTED).attempts == job.attempts == 1


def test_what_was_running_runs_again_behind_the_others_after_a_restart(desk, open_desk, queued, clock):
    first = queued("1.2.3")
    desk.jobs.start()
    clock.pass_s(1)
    second = queued("1.2.4")
    clock.pass_s(1)
    again = open_desk()
    assert again.jobs.recover() == 1
    assert [again.jobs.start().number for _ in range(2)] == [second.number, first.number]
    assert again.jobs.start() is None


def test_after_a_crash_the_pacs_is_asked_anew_about_what_it_was_asked(computed, clock, open_desk, desk):
    kept, sent = (
        desk.jobs.move(computed(study, study), SENT, due=due) for study, due in (("1.2.3", 0.0), ("1.2.4", 1.0))
    )
    desk.jobs.ask(sent, "2.25.7", clock() + 600)
    assert desk.jobs.asked_about() is None
    again = open_desk()
    again.jobs.recover()
    assert again.jobs.asked_about().number == sent.number
    assert [job.due for job in again.jobs.table.jobs("number = ?", kept.number)] == [0.0]  # a PACS that is not asked


def test_a_second_job_with_an_equal_result_has_nothing_to_send(desk, computed, queued):
    computed(result="equal")
    queued("1.2.5")
    job = desk.jobs.computed(desk.jobs.start(), "folder", "equal", "analysed", "")
    assert job.state == SAME


def test_retry_takes_what_was_given_up_and_nothing_else(desk, queued):
    dead, other = queued("1.2.3"), queued("1.2.4")
    dead = desk.jobs.move(dead, DEAD, back=QUEUED)
    assert desk.jobs.retry(other.number) == 0
    assert desk.jobs.retry() == 1
    assert desk.jobs.counts() == {QUEUED: 2}


def test_images_of_a_listing_are_wanted_until_they_arrive(desk, arrivals, clock):
    from mammo.pipeline.hospital.service.arrivals import Address

    images = {f"{n:032x}": Address("1.2.3.5", f"1.2.3.{n}") for n in (1, 2, 3)}
    assert arrivals.listed("s" * 32, "1.2.3", images)
    (job,) = settle(arrivals, clock)
    assert dict(desk.jobs.wanted(job)) == images
    desk.jobs.arrived(f"{1:032x}")
    desk.jobs.refused(f"{2:032x}", "deflated")
    assert [key for key, _ in desk.jobs.wanted(job)] == [f"{3:032x}"]
    assert desk.jobs.images(job) == [f"{1:032x}"]
    assert desk.jobs.refusals(job) == ["deflated"]


def test_a_listing_that_changes_starts_the_wait_anew_and_one_that_was_done_is_done(desk, arrivals, clock):
    from mammo.pipeline.hospital.service.arrivals import Address

    images = {f"{n:032x}": Address("1.2.3.5", f"1.2.3.{n}") for n in (1, 2)}
    arrivals.listed("s" * 32, "1.2.3", {key: images[key] for key in list(images)[:1]})
    clock.pass_s(59)
    arrivals.listed("s" * 32, "1.2.3", images)
    assert settle(arrivals, clock, 30) == []
    assert arrivals.listed("s" * 32, "1.2.3", images)
    (job,) = settle(arrivals, clock, 31)
    assert len(desk.jobs.wanted(job)) == 2
    assert not arrivals.listed("s" * 32, "1.2.3", images)
    newer = Arrivals(desk.jobs.table, "newer model", clock=clock)
    assert not newer.listed("s" * 32, "1.2.3", images)  # an update of the model is no reason to do everything again


def test_an_image_that_was_taken_away_makes_a_new_job_and_back_again_none_without_end(desk, arrivals, clock):
    from mammo.pipeline.hospital.service.arrivals import Address

    both = {f"{n:032x}": Address("1.2.3.5", f"1.2.3.{n}") for n in (1, 2)}
    one = {key: both[key] for key in list(both)[:1]}
    states = []
    for listing in (one, both, one, one, one):
        arrivals.listed("s" * 32, "1.2.3", listing)
        states += [job.state for job in settle(arrivals, clock)]
    assert states == [QUIET, QUIET, SAME]


def test_only_one_job_of_a_study_is_open(arrivals, receive, desk):
    receive(instance="1.2.3.1")
    with pytest.raises(sqlite3.IntegrityError), desk.jobs.table.transaction() as db:
        db.execute(
            "INSERT INTO job(study, uid, state, first, last, changed) SELECT study, uid, state, 0, 0, 0 FROM job"
        )
    assert desk.jobs.counts() == {RECEIVED: 1}


def test_half_a_transaction_is_none(desk, queued):
    job = queued()

    def half():
        with desk.jobs.table.transaction():
            desk.jobs.move(job, COMPUTED)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert desk.jobs.counts() == {QUEUED: 1}


def test_the_table_is_for_its_owner_and_of_this_version(tmp_path):
    path = tmp_path / "jobs.sqlite"
    Table(path).close()
    assert path.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ValueError, match="version 99"):
        Table(path)


def test_every_transaction_is_on_disk_before_it_returns(desk):
    (mode,), (synchronous,) = (desk.jobs.table.rows(f"PRAGMA {name}")[0] for name in ("journal_mode", "synchronous"))
    assert (mode, synchronous) == ("wal", 2)
