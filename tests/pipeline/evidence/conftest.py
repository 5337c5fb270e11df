"""An evaluated run folder made by hand."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from mammo.pipeline.evaluation import MetricsWriter
from mammo.pipeline.evidence.record import EvidenceWriter
from scipy.special import expit


def make_run(root: Path, noise: float = 1.0, patients: int = 40) -> Path:
    """A run folder with an evaluation in ``test``; returns it."""
    rng = np.random.default_rng(1)
    labels = np.repeat(rng.integers(0, 2, 2 * patients), 2)
    table = pd.DataFrame({
        "image_id": [f"i{k}" for k in range(4 * patients)], "patient_id": [f"p{k // 2}" for k in range(4 * patients)],
        "laterality": "L", "view": ["CC", "MLO"] * (2 * patients), "dataset": "phantom",
        "split": ["validation"] * (2 * patients) + ["test"] * (2 * patients),
        "density": np.repeat(rng.choice(list("AB"), 2 * patients), 2),
        "age": np.repeat(rng.integers(42, 78, 2 * patients), 2),
        "label": labels, "probability": expit(2 * labels - 1 + noise * rng.normal(size=4 * patients)),
    })  # fmt: skip
    run, test = root / "run", root / "run/test"
    test.mkdir(parents=True)
    (run / "checkpoints").mkdir()
    checkpoint, datalist = run / "checkpoints/best.pt", root / "datalist.json"
    torch.save({"head.weight": torch.zeros(2, 3), "steps": torch.tensor(7)}, checkpoint)
    sections = {
        split: [
            {"image": f"{row['image_id']}.dcm", **{k: row[k] for k in ("image_id", "patient_id", "dataset", "density")}}
            for row in rows.to_dict("records")
        ]
        for split, rows in table.groupby("split")
    }
    about = {"name": "phantom", "description": "synthetic mammograms", "licence": "CC0-1.0", "training": []}
    datalist.write_text(json.dumps(about | sections))
    environment = {"command": "mammo evaluate", "git_revision": "0123456789ab", "seed": 3, "platform": "Linux",
                   "datalist": str(datalist), "versions": {"python": "3.11.9", "numpy": np.__version__}}  # fmt: skip
    config = "size: micro\nimage_size: [64, 32]\ntasks: [pathology]\npooling: mask\nseed: 3\nlabel_percentage: 10\n"
    for folder in (run, test):
        (folder / "environment.json").write_text(json.dumps(environment))
        (folder / "config.yaml").write_text(config)
    table.to_csv(test / "predictions.csv", index=False)
    writer = MetricsWriter(
        test / "metrics.json",
        predictions=SimpleNamespace(path=test / "predictions.csv", place=0),
        tasks=["pathology"],
        checkpoint=checkpoint,
        draws=20,
    )
    writer(SimpleNamespace())
    EvidenceWriter(test, datalist=datalist, checkpoint=checkpoint).write()
    return run


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared: tests work on copies of it."""
    return make_run(tmp_path_factory.mktemp("evaluated")).parent


@pytest.fixture
def run(evaluated: Path, tmp_path: Path) -> Path:
    """A run folder, free to be damaged, with the datalist beside it."""
    shutil.copytree(evaluated, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"
