"""The embedded default datasets: a small phantom, its lesions, or its reports, made where no dataset is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ignite.distributed as idist
from joblib import cpu_count

from .datasets import lesion_crops, load_datalist, save_datalist
from .datasets.prepare import prepare_dataset
from .phantom import generate


def embedded_dataset(folder: str | Path = "outputs/phantom", *, patients: int = 24, seed: int = 0) -> Path:
    """Folder of a small phantom with its ``datalist.json``, made at the first call (of the first process).

    Args:
        folder: where the phantom is, or will be.
        patients: how many; the share for test is a quarter.
        seed: of the phantom and of the split.

    Raises:
        ValueError: if the folder holds something else.
    """
    root = Path(folder)
    with idist.one_rank_first():
        _phantom(root, "cbis_ddsm", patients, seed)
    return root


def embedded_lesions(folder: str | Path = "outputs/phantom_lesions", *, patients: int = 320, seed: int = 0) -> Path:
    """Folder of a phantom of affected breasts with ``lesions.json`` beside its datalist, a record for each lesion.

    Args:
        folder: where the phantom is, or will be.
        patients: how many; the share for test is a quarter.
        seed: of the phantom and of the split.
    """
    root = Path(folder)
    with idist.one_rank_first():
        _phantom(root, "cbis_ddsm", patients, seed, unaffected=False)
        if not (root / "lesions.json").is_file():
            crops, _ = lesion_crops(load_datalist(root / "datalist.json"), margin=0.2)
            save_datalist(crops, root / "lesions.json")
    return root


def embedded_reports(folder: str | Path = "outputs/phantom_reports", *, patients: int = 320, seed: int = 0) -> Path:
    """Folder of a phantom with the reports of all its breasts in ``datalist.json``, half of the lesions calcifications.

    Args:
        folder: where the phantom is, or will be.
        patients: how many; the share for test is a quarter.
        seed: of the phantom and of the split.
    """
    root = Path(folder)
    with idist.one_rank_first():
        _phantom(root, "phantom", patients, seed, preset="reports")
    return root


def _phantom(root: Path, adapter: str, patients: int, seed: int, *, preset: str = "demo", **options: Any) -> None:
    """A phantom and its ``datalist.json``, where they are not there yet."""
    generate(root, patients=patients, seed=seed, preset=preset, workers=cpu_count(), **options)
    if not (root / "datalist.json").is_file():
        prepare_dataset(adapter, root, root / "datalist.json", seed=seed)
