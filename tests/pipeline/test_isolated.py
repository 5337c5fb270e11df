"""Work in processes of its own: order, losses, errors, and no process left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from joblib import Parallel, delayed
from mammo.pipeline import isolated
from mammo.pipeline.isolated import Lost, call_isolated, pack


def map_isolated(function, items, workers, timeout_s=None):
    """As a scan calls it: threads, each with its process."""
    pool = Parallel(n_jobs=workers, prefer="threads", return_as="generator")
    packed = pack(function)
    return pool(delayed(call_isolated)(packed, item, timeout_s) for item in items)


def test_results_come_in_the_order_of_the_items():
    def wait_less_and_less(item):
        time.sleep((5 - item) / 20)
        return item * item

    assert list(map_isolated(wait_less_and_less, range(6), 3)) == [0, 1, 4, 9, 16, 25]


def test_the_loss_of_a_process_costs_its_item_and_says_of_what_it_died():
    def work(item):
        if item == 1:
            os.kill(os.getpid(), signal.SIGSEGV)
        if item == 3:
            os._exit(7)
        return item

    results = list(map_isolated(work, range(5), 2))
    assert [result for result in results if not isinstance(result, Lost)] == [0, 2, 4]
    assert results[1] == Lost(False, "its process died (SIGSEGV)")
    assert results[3] == Lost(False, "its process died (exit status 7)")


def test_every_process_may_be_late_at_once():
    started = time.monotonic()
    results = list(map_isolated(lambda item: time.sleep(60), range(4), 4, timeout_s=1))
    assert results == [Lost(True, "took more than 1 seconds")] * 4
    assert time.monotonic() - started < 30


def test_an_error_of_the_function_reaches_the_caller_with_its_place():
    def fail(item):
        raise KeyError(f"item {item}")

    with pytest.raises(KeyError, match=r"item [01]") as caught:
        list(map_isolated(fail, range(3), 2))
    assert "in fail" in str(caught.value.__cause__)


def test_what_cannot_be_sent_is_named():
    with pytest.raises(TypeError, match="lock cannot be sent"):
        list(map_isolated(lambda item: threading.Lock(), [0], 1))


def test_a_process_that_cannot_begin_is_an_error_and_not_tried_for_ever():
    class Bomb:
        def __reduce__(self):
            return os._exit, (3,)

    with pytest.raises(ChildProcessError, match=r"could not begin \(exit status 3\)"):
        list(map_isolated(Bomb(), [0, 1], 2))


def test_a_process_serves_until_its_thread_ends():
    packed = pack(lambda item: os.getpid())
    served = []
    thread = threading.Thread(target=lambda: served.extend(call_isolated(packed, item) for item in range(3)))
    thread.start()
    thread.join()
    assert len(set(served)) == 1
    assert not _lives(served[0])


def test_another_function_gets_another_process():
    first = call_isolated(pack(lambda item: (os.getpid(), item)), 1)
    second = call_isolated(pack(lambda item: (os.getpid(), -item)), 1)
    assert first[1] == -second[1]
    assert first[0] != second[0]
    assert not _lives(first[0])


def test_a_process_that_went_while_idle_is_replaced():
    packed = pack(lambda item: os.getpid())
    first = call_isolated(packed, 0)
    os.kill(first, signal.SIGKILL)
    time.sleep(0.2)
    assert call_isolated(packed, 0) not in (first, None)


def test_an_idle_process_goes_by_itself():
    def work(item):
        from mammo.pipeline import isolated

        isolated._IDLE_S = 0.1
        return os.getpid()

    packed = pack(work)
    first = call_isolated(packed, 0)
    deadline = time.monotonic() + 10
    while _lives(first) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _lives(first)
    second = call_isolated(packed, 0)
    assert second != first
    assert not _lives(first)


def test_what_an_interrupted_call_was_about_to_answer_is_nobodys(monkeypatch):
    def work(item):
        if item == "slow":
            time.sleep(1)
        return item

    packed = pack(work)
    assert call_isolated(packed, "first") == "first"

    ours = isolated._here.worker.connection

    def interrupted(timeout_s):
        raise KeyboardInterrupt

    monkeypatch.setattr(isolated._here.worker, "connection", SimpleNamespace(send=ours.send, poll=interrupted))
    with pytest.raises(KeyboardInterrupt):
        call_isolated(packed, "slow")
    assert call_isolated(packed, "second") == "second"


def test_processes_end_when_their_caller_is_killed():
    script = (
        "import os\n"
        "from mammo.pipeline.isolated import call_isolated, pack\n"
        "print(call_isolated(pack(lambda item: os.getpid()), 0), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    printed = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True).stdout
    deadline = time.monotonic() + 30
    while _lives(int(printed)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _lives(int(printed))


def _lives(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_interrupted_at_the_start_it_ends_at_once_and_says_nothing():
    """The process that others are forked from imports for seconds what this one then no longer wants."""
    program = (
        "import mammo.transforms, time, threading, os, signal\n"
        "from mammo.pipeline.isolated import call_isolated, pack\n"
        "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "try:\n    call_isolated(pack(time.sleep), 60)\n"
        "except KeyboardInterrupt:\n    from mammo.pipeline import isolated\n"
        "    end = isolated._mothers[0].end\n    process = end.peek()[2][1]\n    end()\n"
        "    print(process.returncode == -signal.SIGTERM)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert ended.stdout == "True\n", "it went on importing"
    assert "Traceback" not in ended.stderr
