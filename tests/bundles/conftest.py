"""Options small enough for every stage on the phantom; duplicate keys of a configuration are errors."""

import pytest
from mammo.pipeline.datasets.prepare import prepare_dataset
from mammo.pipeline.phantom import generate

TEXTS = {"text_width": 16, "text_depth": 1, "embed_dim": 8}
"""Options of a text encoder that trains within seconds."""


@pytest.fixture(autouse=True)
def strict_configuration(monkeypatch):
    monkeypatch.setenv("MONAI_FAIL_ON_DUPLICATE_CONFIG", "1")


@pytest.fixture(scope="session")
def small_options(tmp_path_factory):
    """Makes the options for a dataset, with a cache of their own."""

    def make(dataset_dir) -> dict:
        return {
            "dataset_dir": str(dataset_dir),
            "cache_dir": str(tmp_path_factory.mktemp("cache")),
            "size": "micro",
            "image_size": [64, 32],
            "batch_size": 4,
            "num_workers": 0,
            "device": "cpu",
        }

    return make


@pytest.fixture(scope="module")
def options(phantom, small_options) -> dict:
    return small_options(phantom)


@pytest.fixture(scope="session")
def image_text_options(small_options, tmp_path_factory):
    """Makes the options of bundle mammo_clip on a phantom of its own with reports."""

    def make(**phantom) -> dict:
        root = tmp_path_factory.mktemp("reports") / "data"
        generate(root, **{"patients": 10, "seed": 3, "preset": "demo", "test_fraction": 0.3} | phantom)
        prepare_dataset("phantom", root, root / "datalist.json", validation_fraction=0.3)
        return small_options(root) | {"encoder": "swin"} | TEXTS

    return make
