"""What whoever watches the service is told."""

import json
import urllib.error
import urllib.request

import pytest
from mammo.pipeline.hospital.service.health import Health, HealthServer
from mammo.pipeline.hospital.service.messages import Ready, Trouble
from mammo.pipeline.hospital.service.states import SENT, STATES
from mammo.pipeline.hospital.service.worker import Worker


@pytest.fixture
def ask(desk):
    """Asks a service whose worker says this."""
    closers = []

    def one(path, said=None):
        worker = Worker(desk, lambda task: said)
        worker.step()
        server = HealthServer(Health(desk, worker), 0)
        closers.append(server.close)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}") as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    yield one
    for close in closers:
        close()


def test_ready_is_who_loaded_the_model_and_tested_it(ask):
    assert ask("/ready", Ready("model")) == (200, {"ready": True, "reason": None})
    assert ask("/ready", Trouble("RuntimeError", "work.py:1")) == (
        503,
        {"ready": False, "reason": "RuntimeError:work.py:1"},
    )


def test_health_counts_states_reasons_and_turnaround(ask, desk, computed, clock):
    for number in range(20):
        job = computed(f"1.2.{number}", f"r{number}")
        desk.jobs.move(job, SENT, sent=job.first + number)
    status, told = ask("/health", Ready("model"))
    assert status == 200
    assert told["jobs"] == {state: 20 if state == SENT else 0 for state in STATES}
    assert told["reasons"] == {"implant": 20}
    assert told["turnaround_s"] == {"jobs": 20, "p50": 10.0, "p95": 19.0}
    assert "1.2." not in json.dumps(told).replace("127.0.0.1", "")


def test_nothing_else_is_answered(ask):
    assert ask("/jobs.sqlite", Ready("model"))[0] == 404


def test_a_port_that_is_taken_is_named(desk):
    health = Health(desk, Worker(desk, lambda task: Ready("model")))
    server = HealthServer(health, 0)
    with pytest.raises(ValueError, match=f"--health_port {server.port} on 127.0.0.1"):
        HealthServer(health, server.port)
    server.close()
