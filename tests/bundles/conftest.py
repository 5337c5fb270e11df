"""A phantom small enough for every stage of a bundle, made once."""

from pathlib import Path

import pytest
from mammo.pipeline.datasets.prepare import prepare_dataset
from mammo.pipeline.phantom import generate


@pytest.fixture(scope="session")
def phantom(tmp_path_factory) -> Path:
    """Folder of a phantom of 12 patients with its ``datalist.json``."""
    root = tmp_path_factory.mktemp("phantom") / "data"
    generate(root, patients=12, seed=3, preset="demo", views="CC", test_fraction=0.34)
    prepare_dataset("cbis_ddsm", root, root / "datalist.json", validation_fraction=0.5)
    return root
