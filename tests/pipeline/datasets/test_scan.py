"""Preparing in processes and on a cluster, and what kills a worker."""

import os
import shutil
import time
from pathlib import Path

import pytest
import torch
from joblib import parallel_config
from mammo.pipeline.datasets import PreparedDataset, scan
from mammo.pipeline.files import sweep, write_atomically
from mammo.transforms.errors import MammogramError
from monai.transforms import MapTransform


class Read(MapTransform):
    """Stands for a decoder: the file holds a number, or what happens when it is read."""

    def __call__(self, data):
        text = Path(data["image"]).read_text()
        if text == "crash":
            os.kill(os.getpid(), 9)
        if text == "hang":
            time.sleep(60)
        return {**data, "image": torch.full((1, 4, 4), float(text))}


@pytest.fixture
def records(tmp_path, record):
    made = []
    for n in range(8):
        path = tmp_path / f"i{n}.txt"
        path.write_text(str(n / 8))
        made.append(record(f"P{n}", f"i{n}") | {"image": str(path)})
    return made


def store_content(store):
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_processes_make_the_store_that_threads_make(records, tmp_path):
    threads = scan(records, [Read("image")], tmp_path / "threads", 2)
    processes = scan(records, [Read("image")], tmp_path / "processes", 2, processes=True)
    assert processes.usable == threads.usable == records
    assert store_content(tmp_path / "processes") == store_content(tmp_path / "threads")


@pytest.mark.parametrize(("harm", "reason", "workers"), [("crash", "crashed", 2), ("hang", "timed_out", 1)])
def test_a_file_that_kills_or_stops_its_process_is_set_aside_and_left_alone_by_threads(
    harm, reason, workers, records, tmp_path
):
    Path(records[3]["image"]).write_text(harm)
    seconds = 1 if harm == "hang" else 600  # to leave a core behind takes its time
    result = scan(records, [Read("image")], tmp_path / "store", workers, processes=True, timeout_s=seconds)
    assert [record["image_id"] for record in result.usable] == ["i0", "i1", "i2", "i4", "i5", "i6", "i7"]
    assert [(item["image_id"], item["reason"]) for item in result.quarantine] == [("i3", reason)]
    again = scan(records, [Read("image")], tmp_path / "store")
    assert [(item["image_id"], item["reason"]) for item in again.quarantine] == [("i3", reason)]
    assert again.computed == 0


def test_a_file_that_was_refused_is_tried_again_in_a_process(records, tmp_path):
    dataset = PreparedDataset(records, [Read("image")], tmp_path / "store")
    dataset.refuse(records[3], MammogramError("i3.txt", "timed_out", "took more than 1 seconds"))
    with pytest.raises(MammogramError, match="took more than 1 seconds"):
        dataset[3]
    assert scan(records, [Read("image")], tmp_path / "store", processes=True).usable == records
    assert dataset[3]["image"].shape == (1, 4, 4)


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_makes_the_same_store_and_survives_a_crash(records, tmp_path):
    distributed = pytest.importorskip("distributed")
    others = records[:3] + records[4:]
    scan(others, [Read("image")], tmp_path / "here")
    Path(records[3]["image"]).write_text("crash")
    with distributed.Client(n_workers=1, threads_per_worker=2, dashboard_address=None), parallel_config("dask"):
        result = scan(records, [Read("image")], tmp_path / "dask", 2, processes=True)
    assert result.usable == others
    assert [(item["image_id"], item["reason"]) for item in result.quarantine] == [("i3", "crashed")]
    shutil.rmtree(tmp_path / "dask" / "refused")
    assert store_content(tmp_path / "dask") == store_content(tmp_path / "here")


def test_what_a_dead_process_left_unfinished_is_swept_and_what_a_live_one_writes_is_not(tmp_path):
    write_atomically(tmp_path / "sub" / "whole", b"content")
    host = "@" + next(iter(_names(tmp_path)))
    dead = tmp_path / "sub" / f".whole.0-{_dead_process()}{host}.tmp"
    live = tmp_path / "sub" / f".whole.0-{os.getpid()}{host}.tmp"
    foreign = tmp_path / "sub" / ".whole.0-1@elsewhere.tmp"
    for path in (dead, live, foreign):
        path.write_bytes(b"half")
    assert sweep(tmp_path) == 1
    assert not dead.exists()
    assert live.exists()
    assert foreign.exists()
    os.utime(foreign, (0, 0))
    assert sweep(tmp_path) == 1
    assert (tmp_path / "sub" / "whole").read_bytes() == b"content"


def _names(folder):
    from mammo.pipeline import files

    yield files.temporary_name(folder / "x").name.rsplit("@")[-1].removesuffix(".tmp")


def _dead_process():
    process = os.fork()
    if process == 0:
        os._exit(0)
    os.waitpid(process, 0)
    return process
