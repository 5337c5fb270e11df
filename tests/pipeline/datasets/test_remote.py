"""Images at URLs: fsspec's file system in memory stands for an archive elsewhere."""

import fsspec
import pytest
import torch
from mammo.pipeline.datasets import PreparedDataset, load_datalist, save_datalist, scan
from mammo.pipeline.datasets.remote import is_url, local_copy, remote_identity
from mammo.transforms import MammogramError
from monai.transforms import MapTransform


class Read(MapTransform):
    def __call__(self, data):
        return {**data, "image": torch.full((1, 4, 4), float(open(data["image"]).read()))}


@pytest.fixture
def url():
    system = fsspec.filesystem("memory")
    system.pipe("/archive/i0.dcm", b"0.5")
    yield "memory://archive/i0.dcm"
    system.rm("/archive", recursive=True)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_remote_image_is_prepared_and_then_read_from_the_store(url, record, tmp_path):
    records = [record(image_id="i0") | {"image": url}]
    assert len(scan(records, [Read("image")], tmp_path / "store").usable) == 1
    dataset = PreparedDataset(records, [Read("image")], tmp_path / "store")
    assert float(dataset[0]["image"].mean()) == pytest.approx(0.5, abs=1e-5)
    assert (dataset.computed, dataset.reused) == (0, 1)


def test_a_changed_remote_file_is_another_one(url):
    before = remote_identity(url)
    fsspec.filesystem("memory").pipe("/archive/i0.dcm", b"0.75")
    assert remote_identity(url) != before


def test_a_remote_file_that_is_not_there_is_a_typed_error_that_names_it(url):
    for use in (remote_identity, lambda name: local_copy(name).__enter__()):
        with pytest.raises(MammogramError, match=r"memory://archive/none\.dcm: cannot be") as error:
            use("memory://archive/none.dcm")
        assert error.value.reason == "missing"


def test_an_unknown_file_system_is_a_typed_error():
    with pytest.raises(MammogramError, match="cannot be reached"):
        remote_identity("nowhere://archive/i0.dcm")


def test_a_datalist_keeps_urls_as_they_are(url, record, tmp_path):
    assert is_url(url)
    path = save_datalist({"name": "x", "training": [record(image_id="i0") | {"image": url}]}, tmp_path / "list.json")
    assert load_datalist(path)["training"][0]["image"] == url
