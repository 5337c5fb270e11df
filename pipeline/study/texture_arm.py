"""The arm without a network: texture and logistic regression on the same folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..datasets import PreparedDataset, Record, RunRecords
from ..handlers import ImageKey, image_key
from ..texture_baseline import texture_classifier, texture_features
from .setting import Setting

__all__ = ["texture_predictions"]


def texture_predictions(folds: Sequence[Setting]) -> list[pd.DataFrame]:
    """Out-of-fold probabilities of :func:`~mammo.pipeline.texture_baseline.texture_classifier`, a table a fold.

    It has nothing to choose, so it is fitted to the validation images too. The images are the networks', from the
    same store.

    Args:
        folds: see :func:`~mammo.pipeline.study.folds.fold_settings`.
    """
    known: dict[ImageKey, NDArray[np.float64]] = {}
    return [_fold(setting, known) for setting in folds]


def _fold(setting: Setting, known: dict[ImageKey, NDArray[np.float64]]) -> pd.DataFrame:
    how = setting.preparation
    records = RunRecords(
        setting.list_path,
        root=setting.dataset_dir,
        sections=["training", "validation", "test"],
        tasks=setting.default("finetune", "tasks"),
        transform=[how.transform()],
        cache_dir=setting.cache,
        gate=how.gate,
        output_dir=setting.output_dir,
    )
    fitted, tested = (
        [one for name in names for one in records[name] if one["label"][0] >= 0]
        for names in (("training", "validation"), ("test",))
    )
    _add_features(known, [*fitted, *tested], setting)
    model = texture_classifier(len(fitted))
    model.fit(np.stack([known[image_key(one)] for one in fitted]), [one["label"][0] for one in fitted])
    scores = model.predict_proba(np.stack([known[image_key(one)] for one in tested]))[:, 1]
    columns = ("dataset", "patient_id", "image_id", "laterality", "split")
    table = pd.DataFrame([{name: one.get(name) for name in columns} for one in tested])
    return table.assign(label=[one["label"][0] for one in tested], probability=scores)


def _add_features(known: dict[ImageKey, NDArray[np.float64]], records: Sequence[Record], setting: Setting) -> None:
    missing = [record for record in records if image_key(record) not in known]
    dataset = PreparedDataset(missing, [setting.preparation.transform()], setting.cache)
    for index, record in enumerate(missing):
        item = dataset[index]
        known[image_key(record)] = texture_features(item["image"][0].numpy(), item["mask"][0].numpy() > 0)
