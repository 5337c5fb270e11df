"""Write a whole phantom to disk, as CBIS-DDSM would be downloaded, with the truth beside it."""

import csv
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from tqdm import tqdm

from .case import in_test_split
from .layout import HEADERS, ROOT, table_name, write_patient_view, write_table
from .presets import preset_named
from .version import PHANTOM_VERSION
from .views import VIEWS, patient

Rows = list[tuple[dict[str, Any], list[str | int] | None]]


def _write_patient(root: Path, index: int, seed: int, test: bool, options: dict[str, Any]) -> Rows:
    views = patient(index, seed=seed, test=test, **options)
    return [write_patient_view(root, view, seed, test) for view in views]


def _write_tables(root: Path, rows: Rows) -> None:
    for abnormality, header in HEADERS.items():
        for test in (False, True):
            split = "test" if test else "training"
            chosen = [
                row for truth, row in rows if row and (truth["abnormality"], truth["split"]) == (abnormality, split)
            ]
            write_table(root / table_name(abnormality, test), header, chosen)


def _write_truth(root: Path, truth: list[dict[str, Any]]) -> None:
    with open(root / "truth.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(truth[0]))
        writer.writeheader()
        writer.writerows(truth)


def _counts(truth: list[dict[str, Any]]) -> dict[str, Any]:
    """Patients by split, kind and pathology, and images."""
    patients = {row["patient_id"]: row for row in truth if row["pathology"]}
    groups = Counter(
        f"{row['split']} {row['abnormality']} {row['pathology'].split('_')[0].lower()}" for row in patients.values()
    )
    return {"patients": len(patients), "images": len(truth), "groups": dict(sorted(groups.items()))}


def _check(out_dir: Path, patients: int, test_fraction: float, settings: dict[str, Any]) -> dict[str, Any] | None:
    """The summary of a phantom that is already there with the same settings; None where there is nothing."""
    if patients < 1:
        raise ValueError(f"patients is {patients}; a phantom has at least 1")
    if not 0 <= test_fraction < 1:
        raise ValueError(f"test_fraction is {test_fraction}; it must be at least 0 and below 1")
    preset_named(settings["preset"])
    file = out_dir / "phantom.json"
    if file.is_file():
        summary: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if summary["settings"] == settings:
            return summary
        raise ValueError(f"{out_dir} holds another phantom ({summary['settings']}); choose another folder")
    if out_dir.is_dir() and any(out_dir.iterdir()):
        raise ValueError(f"{out_dir} is not empty; choose another folder for the phantom")
    return None


def _progress(results: Iterator[Rows], total: int, show: bool) -> Iterator[Rows]:
    return iter(tqdm(results, total=total, desc="phantom", unit="patient", disable=not show))


def generate(
    out_dir: Path | str,
    *,
    patients: int,
    seed: int,
    test_fraction: float = 0.25,
    preset: str = "standard",
    views: str = "both",
    unaffected: bool = True,
    shortcut: bool = False,
    pixel_mm: float | None = None,
    calcification_share: float | None = None,
    device: str | None = None,
    workers: int = 1,
    progress: bool = False,
) -> dict[str, Any]:
    """Write a phantom of ``patients`` patients in CBIS-DDSM's layout.

    ``out_dir`` then holds ``CBIS-DDSM/`` with the images, crops and ROI masks as DICOM, the four case tables,
    ``truth.csv`` (one row an image) and ``phantom.json`` (settings and counts). It appears as a whole or not at all;
    where the same phantom is already there, nothing is written again.

    Args:
        out_dir: a new or empty folder, or one with the same phantom.
        patients: how many; benign and malignant alternate in random order.
        seed: patient ``i`` of a seed is the same in every phantom of a preset.
        test_fraction: part of the patients in the test split.
        preset: one of ``PRESETS``: ``demo``, ``reports``, ``subtle_reports`` or ``standard``.
        views: ``both``, ``CC`` or ``MLO``.
        unaffected: write the other breast too; it has no row in the tables.
        shortcut: let the framed marker go with malignancy in training (0.9) but not in test (0.5).
        pixel_mm: side of a pixel; the preset's by default.
        calcification_share: part of the patients whose lesion is a cluster of calcifications; the preset's by default.
        device: ``digital``, ``film`` or ``enhanced`` (a vendor that no other phantom has); by default one of the first
            two is drawn for each patient.
        workers: processes; they do not change the result.
        progress: show a progress bar.

    Returns:
        The contents of ``phantom.json``.

    Raises:
        ValueError: for an option out of range, or a folder that holds something else.
    """
    target = Path(os.path.abspath(out_dir))  # workers that are used again may stand in another folder
    if views not in ("both", *VIEWS):
        raise ValueError(f"views is {views!r}; choose both, CC or MLO")
    settings: dict[str, Any] = {
        "version": PHANTOM_VERSION,
        "patients": patients,
        "seed": seed,
        "test_fraction": test_fraction,
        "preset": preset,
        "views": views,
        "unaffected": unaffected,
        "shortcut": shortcut,
    }
    changes = {"pixel_mm": pixel_mm, "calcification_share": calcification_share, "device": device}
    settings |= {name: value for name, value in changes.items() if value is not None}
    there = _check(target, patients, test_fraction, settings)
    if there is not None:
        return there
    options = {
        "preset": preset,
        "views": VIEWS if views == "both" else (views,),
        "unaffected": unaffected,
        "shortcut": shortcut,
        **changes,
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
        root = Path(folder) / "phantom"
        (root / ROOT).mkdir(parents=True)
        tests = (in_test_split(i, test_fraction) for i in range(patients))
        jobs = (delayed(_write_patient)(root, i, seed, test, options) for i, test in enumerate(tests))
        results = Parallel(n_jobs=workers, return_as="generator")(jobs)
        rows = [row for made in _progress(results, patients, progress) for row in made]
        truth = [row for row, _ in rows]
        _write_tables(root, rows)
        _write_truth(root, truth)
        summary = {"settings": settings, **_counts(truth)}
        (root / "phantom.json").write_text(json.dumps(summary, indent=2), encoding="utf-8")
        if target.is_dir():
            target.rmdir()
        root.rename(target)
    return summary
