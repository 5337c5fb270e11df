"""A folder belongs to one process at a time, and to nobody once that process is gone."""

import multiprocessing
import os
import signal
import time

import pytest
from mammo.pipeline.sole_owner import _held, sole_owner

FORK = multiprocessing.get_context("fork")


def hold(folder, ready, orphan):
    with sole_owner(folder, "--output_dir"):
        FORK.Process(target=live, args=(ready, orphan)).start()
        time.sleep(60)


def live(ready, orphan):
    """A child that has begun, and so let go of what its parent owns."""
    orphan.value = os.getpid()
    ready.set()
    time.sleep(60)


@pytest.fixture
def other(tmp_path):
    """Another process that owns a folder and has a child, and the number of the child."""
    ready, orphan = FORK.Event(), FORK.Value("i", 0)
    process = FORK.Process(target=hold, args=(tmp_path / "run", ready, orphan))
    process.start()
    assert ready.wait(30)
    yield process
    process.kill()
    process.join()
    os.kill(orphan.value, signal.SIGKILL)


def test_another_process_is_refused_until_the_first_is_killed_though_its_child_lives(tmp_path, other):
    with (
        pytest.raises(ValueError, match=r"another run is at work in .*run; .* give another --output_dir"),
        sole_owner(tmp_path / "run", "--output_dir"),
    ):
        pass
    other.kill()
    other.join()
    with sole_owner(tmp_path / "run", "--output_dir"):
        assert list((tmp_path / "run").iterdir()) == []


def test_the_owner_may_take_it_again_and_an_inner_end_does_not_give_it_away(tmp_path):
    with sole_owner(tmp_path, "OUT"):
        with sole_owner(tmp_path / "." / "", "OUT"):
            pass
        refused = FORK.Process(target=_expect_refusal, args=(tmp_path,))
        refused.start()
        refused.join()
        assert refused.exitcode == 0


def test_of_a_torchrun_the_first_process_owns_for_all(tmp_path, other, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with sole_owner(tmp_path / "run", "--output_dir"):
        assert not _held


def _expect_refusal(folder):
    with pytest.raises(ValueError, match="another run"), sole_owner(folder, "OUT"):
        pass
