"""Options small enough for every stage on the phantom; duplicate keys of a configuration are errors."""

import pytest


@pytest.fixture(autouse=True)
def strict_configuration(monkeypatch):
    monkeypatch.setenv("MONAI_FAIL_ON_DUPLICATE_CONFIG", "1")


@pytest.fixture(scope="module")
def options(phantom, tmp_path_factory) -> dict:
    return {
        "dataset_dir": str(phantom),
        "cache_dir": str(tmp_path_factory.mktemp("cache")),
        "size": "micro",
        "image_size": [64, 32],
        "batch_size": 4,
        "num_workers": 0,
        "device": "cpu",
    }
