"""From settled studies to queued ones, with images fetched or not."""

import pytest
from mammo.pipeline.hospital.service.arrivals import Address
from mammo.pipeline.hospital.service.collector import Collector
from mammo.pipeline.hospital.service.figures import figures
from mammo.pipeline.hospital.service.incoming import InstanceError
from mammo.pipeline.hospital.service.retry import PacsError
from mammo.pipeline.hospital.service.states import DEAD, FAILED, QUEUED, QUIET, RECEIVED

IMAGES = {f"{n:032x}": Address("1.2.3.5", f"1.2.3.{n}") for n in (1, 2, 3)}


@pytest.fixture
def collect(desk, arrivals, clock):
    """Lists three images and collects them with a given way to fetch."""

    def one(fetch):
        if not desk.jobs.counts():
            arrivals.listed("s" * 32, "1.2.3", IMAGES)
        clock.pass_s(61)
        Collector(desk, lambda: arrivals, quiet_s=60, max_wait_s=600, fetch=fetch).step()
        return desk.jobs.table.jobs("1 = 1")[0]

    return one


def test_each_image_is_fetched_once(collect):
    fetched = []
    job = collect(lambda job, image, address: fetched.append((job.uid, image, address)))
    assert job.state == QUEUED
    assert fetched == [("1.2.3", *image) for image in IMAGES.items()]


def test_what_was_fetched_before_the_pacs_failed_is_not_fetched_again(desk, collect):
    fetched = []

    def fetch(job, image, address):
        if len(fetched) == 2:
            raise PacsError("http_503", passes=True)
        fetched.append(image)

    job = collect(fetch)
    assert (job.state, job.back, job.attempts) == (FAILED, QUIET, 0)
    again = []
    assert collect(lambda job, image, address: again.append(image)).state == QUEUED
    assert sorted(fetched + again) == sorted(IMAGES)


def test_an_image_that_is_refused_does_not_stop_the_others(desk, collect):
    def fetch(job, image, address):
        if image == min(IMAGES):
            raise InstanceError("deflated")

    job = collect(fetch)
    assert job.state == QUEUED
    assert len(desk.jobs.images(job)) == 2
    assert figures(desk.jobs.table)["reasons"] == {"deflated": 1}


def test_a_study_without_any_image_left_is_given_up_with_the_reason(desk, collect):
    def fetch(job, image, address):
        raise InstanceError("deflated")

    job = collect(fetch)
    assert (job.state, job.reason) == (DEAD, "deflated")
    assert (desk.folder / "dead" / "000001" / "reason.json").is_file()


def test_an_image_that_the_pacs_will_not_give_is_given_up_at_last(desk, collect):
    def fetch(job, image, address):
        raise PacsError("http_404")

    states = [collect(fetch).state for _ in range(4)]
    assert states == [FAILED, FAILED, FAILED, DEAD]


def test_an_image_that_the_pacs_never_gives_does_not_keep_the_study_from_an_answer(desk, collect):
    fetched = []

    def fetch(job, image, address):
        if image == min(IMAGES):
            raise PacsError("http_404")
        fetched.append(image)

    states = [collect(fetch).state for _ in range(4)]
    assert states == [FAILED, FAILED, FAILED, QUEUED]
    assert fetched == sorted(IMAGES)[1:]  # at the first attempt, and once
    job = desk.jobs.table.jobs("1 = 1")[0]
    assert (len(desk.jobs.images(job)), desk.jobs.refusals(job)) == (2, ["http_404"])


def test_what_was_given_up_is_asked_for_again_by_retry(desk, collect):
    def fetch(job, image, address):
        raise InstanceError("too_large")

    assert collect(fetch).state == DEAD
    assert desk.jobs.retry() == 1
    assert collect(lambda *_: None).state == QUEUED
    assert len(desk.jobs.images(desk.jobs.table.jobs("1 = 1")[0])) == 3


def test_nothing_settles_before_the_model_is_known(desk, receive, clock):
    receive()
    clock.pass_s(1000)
    assert not Collector(desk, lambda: None, quiet_s=60, max_wait_s=600).step()
    assert desk.jobs.counts() == {RECEIVED: 1}


def test_a_full_disk_is_waited_for_and_a_defect_is_given_up(desk, collect):
    def full(job, image, address):
        raise OSError(28, "No space left on device")

    job = collect(full)
    assert (job.state, job.attempts, job.reason) == (FAILED, 0, "OSError")

    def defect(job, image, address):
        raise KeyError(image)

    assert [collect(defect).state for _ in range(12)][-1] == DEAD
