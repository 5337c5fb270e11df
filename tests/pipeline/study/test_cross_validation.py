"""Cross-validation in small: every image is tested once, by models that never saw its patient."""

import json

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.datasets import load_datalist
from mammo.pipeline.study import CrossValidation, Recipe, Setting, arms_of, fold_settings
from mammo.pipeline.study.cross_validation import auc_within_folds
from mammo.pipeline.texture_baseline import texture_classifier, texture_features
from sklearn.metrics import roc_auc_score

FOLDS = 2


@pytest.fixture(scope="module")
def finished(small_setting, tmp_path_factory):
    """The folder of a study of two folds, two learning rates and two seeds."""
    out = tmp_path_factory.mktemp("cross_validation")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Setting, "prepare", lambda self: None)
        settings = fold_settings(small_setting(out), folds=FOLDS, validation_fraction=0.34, seed=0)
        recipes = [Recipe(one, pretrain_steps=0, finetune_steps=2, validate_every=2) for one in settings]
        rates = [1e-4, 1e-3]
        CrossValidation(recipes, arms_of(recipes[0], scratch_factor=1), seeds=[0, 1], learning_rates=rates).run()
    return out


def patients_of(records):
    return {record["patient_id"] for record in records}


def test_every_patient_is_tested_once_and_sits_in_one_section_of_a_fold(small_setting, phantom, tmp_path):
    settings = fold_settings(small_setting(tmp_path), folds=3, validation_fraction=0.25, seed=1)
    tested = []
    for one in settings:
        fold = load_datalist(one.list_path, phantom)
        sections = [patients_of(fold[name]) for name in ("training", "validation", "test")]
        assert all(sections)
        assert len(set.union(*sections)) == sum(map(len, sections))
        tested += sections[2]
    whole = load_datalist(phantom / "datalist.json")
    assert sorted(tested) == sorted(
        patients_of([r for name in ("training", "validation", "test") for r in whole[name]])
    )


def test_folds_are_the_same_at_the_next_start(small_setting, tmp_path):
    dealt = [fold_settings(small_setting(tmp_path), folds=2, validation_fraction=0.3, seed=4) for _ in range(2)]
    assert [one.data for one in dealt[0]] == [one.data for one in dealt[1]]


@pytest.mark.parametrize("share", [0, 1])
def test_a_share_of_validation_out_of_range_is_refused(small_setting, tmp_path, share):
    with pytest.raises(ValueError, match="--validation_fraction must be between 0 and 1"):
        fold_settings(small_setting(tmp_path), folds=2, validation_fraction=share, seed=0)


def test_out_of_fold_predictions_are_of_the_fold_that_tested_the_image(finished, phantom):
    table = pd.read_csv(finished / "predictions.csv")
    for fold in range(1, FOLDS + 1):
        listed = json.loads((finished / f"folds/fold{fold}.json").read_text())
        wanted = sorted(record["image_id"] for record in listed["test"] if "pathology" in record)
        for _, own in table[table["fold"] == fold].groupby(["arm", "run"]):
            assert sorted(own["image_id"]) == wanted
    assert table.groupby("arm")["run"].nunique().to_dict() == {"from_scratch": 2, "texture": 1}


def test_the_learning_rate_of_a_fold_is_that_of_the_best_validation(finished):
    rows = pd.read_csv(finished / "study.csv")
    for _, fold in rows.groupby("fold"):
        means = fold.groupby("learning_rate")["validation_auc"].mean()
        assert set(fold.loc[fold["chosen"], "learning_rate"]) == {means.idxmax()}
        assert fold.loc[~fold["chosen"], "test_auc"].isna().all()


def test_the_summary_is_the_mean_over_folds_and_seeds(finished):
    rows = pd.read_csv(finished / "study.csv")
    summary = json.loads((finished / "study.json").read_text())
    scores = {one["arm"]: one for one in summary["arms"]}
    expected = rows[rows["chosen"]].groupby("seed")["test_auc"].mean().mean()
    assert scores["from_scratch"]["auc"]["value"] == pytest.approx(expected)
    table = pd.read_csv(finished / "predictions.csv")
    texture = table[table["arm"] == "texture"]
    pooled = roc_auc_score(texture["label"], texture["probability"])
    assert scores["texture"]["auc_pooled"]["value"] == pytest.approx(pooled)
    (difference,) = summary["differences"]
    gap = scores["from_scratch"]["auc"]["value"] - scores["texture"]["auc"]["value"]
    assert difference["difference"]["value"] == pytest.approx(gap)
    assert "| texture |" in (finished / "study.md").read_text()


def test_scores_of_different_folds_are_not_compared():
    table = pd.DataFrame({"fold": [1, 1, 2, 2], "label": [0, 1, 0, 1], "probability": [0.1, 0.2, 0.8, 0.9]})
    assert auc_within_folds(table)(np.ones((1, 4))) == [1.0]
    assert roc_auc_score(table["label"], table["probability"]) == 0.75


def test_texture_tells_stripes_from_noise_and_ignores_what_lies_outside():
    rng = np.random.default_rng(0)
    rows = np.arange(64)[:, None] * np.ones((1, 48))
    images = [0.5 + 0.4 * np.sin(rows / 3 + phase) for phase in range(20)] + list(rng.random((20, 64, 48)))
    features = np.stack([texture_features(image) for image in images])
    labels = np.repeat([0, 1], 20)
    model = texture_classifier(20).fit(features[::2], labels[::2])
    assert model.score(features[1::2], labels[1::2]) == 1.0
    inside = np.zeros((64, 48), bool)
    inside[:, :24] = True
    counted = texture_features(images[0], inside)[-10:]
    changed = np.where(inside, images[0], 0.3)  # binary patterns look one pixel far
    assert np.abs(texture_features(changed, inside)[-10:] - counted).max() < 0.05
    assert counted.sum() == pytest.approx(1)
