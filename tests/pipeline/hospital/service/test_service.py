"""The parts together, in one process, with a PACS that is a list."""

import signal
import threading
import time

import pytest
from mammo.pipeline.hospital.service import service as module
from mammo.pipeline.hospital.service.messages import Answer, Ready, Trouble
from mammo.pipeline.hospital.service.service import Front, Service, open_desk
from mammo.pipeline.hospital.service.settings import Settings


class FakePacs:
    confirms = True

    def __init__(self):
        self.got = []

    def send(self, paths):
        self.got += [path.read_bytes() for path in paths]

    def confirm(self, paths, ticket):
        return True


@pytest.fixture
def settings(tmp_path):
    return Settings(folder=tmp_path / "service", checkpoint=tmp_path, quiet_s=0.1, first_wait_s=0.1)


@pytest.fixture
def handlers(monkeypatch):
    """What the service does with signals, instead of to this process; libraries' logs stay as they are."""
    found = {}
    monkeypatch.setattr(signal, "signal", lambda number, handler: found.update({number: handler}))
    monkeypatch.setattr(module, "quiet_libraries", lambda log: None)
    return found


def honest(task):
    if task is None:
        return Ready("model")
    with open(f"{task.folder}/sr.dcm", "w") as file:
        file.write("result")
    return Answer("result", "analysed")


def test_a_folder_is_for_one_service(settings):
    with open_desk(settings), pytest.raises(ValueError, match="in use by another service"), open_desk(settings):
        pass
    with open_desk(settings):
        pass


def test_a_study_goes_all_the_way_and_a_stop_ends_everything(settings, handlers, monkeypatch):
    pacs, closed = FakePacs(), []
    with open_desk(settings) as desk:
        service = Service(desk, settings, honest, pacs)

        def arrive():
            while service.arrivals() is None:
                time.sleep(0.05)
            temporary = desk.spool.temporary()
            temporary.write_bytes(b"image")
            keys = desk.names.study("1.2.3"), desk.names.instance("1.2.3.4")
            desk.spool.adopt(temporary, *keys)
            service.arrivals().received(*keys, uid="1.2.3", instance="1.2.3.4", patient="p")
            while desk.jobs.counts() != {"committed": 1}:
                time.sleep(0.05)
            handlers[signal.SIGTERM]()

        def broken():
            raise KeyError("a step that fails costs a pause, and no other step")

        front = Front({"broken": broken}, open=lambda: lambda: closed.append(True))
        threading.Thread(target=arrive, daemon=True).start()
        service.run(front)
        assert desk.jobs.counts() == {"committed": 1}
        assert pacs.got == [b"result"]
        assert closed == [True]
        events = [
            line.split('"event": "')[1].split('"')[0] for line in (desk.folder / "log.jsonl").read_text().splitlines()
        ]
    assert events[0] == "started"
    assert events[-1] == "stopped"
    assert "step_failed" in events


def test_settings_without_a_model_end_the_service_with_what_is_wrong(settings, handlers):
    with open_desk(settings) as desk:
        service = Service(desk, settings, lambda task: Trouble("ValueError", "x.py:1", "no such model"), FakePacs())
        with pytest.raises(ValueError, match="no such model"):
            service.run(Front({}))
        assert "no such model" not in (desk.folder / "log.jsonl").read_text()


def test_a_front_that_cannot_open_ends_the_service_before_it_begins(settings, handlers):
    def open_nothing():
        raise ValueError("cannot listen")

    with open_desk(settings) as desk, pytest.raises(ValueError, match="cannot listen"):
        Service(desk, settings, honest, FakePacs()).run(Front({}, open=open_nothing))
