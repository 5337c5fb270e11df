"""Shared fixtures: every test starts from the same random state; real data is opt-in."""

import os
from pathlib import Path

import pytest
import torch
from monai.utils import set_determinism

# pytest-xdist keeps every core busy by itself: more threads only get into each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Seed python, numpy, torch and MONAI before each test."""
    set_determinism(seed=0)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real mammograms named by MAMMO_REAL_DATA; the test is skipped where it is unset."""
    root = os.environ.get("MAMMO_REAL_DATA", "")
    if not Path(root, "manifest.csv").is_file():
        pytest.skip("MAMMO_REAL_DATA is not set to the folder of real mammograms")
    return Path(root)


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a phantom of 12 patients, small enough for every stage, with its ``datalist.json``."""
    from mammo.pipeline.datasets.prepare import prepare_dataset
    from mammo.pipeline.phantom import generate

    root = tmp_path_factory.mktemp("phantom") / "data"
    generate(root, patients=12, seed=3, preset="demo", views="CC", test_fraction=0.34)
    prepare_dataset("cbis_ddsm", root, root / "datalist.json", validation_fraction=0.5)
    return root
