"""A synthetic exam of four views, and a model with random weights: what it says is arbitrary, where it looks is not."""

from pathlib import Path

import pytest
import torch
from mammo.networks import MammogramClassifier, SwinEncoder
from mammo.pipeline.hospital.model import HospitalModel
from mammo.pipeline.hospital.result import ModelStamp
from mammo.pipeline.hospital.study import StudyEngine
from mammo.pipeline.phantom import WrittenView, write_study
from mammo.transforms import PrepareMammogramd

STAMP = ModelStamp("Random Swin", "swin_mim", "0.0.0", "0.1.0", "0" * 64, {"image_size": [128, 64]})
POINTS = {"temperature": 2.0, "thresholds": {"breast_mean": {"youden": 0.5}}}


@pytest.fixture(scope="session")
def exam(tmp_path_factory: pytest.TempPathFactory) -> list[WrittenView]:
    """Four views of one patient with a mass in one breast."""
    return write_study(tmp_path_factory.mktemp("exam"), index=1, seed=77, preset="demo")


@pytest.fixture(scope="session")
def model() -> HospitalModel:
    torch.manual_seed(0)
    network = MammogramClassifier(SwinEncoder(size="micro"))
    transform = PrepareMammogramd("image", spatial_size=(128, 64))
    return HospitalModel(network, transform, STAMP, points=POINTS, stage=1, quantile=0.9)


@pytest.fixture(scope="session")
def engine(model: HospitalModel) -> StudyEngine:
    return StudyEngine(model)


def paths_of(written: list[WrittenView]) -> list[Path]:
    """Their files."""
    return [path for path, _ in written]
