import os
import threading

import pytest
from mammo.pipeline.files import write_atomically


def test_readers_never_meet_half_a_file(tmp_path):
    path = tmp_path / "entry"
    contents = {bytes([n]) * 100_000 for n in range(4)}
    write_atomically(path, next(iter(contents)))
    writers = [threading.Thread(target=write_atomically, args=(path, content)) for content in list(contents) * 5]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert path.read_bytes() in contents
    assert os.listdir(tmp_path) == ["entry"]


def test_an_interruption_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "entry", b"x")
    assert os.listdir(tmp_path) == []
