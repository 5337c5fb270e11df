"""The datalists of a cross-validated study: every patient is tested in exactly one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from ..datasets import Datalist, load_datalist, save_datalist
from ..datasets.folds import cross_validation
from ..datasets.splits import split_records
from .setting import Setting

__all__ = ["fold_settings"]


def fold_settings(setting: Setting, *, folds: int, validation_fraction: float, seed: int) -> list[Setting]:
    """One setting a fold, whose datalist is written to ``output_dir/folds``.

    All patients of the study's datalist are dealt, whatever section they are in. A fold's patients are its test
    patients; of the others a share is validated, the rest is for training.

    Args:
        setting: of the study.
        folds: how many.
        validation_fraction: share of the patients that are not tested, in (0, 1).
        seed: of the dealing.

    Raises:
        ValueError: for a share out of range, or as :func:`~mammo.pipeline.datasets.folds.cross_validation` raises it.
    """
    if not 0 < validation_fraction < 1:
        raise ValueError(f"--validation_fraction must be between 0 and 1, got {validation_fraction}")
    listed = load_datalist(setting.list_path, setting.dataset_dir)
    shares = {"training": 1 - validation_fraction, "validation": validation_fraction}
    settings = []
    for number, fold in enumerate(cross_validation(listed, folds, seed=seed, keep_test=False), start=1):
        sections = split_records(fold["training"], shares, seed) | {"test": fold["validation"]}
        content: Mapping[str, Any] = fold
        placed = {name: [{**one, "split": name} for one in records] for name, records in sections.items()}
        path = setting.output_dir / "folds" / f"fold{number}.json"
        save_datalist(cast(Datalist, {**content, **placed}), path)
        settings.append(replace(setting, datalist=path))
    return settings
