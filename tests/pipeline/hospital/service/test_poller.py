"""The poller sees what is new in a PACS, asks no more than it must, and bears a PACS that is down."""

from itertools import pairwise

import pytest
from mammo.pipeline.hospital.service.dicomweb import Fetcher, Poller
from mammo.pipeline.hospital.service.incoming import InstanceError
from mammo.pipeline.hospital.service.retry import PacsError
from mammo.pipeline.hospital.service.states import QUIET, RECEIVED

FILTERS = {"ModalitiesInStudy": "MG"}


class FakePacs:
    """Studies as DICOM JSON; counts what it is asked."""

    def __init__(self):
        self.held, self.asked, self.filters, self.down, self.count = {}, [], None, None, True

    def add(self, study, instance, sop_class, manufacturer="vendor", description="R CC"):
        row = {"0020000E": f"{study}.5", "00080018": instance, "00080016": sop_class}
        row |= {"00080070": manufacturer, "0008103E": description}
        self.held.setdefault(study, []).append({tag: {"vr": "UI", "Value": [value]} for tag, value in row.items()})

    def studies(self, filters):
        self.filters = filters
        if self.down:
            raise self.down
        rows = [
            {"0020000D": {"Value": [study]}, "00201208": {"Value": [len(held)]}} for study, held in self.held.items()
        ]
        return rows if self.count else [{"0020000D": row["0020000D"]} for row in rows]

    def instances(self, study):
        self.asked.append(study)
        return self.held[study]

    def fetch(self, study, series, instance, path):
        path.write_bytes(self.files[instance])


@pytest.fixture
def pacs():
    return FakePacs()


@pytest.fixture
def poll(desk, arrivals, pacs, clock):
    poller = Poller(desk, lambda: arrivals, pacs, filters=FILTERS, poll_s=15, clock=clock)

    def one(seconds=15):
        clock.pass_s(seconds)
        poller.step()

    one.poller = poller
    return one


def test_mammograms_are_listed_and_our_own_results_are_not(desk, pacs, poll, make):
    pacs.add("1.2.3", "1.2.3.1", make.mammogram)
    pacs.add("1.2.3", "1.2.3.2", make.report)
    pacs.add("1.2.3", "1.2.3.3", make.mammogram, manufacturer="mammo", description="AI something")
    pacs.add("1.2.4", "1.2.4.1", make.report)
    poll()
    (job,) = desk.jobs.table.jobs("1 = 1")
    assert (job.state, job.uid) == (RECEIVED, "1.2.3")
    assert [address.instance for _, address in desk.jobs.wanted(job)] == ["1.2.3.1"]


def test_a_result_that_comes_back_starts_nothing(desk, pacs, poll, arrivals, clock, make):
    pacs.add("1.2.3", "1.2.3.1", make.mammogram)
    poll()
    clock.pass_s(60)
    arrivals.settle(60, 600)
    pacs.add("1.2.3", "2.25.1", make.report, "mammo", "AI structured report - research use only")
    poll()
    poll()
    assert desk.jobs.counts() == {QUIET: 1}


def test_a_study_that_does_not_change_is_not_asked_about_again(pacs, poll, arrivals, clock, make):
    pacs.add("1.2.3", "1.2.3.1", make.mammogram)
    poll()
    clock.pass_s(60)
    arrivals.settle(60, 600)
    poll()
    asked = len(pacs.asked)
    for _ in range(10):
        poll()
    assert len(pacs.asked) == asked
    pacs.count = False  # a PACS that does not count is asked each time
    poll()
    poll()
    assert len(pacs.asked) == asked + 2


def test_an_image_that_took_the_place_of_another_is_seen_within_an_hour(desk, pacs, poll, arrivals, clock, make):
    pacs.add("1.2.3", "1.2.3.1", make.mammogram)
    poll()
    clock.pass_s(60)
    arrivals.settle(60, 600)
    pacs.held.clear()
    pacs.add("1.2.3", "1.2.3.2", make.mammogram)
    for _ in range(3600 // 15 + 1):
        poll()
    assert desk.jobs.counts() == {QUIET: 1, RECEIVED: 1}


def test_it_asks_within_its_window_and_filters(pacs, poll, desk, arrivals, clock):
    from datetime import datetime, timedelta

    poll()
    today = datetime.fromtimestamp(clock()).date()
    first, last = (f"{today + timedelta(days=days):%Y%m%d}" for days in (-2, 1))
    assert pacs.filters == {"StudyDate": f"{first}-{last}", "ModalitiesInStudy": "MG"}
    Poller(desk, lambda: arrivals, pacs, filters={"StudyDate": "20260105"}, clock=clock).step()
    assert pacs.filters == {"StudyDate": "20260105"}
    Poller(desk, lambda: arrivals, pacs, filters=FILTERS, look_back_days=None, clock=clock).step()
    assert pacs.filters == FILTERS


def test_a_pacs_that_is_down_is_asked_less_and_less_often_and_then_all_is_seen(desk, pacs, poll, clock, make):
    pacs.down = PacsError("pacs_unreachable", passes=True)
    pacs.add("1.2.3", "1.2.3.1", make.mammogram)
    times = []
    for _ in range(600):
        pacs.filters = None
        poll(1)
        if pacs.filters:
            times.append(clock())
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps[:3] == [15, 30, 60]
    assert max(gaps) == 80  # the longest wait of the fixture
    pacs.down = None
    poll(80)
    assert desk.jobs.counts() == {RECEIVED: 1}


def test_a_study_that_cannot_be_listed_holds_up_no_other_and_is_asked_for_again(desk, pacs, poll, make):
    for study in ("1.2.1", "1.2.2", "1.2.3"):
        pacs.add(study, f"{study}.1", make.mammogram)
    whole = pacs.instances

    def instances(study):
        if study == "1.2.1":
            pacs.asked.append(study)
            raise PacsError("http_500")
        return whole(study)

    pacs.instances = instances
    poll()
    assert desk.jobs.counts() == {RECEIVED: 2}
    poll()  # and no longer a wait for all of them
    pacs.instances = whole
    poll()
    assert desk.jobs.counts() == {RECEIVED: 3}
    assert pacs.asked.count("1.2.1") == 3


def test_an_address_that_is_no_uid_is_never_asked_for(desk, pacs, poll, make):
    pacs.add("../../system", "1.2.3.1", make.mammogram)
    pacs.add("1.2.3", "../x", make.mammogram)
    poll()
    assert pacs.asked == ["1.2.3"]
    assert desk.jobs.counts() == {}


@pytest.fixture
def fetch(desk, arrivals, pacs, clock, make, tmp_path):
    """Fetches one listed image, of which the PACS gives the file that is written with these options."""

    def one(**options):
        pacs.files = {"1.2.3.1": make.write(tmp_path / "f", **{"instance": "1.2.3.1", **options}).read_bytes()}
        pacs.add("1.2.3", "1.2.3.1", make.mammogram)
        Poller(desk, lambda: arrivals, pacs, filters=FILTERS, clock=clock).step()
        clock.pass_s(100)
        (job,) = arrivals.settle(60, 600)
        ((image, address),) = desk.jobs.wanted(job)
        Fetcher(desk, pacs)(job, image, address)
        return desk.spool.path(job.study, image)

    return one


def test_what_is_fetched_is_in_the_spool_byte_by_byte(fetch, pacs, desk):
    assert fetch().read_bytes() == pacs.files["1.2.3.1"]
    assert list(desk.spool.incoming.iterdir()) == []
    assert desk.jobs.table.jobs("1 = 1")[0].patient == desk.names.patient("SECRET-ID")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"instance": "1.2.3.2"}, "not_what_was_listed"),
        ({"study": "1.2.4"}, "not_what_was_listed"),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.88.34"}, "not_a_mammogram"),
        ({"Manufacturer": "mammo", "SeriesDescription": "AI x"}, "not_a_mammogram"),
    ],
)
def test_what_is_not_what_was_listed_is_refused(fetch, desk, options, reason):
    with pytest.raises(InstanceError) as caught:
        fetch(**options)
    assert caught.value.reason == reason
    assert list(desk.spool.incoming.iterdir()) == []


def test_a_deflated_image_is_refused_and_leaves_nothing(fetch, pacs, desk, make, tmp_path):
    ds = make.dicom(instance="1.2.3.1")
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    ds.save_as(tmp_path / "deflated", enforce_file_format=True)
    pacs.fetch = lambda study, series, instance, path: path.write_bytes((tmp_path / "deflated").read_bytes())
    with pytest.raises(InstanceError, match="deflated"):
        fetch()
    assert list(desk.spool.incoming.iterdir()) == []
