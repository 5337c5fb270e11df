"""The spool: whole files or none, the first of two, and names that come from no header."""

import os
import time

import pytest


def adopt(desk, content=b"image", study="s" * 32, image="i" * 32):
    temporary = desk.spool.temporary()
    temporary.write_bytes(content)
    return desk.spool.adopt(temporary, study, image)


def test_a_file_is_adopted_once_and_the_first_stays(desk):
    assert adopt(desk, b"first")
    assert not adopt(desk, b"second")
    assert desk.spool.path("s" * 32, "i" * 32).read_bytes() == b"first"
    assert list(desk.spool.incoming.iterdir()) == []


def test_a_file_is_on_disk_before_it_has_its_name(desk, monkeypatch):
    calls = []
    real_fsync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("sync"), real_fsync(handle))[1])
    monkeypatch.setattr(os, "replace", lambda *names: (calls.append("move"), real_replace(*names))[1])
    adopt(desk)
    assert calls.index("sync") < calls.index("move")
    assert calls[-1] == "sync"  # of the folder, after the move


def test_a_full_disk_leaves_nothing_under_the_name(desk, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        adopt(desk)
    assert not desk.spool.path("s" * 32, "i" * 32).exists()


def test_folders_are_for_their_owner_only(desk):
    adopt(desk)
    for folder in (desk.spool.images, desk.spool.incoming, desk.spool.results, desk.spool.images / ("s" * 32)):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_start_sweeps_what_no_job_knows(desk):
    known, unknown = desk.spool.new_result_folder(), desk.spool.new_result_folder()
    desk.spool.temporary().write_bytes(b"half")
    assert desk.spool.sweep({known.name}) == 2
    assert known.is_dir()
    assert not unknown.exists()


def test_while_studies_come_in_only_abandoned_files_are_swept(desk):
    fresh, old = desk.spool.temporary(), desk.spool.temporary()
    fresh.write_bytes(b"coming in")
    old.write_bytes(b"broken off")
    os.utime(old, (time.time() - 7200,) * 2)
    result = desk.spool.new_result_folder()
    assert desk.spool.sweep() == 1
    assert fresh.exists()
    assert result.is_dir()
