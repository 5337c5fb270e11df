"""A made-up set of run folders, as a small demo would leave them."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.metrics import evaluate_predictions, explanation_measures
from mammo.pipeline.report import write_report
from PIL import Image
from scipy.special import expit

HOSTILE = "<script>alert(1)</script>"
DRAWS = 50
SIZE = (64, 32)
MAPS = ("attention", "attention_gradient", "gradcam")


@dataclass(frozen=True)
class FakeRuns:
    """Paths that ``write_report`` takes."""

    root: Path
    datalist: Path
    pretrain: Path
    classifiers: dict[str, Path]
    explanations: Path

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of ``write_report``, all of them."""
        return {
            "title": "Fake run",
            "datalist": self.datalist,
            "pretrain": self.pretrain,
            "classifiers": self.classifiers,
            "explanations": self.explanations,
            "notes": ["All images are synthetic: these figures say nothing about patients."],
            "draws": DRAWS,
        }


def make_runs(root: Path, patients: int = 90, draws: int = DRAWS, maps_size: tuple[int, int] = SIZE) -> FakeRuns:
    """Write everything that a report reads, one hostile patient id among it."""
    rng = np.random.default_rng(0)
    table = _images(rng, patients)
    datalist = _write_datalist(root / "datalist.json", table)
    pretrain = root / "pretrain"
    _write_provenance(pretrain, datalist)
    epochs = np.arange(1, 13)
    loss = 0.12 * np.exp(-epochs / 4) + 0.03
    _write_history(pretrain, {"loss": loss, "reconstruction": loss - 0.005}, {"reconstruction_l1": loss * 1.1})
    (pretrain / "figures").mkdir()
    for epoch in (1, 6, 12):
        pixels = rng.integers(0, 255, (96, 128), dtype=np.uint8)
        Image.fromarray(pixels).save(pretrain / f"figures/reconstruction_epoch_{epoch:03d}.png")
    classifiers = {}
    for name, gain in {"pretrained": 1.5, "from scratch": 0.8}.items():
        folder = classifiers[name] = root / name.replace(" ", "_")
        _write_provenance(folder, datalist)
        steps = np.arange(1, 25)
        curve = 0.68 * np.exp(-steps / (30 / gain)) + 0.1
        _write_history(folder, {"loss": curve}, {"auc": 0.5 + 0.2 * gain * (1 - np.exp(-steps / 8))})
        _write_predictions(folder / "test", table, gain, rng, draws)
    explanations = root / "explain"
    _write_explanations(explanations, table[table["split"] == "test"], rng, maps_size)
    _write_provenance(explanations, datalist)
    return FakeRuns(root, datalist, pretrain, classifiers, explanations)


@pytest.fixture(scope="session")
def fake_runs(tmp_path_factory: pytest.TempPathFactory) -> FakeRuns:
    """Shared: tests that damage a file copy the tree first."""
    return make_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def report_path(fake_runs: FakeRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the undamaged runs."""
    return write_report(tmp_path_factory.mktemp("report"), **fake_runs.arguments())


def _images(rng: np.random.Generator, patients: int) -> pd.DataFrame:
    rows = []
    for patient in range(patients):
        split = "training" if patient % 3 == 0 else "validation" if patient % 3 == 1 else "test"
        density, malignant = rng.choice(list("ABCD")), int(rng.random() < 0.45)
        name = HOSTILE if patient == 2 else f"P_{patient:05d}"
        for view in ("CC", "MLO"):
            rows.append({
                "image_id": f"Case_{patient:05d}_LEFT_{view}", "patient_id": name, "laterality": "L", "view": view,
                "dataset": "phantom", "split": split, "density": density, "label": malignant,
                "abnormality": "mass" if patient % 4 else "calcification", "birads": 4 if malignant else 3,
            })  # fmt: skip
    return pd.DataFrame(rows)


def _write_datalist(path: Path, table: pd.DataFrame) -> Path:
    def record(row: "pd.Series") -> dict[str, object]:
        known = {
            k: row[k] for k in ("patient_id", "image_id", "dataset", "laterality", "view", "density", "abnormality")
        }
        return known | {"image": f"{row['image_id']}.dcm", "pathology": "MALIGNANT" if row["label"] else "BENIGN"}

    sections = {name: [record(row) for _, row in rows.iterrows()] for name, rows in table.groupby("split")}
    about = {"name": "phantom", "description": "synthetic mammograms with planted lesions", "licence": "CC0-1.0"}
    path.write_text(json.dumps(about | sections))
    return path


def _write_provenance(folder: Path, datalist: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(f"seed: 0\nimage_size: [224, 112]\nnote: '{HOSTILE}'\n")
    environment = {
        "git_revision": "0123456789ab", "seed": 0, "command": "mammo demo", "platform": "Linux",
        "datalist_sha256": hashlib.sha256(datalist.read_bytes()).hexdigest(),
        "versions": {"python": "3.11.9", "torch": "2.13.0", "monai": "1.6.1"},
    }  # fmt: skip
    (folder / "environment.json").write_text(json.dumps(environment))


def _write_history(folder: Path, train: dict[str, np.ndarray], validation: dict[str, np.ndarray]) -> None:
    def rows(columns: dict[str, np.ndarray], steps: int) -> list[dict[str, float]]:
        count = len(next(iter(columns.values())))
        place = [{"epoch": e + 1} | ({"iteration": steps * (e + 1)} if steps else {}) for e in range(count)]
        return [p | {key: float(v[e]) for key, v in columns.items()} for e, p in enumerate(place)]

    history = {"train": rows(train, 50), "validation": rows(validation, 0)}
    (folder / "history.json").write_text(json.dumps(history))


def _write_predictions(folder: Path, table: pd.DataFrame, gain: float, rng: np.random.Generator, draws: int) -> None:
    folder.mkdir(parents=True)
    scored = table[table["split"] != "training"]
    logits = 1.8 * (gain * (scored["label"] - 0.5) + rng.normal(0, 0.8, len(scored)))
    scored = scored.assign(probability=expit(logits))
    scored.to_csv(folder / "predictions.csv", index=False)
    test, validation = (scored[scored["split"] == split] for split in ("test", "validation"))
    metrics = evaluate_predictions(test, validation, draws=draws)
    (folder / "metrics.json").write_text(json.dumps(metrics, allow_nan=False))


def _write_explanations(folder: Path, table: pd.DataFrame, rng: np.random.Generator, size: tuple[int, int]) -> None:
    y, x = np.mgrid[: size[0], : size[1]] / np.array(size)[:, None, None]
    breast = ((y - 0.5) / 0.45) ** 2 + (x / 0.8) ** 2 < 1
    rows, drawn = [], 0
    for _, row in table.iterrows():
        centre = rng.uniform(0.3, 0.7), rng.uniform(0.15, 0.5)
        distance = np.hypot(y - centre[0], (x - centre[1]) * size[1] / size[0])
        lesion = (distance < 0.06) & bool(row["label"])
        maps = {}
        for index, kind in enumerate(MAPS):
            focus = np.exp(-distance * (3 + 4 * index)) * rng.uniform(0.6, 1)
            maps[kind] = (focus + 0.4 * rng.random(size) * (0.3 if index else 1)).astype(np.float32)
        if row["image_id"] == table["image_id"].iloc[4]:
            maps["gradcam"] = np.zeros(size, np.float32)
        shared = {"image_id": row["image_id"], "patient_id": row["patient_id"], "label": row["label"]}
        for kind, values in maps.items():
            measures = explanation_measures(values[None], breast[None], lesion[None])
            rows.append(
                shared | {"probability": 0.3 + 0.4 * row["label"], "map": kind} | {k: v[0] for k, v in measures.items()}
            )
        if drawn < 14:
            path = folder / "figures" / f"{row['image_id']}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = (breast * (0.3 + 0.2 * rng.random(size)) + 0.5 * lesion).clip(0, 1)
            panels = np.hstack([image, *(values / max(float(values.max()), 1e-6) for values in maps.values())])
            Image.fromarray((255 * panels).astype(np.uint8)).resize((480, 192)).save(path)
            drawn += 1
    pd.DataFrame(rows).to_csv(folder / "explanations.csv", index=False)
