"""Thresholds and temperature locked on validation."""

import json

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.metrics import RULES, choose_operating_points, confusion, fit_temperature
from sklearn.metrics import f1_score


@pytest.fixture
def validation() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    labels = np.repeat(rng.integers(0, 2, 80), 2)
    scores = np.round(np.clip(0.25 + 0.3 * labels + rng.normal(0, 0.2, 160), 0.01, 0.99), 2)  # with ties
    return pd.DataFrame({
        "image_id": np.arange(160).astype(str), "patient_id": np.repeat(np.arange(80), 2).astype(str),
        "laterality": ["L", "R"] * 80, "label": labels, "probability": scores,
    })  # fmt: skip


def test_every_level_has_a_threshold_for_every_rule_of_its_own_rows(validation):
    points = choose_operating_points(validation)
    assert set(points["thresholds"]) == {"image", "breast_max", "breast_mean", "patient_max", "patient_mean"}
    assert all(set(rules) == set(RULES) for rules in points["thresholds"].values())
    patients = validation.groupby("patient_id").agg({"label": "max", "probability": "mean"})
    threshold = points["thresholds"]["patient_mean"]["specificity_0.90"]
    assert confusion(patients["label"], patients["probability"], threshold).specificity >= 0.9


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_each_rule_keeps_its_promise_on_validation(validation, level):
    rules = choose_operating_points(validation)["thresholds"]["image"]
    labels, scores = validation["label"], validation["probability"]
    assert confusion(labels, scores, rules[f"specificity_{level:.2f}"]).specificity >= level
    assert confusion(labels, scores, rules[f"sensitivity_{level:.2f}"]).sensitivity >= level


def test_no_other_threshold_has_a_better_f1(validation):
    chosen = choose_operating_points(validation)["thresholds"]["image"]["f1"]
    labels, scores = validation["label"], validation["probability"]
    best = max(f1_score(labels, scores >= t) for t in np.unique(scores))
    assert f1_score(labels, scores >= chosen) == pytest.approx(best)


def test_the_temperature_is_that_of_the_images(validation):
    expected = fit_temperature(validation["label"], validation["probability"])
    assert choose_operating_points(validation)["temperature"] == expected


def test_without_a_side_there_is_no_threshold_per_breast_and_the_reason_is_told(validation):
    points = choose_operating_points(validation.drop(columns="laterality"))
    assert "breast_max" not in points["thresholds"]
    assert "laterality" in points["reasons"]["breast_max"]
    assert "image" in points["thresholds"]


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_locks_nothing_and_says_why(validation, label):
    points = json.loads(json.dumps(choose_operating_points(validation.assign(label=label)), allow_nan=False))
    assert points["temperature"] is None
    assert points["thresholds"] == {}
    assert "are needed" in points["reason"]
