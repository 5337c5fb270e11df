"""The campaign itself: it sees what is lost, ends what it begins, and its page is the same whenever it is written."""

import random
import time
from pathlib import Path

import pytest
import torch
from mammo.benchmarks.faults import corrupt_cache
from mammo.benchmarks.faults.__main__ import KINDS
from mammo.benchmarks.faults.campaign import Ground, Tally
from mammo.benchmarks.faults.comparing import different_files, different_training, half_written, whole_results
from mammo.benchmarks.faults.damage import cut, flipped, pickle_with_code
from mammo.benchmarks.faults.kept import Kept
from mammo.benchmarks.faults.page import write_page
from mammo.benchmarks.faults.processes import Run, children, one_error, succeeded, until
from mammo.benchmarks.faults.small_disk import disk_size_kb
from mammo.pipeline.datasets import entry


def tally(tried=3, lost=()):
    return "kill_prepare", Tally("a case", "a promise", tried, list(lost))


@pytest.mark.parametrize(
    ("rows", "status"), [([tally()], 0), ([tally(), tally(lost=["a"])], 1), ([tally(tried=0)], 1), ([], 1)]
)
def test_what_is_lost_or_was_never_tried_makes_the_status(rows, status, capsys):
    assert write_page(rows, KINDS, None) == status
    assert len(capsys.readouterr().out.splitlines()) == 3 + len(rows)


def test_the_page_is_the_same_whenever_it_is_written(tmp_path):
    for name in ("one.md", "two.md"):
        write_page([tally(lost=["at 12:30 in /tmp/x"])], KINDS, tmp_path / name)
    text = (tmp_path / "one.md").read_text()
    assert text == (tmp_path / "two.md").read_text()
    assert "| 3 | 2 | 1 |" in text
    assert str(tmp_path) not in text


def test_tries_that_are_judged_together_are_lost_together():
    row = Tally("a case", "a promise")
    row.add([], 2)
    row.add(["something"], 3)
    assert (row.tried, row.survived, len(row.lost)) == (5, 2, 3)


def test_a_case_draws_the_same_whatever_ran_before():
    one, other = Ground(Path(), seed=1), Ground(Path(), seed=1)
    one.draw("another case").random()
    assert one.draw("case").random() == other.draw("case").random() != Ground(Path(), seed=2).draw("case").random()


def test_what_is_done_is_kept_and_what_was_lost_is_done_again(tmp_path):
    (_, whole), (_, lost) = tally(), tally(lost=["a"])
    kept = Kept(tmp_path / "kept.json", 0, False)
    kept.add("kill_prepare", [whole])
    kept.add("disk_full", [whole, lost])
    assert set(kept.done) == {"kill_prepare", "disk_full"}
    assert Kept(tmp_path / "kept.json", 0, False).done == {"kill_prepare": [whole]}
    with pytest.raises(ValueError, match="name another file"):
        Kept(tmp_path / "kept.json", 1, False)


def test_a_file_of_two_names_takes_its_space_once(tmp_path):
    (tmp_path / "one").write_bytes(bytes(4097))
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    (tmp_path / "three").write_bytes(b"x")
    assert disk_size_kb(tmp_path) == 8 + 4


def say(text, status):
    print(text)
    return status


@pytest.mark.parametrize(
    ("text", "status", "right"),
    [
        ("mammo: error: no space left", 1, True),
        ("mammo: error: something else", 1, False),
        ("mammo: error: no space left", 0, False),
        ("Traceback (most recent call last):\nmammo: error: no space left", 1, False),
        ("mammo: error: no space left\nmammo: error: no space left", 1, False),
    ],
)
def test_one_error_is_one_line_with_its_words_and_its_status(text, status, right, tmp_path):
    run = Run(lambda: say(text, status), tmp_path / "log.txt")
    assert (one_error(run, r"\bspace\b") == []) is right


def test_a_run_that_hangs_is_ended_with_all_that_it_started(tmp_path):
    def work():
        Run(lambda: time.sleep(60), tmp_path / "inner.txt")
        time.sleep(60)

    run = Run(work, tmp_path / "log.txt")
    assert until(lambda: children(run.pid), run)
    started = children(run.pid)
    assert "still at work" in one_error(run, limit_s=0.1)[0]
    deadline = time.monotonic() + 10  # what was killed still has to die
    while any(map(_runs, started)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(_runs, started))
    assert succeeded(run)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_bit_more_or_less_is_a_loss(tmp_path):
    for name in ("calm", "other"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "history.json").write_text("{}")
        for file in ("best.pt", "last.pt"):
            torch.save({"weights": torch.ones(3)}, tmp_path / name / "checkpoints" / file)
    assert different_training(tmp_path / "calm", tmp_path / "other") == []
    torch.save({"weights": torch.tensor([1, 1, 1 + 2**-23])}, tmp_path / "other/checkpoints/last.pt")
    (tmp_path / "other/checkpoints/.last.pt.0-1@host.tmp").touch()
    assert len(different_training(tmp_path / "calm", tmp_path / "other")) == 2
    assert different_files(tmp_path / "calm", tmp_path / "calm") == []
    assert len(different_files(tmp_path / "calm", tmp_path / "other")) == 2


def test_what_is_half_written_is_seen(tmp_path):
    (tmp_path / "history.json").write_text('{"train": [')
    torch.save({"weights": torch.ones(300)}, tmp_path / "last.pt")
    assert len(half_written(tmp_path)) == 1
    (tmp_path / "last.pt").write_bytes((tmp_path / "last.pt").read_bytes()[:700])
    assert len(half_written(tmp_path)) == 2
    assert whole_results(tmp_path) == ["no result.json"]


def test_damage_is_damage():
    content, draw = bytes(range(256)), random.Random(0)
    for _ in range(20):
        changed = flipped(content, draw)
        assert sum((one ^ other).bit_count() for one, other in zip(content, changed, strict=True)) == 1
        assert content.startswith(cut(content, draw))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.filterwarnings("ignore")
def test_code_in_a_checkpoint_would_be_seen_to_run(zipped, tmp_path):
    (tmp_path / "evil.pt").write_bytes(pickle_with_code(tmp_path / "executed", zipped=zipped))
    torch.load(tmp_path / "evil.pt", weights_only=False)
    assert (tmp_path / "executed").is_dir()


def test_a_reader_that_checks_nothing_would_lose(tmp_path, monkeypatch):
    whole = tmp_path / "whole.safetensors"
    whole.write_bytes(entry.encode({"image": torch.rand(1, 64, 64)}, {"maker": "A"}))
    ground, name = Ground(tmp_path), "a bit turned over"
    assert not corrupt_cache._read(ground, name, flipped, [whole], 40).lost
    told = entry._parse(entry.safe_open(whole, "numpy").metadata())[0]["xxh3_128"]
    monkeypatch.setattr(entry, "_checksum", lambda about, arrays: told)
    assert len(corrupt_cache._read(ground, name, flipped, [whole], 40).lost) > 20
