"""`kill -9` at random moments loses no study, and the PACS never holds two results of one job."""

import random
import threading
import time
from collections import Counter

import pydicom
import pytest

KILLS = 20
UNDER_WAY = 3
ENDS = {"committed", "same"}


class Arrivals(threading.Thread):
    """Studies come in all the time, so that some are always under way."""

    def __init__(self, pacs, front, study_files):
        super().__init__(daemon=True)
        self.pacs, self.front, self.study_files = pacs, front, study_files
        self.studies, self.stopped, self.errors = [], threading.Event(), []

    def run(self):
        try:
            while not self.stopped.wait(0.2):
                done = sum(len(self.pacs.results(study)) > 0 for study in self.studies)
                if len(self.studies) - done < UNDER_WAY:
                    self.bring()
        except Exception as error:
            self.errors.append(error)

    def bring(self):
        """A PACS that routes tries again until the service has taken all of a study."""
        study = self.pacs.push(self.study_files(f"{self.front}{len(self.studies)}"))
        while self.front == "dimse" and not self.pacs.route(study):
            time.sleep(0.2)
        self.studies.append(study)


def wait_for_lines(service, lines, seconds):
    """Until the service has said so many lines more, or a while has passed without."""
    end, wanted = time.monotonic() + seconds, len(service.said()) + lines
    while len(service.said()) < wanted and time.monotonic() < end:
        time.sleep(0.02)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("front", ["dicomweb", "dimse"])
def test_a_service_that_is_killed_again_and_again_loses_nothing(pacs, serve, study_files, wait_for, front):
    chance = random.Random(f"kills of {front}")
    service, arrivals, at = serve(front, seconds=0.7), Arrivals(pacs, front, study_files), Counter()
    arrivals.start()
    for _ in range(KILLS):
        starts = service.said().count("started")
        service.start()
        wait_for(lambda starts=starts: service.said().count("started") > starts, "the service to start")
        # By what it has done, not by the clock: a busy machine would be killed before it does anything.
        wait_for_lines(service, chance.randrange(12), 15)
        time.sleep(chance.uniform(0, 0.5))
        service.kill()
        at.update(set(service.states()) - ENDS)
        assert all(len(pacs.results(study)) <= 1 for study in list(arrivals.studies))
    service.start()
    arrivals.stopped.set()
    arrivals.join(60)
    assert not arrivals.errors
    wait_for(lambda: all(len(pacs.results(study)) == 1 for study in arrivals.studies), "every study to have its result")
    wait_for(lambda: set(service.states()) <= ENDS, "every job to end")
    assert service.states().count("committed") == len(arrivals.studies)
    service.stop()
    for uid, folder in service.rows("SELECT uid, folder FROM job WHERE state = 'committed'"):
        kept = pydicom.dcmread(service.folder / "results" / folder / "sr.dcm")
        (held,) = [ds for ds in pacs.results() if ds.StudyInstanceUID == uid]
        assert held == kept  # what the PACS took first is what any later attempt sent
    print(f"{front}: {len(arrivals.studies)} studies; in how many kills a job was {dict(at)}")
    assert at["running"] >= 3  # else this tested nothing
    assert sum(at.values()) >= KILLS
