"""Breasts and exams from images, by hand and beside scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.evaluation import evaluate_table
from mammo.pipeline.metrics import read_predictions
from mammo.pipeline.metrics.exams import EXAM, exam_rows, higher_levels, label_level_rows
from sklearn.metrics import roc_auc_score

COLUMNS = ["image_id", "patient_id", "study_id", "laterality", "label", "probability"]
IMAGES = [  # patient, exam, side, label, probability
    ("1", "a", "L", 0, 0.2),
    ("1", "a", "L", 0, 0.6),  # mean 0.4
    ("1", "a", "R", 1, 0.3),
    ("1", "a", "R", 0, 0.7),  # mean 0.5, positive: the exam's breast
    ("1", "b", "L", 0, 0.1),  # the same patient on another day
    ("2", None, "R", 0, 0.9),
    ("2", None, "R", -1, 0.0),  # not known: does not count in the mean
    ("2", None, "L", 0, 0.8),
]


@pytest.fixture
def table():
    return pd.DataFrame([(f"i{n}", *row) for n, row in enumerate(IMAGES)], columns=COLUMNS)


def test_an_exam_is_its_most_suspicious_breast(table):
    rows = exam_rows(table).set_index(["patient_id", "study_id"])
    assert rows.index.tolist() == [("1", "a"), ("1", "b"), ("2", "")]
    assert rows["probability"].tolist() == pytest.approx([0.5, 0.1, 0.9])
    assert rows["label"].tolist() == [1, 0, 0]
    assert rows["images"].tolist() == [4, 1, 2]


def test_patients_of_two_data_sets_are_two(table):
    table["study_id"] = "a"
    table["patient_id"] = "1"
    table["dataset"] = ["x"] * 4 + ["y"] * 4
    assert exam_rows(table)["patient_id"].tolist() == ["x/1", "y/1"]


def test_the_area_per_exam_is_told_beside_the_others(table):
    table["split"] = "test"
    told = evaluate_table(table, draws=20)[0]["levels"]
    assert {"image", "breast_mean", "breast_max", "patient_max", EXAM} <= set(told)
    assert told[EXAM]["auc"]["value"] == pytest.approx(0.5)  # 0.5 lies above 0.1 and below 0.9
    assert (told[EXAM]["rows"], told[EXAM]["positive"]) == (3, 1)


def test_without_study_nothing_more_is_told(table):
    assert higher_levels(table.drop(columns="study_id"), draws=2) == {}


def test_an_unknown_side_is_a_reason(table):
    table.loc[0, "laterality"] = None
    told = higher_levels(table, draws=2)[EXAM]
    assert told["auc"] is None
    assert told["reason"] == "1 of 7 images have no laterality: no figure per exam"


@pytest.fixture
def findings(table):
    names = {"label": "label_mass", "probability": "probability_mass"}
    other = {"label_calc": [0, 1, 0, 0, -1, -1, 0, 0], "probability_calc": [0.5, 0.9, 0.1, 0.3, 0.4, 0.4, 0.2, 0.6]}
    return table.rename(columns=names).assign(**other)


def test_each_label_of_a_breast_comes_from_the_images_that_know_it(findings):
    rows = label_level_rows(findings, "breast_mean").set_index(["patient_id", "laterality"])
    assert rows.loc[("1", "L"), "probability_mass"] == pytest.approx((0.2 + 0.6 + 0.1) / 3)
    assert rows.loc[("1", "L"), "probability_calc"] == pytest.approx((0.5 + 0.9) / 2)
    assert rows.loc[("2", "R"), "probability_calc"] == pytest.approx(0.2)
    assert rows["label_calc"].to_dict() == {("1", "L"): 1, ("1", "R"): 0, ("2", "L"): 0, ("2", "R"): 0}
    exams = label_level_rows(findings, EXAM).set_index("study_id")
    assert exams["label_calc"].to_dict() == {"a": 1, "b": -1, "": 0}  # nobody told of exam b
    assert exams.loc["a", "probability_calc"] == pytest.approx(0.7)


def test_labels_are_told_per_breast_and_exam_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    place = {"patient_id": np.repeat(range(40), 4), "laterality": ["L", "L", "R", "R"] * 40, "study_id": "s"}
    table = pd.DataFrame({"image_id": range(160), **place, "split": "test"})
    for name in ("mass", "calc"):
        table[f"label_{name}"] = rng.integers(0, 2, 160)
        table[f"probability_{name}"] = rng.random(160)
    levels = evaluate_table(table, draws=20)[0]["levels"]
    wanted = {"breast_mean": (["patient_id", "laterality"], "mean"), "patient_max": (["patient_id"], "max")}
    for level, (keys, how) in wanted.items():
        areas = []
        for name in ("mass", "calc"):
            rows = table.groupby(keys).agg(label=(f"label_{name}", "max"), score=(f"probability_{name}", how))
            areas.append(roc_auc_score(rows["label"], rows["score"]) if rows["label"].nunique() == 2 else np.nan)
            assert levels[level]["labels"][name]["auc"]["value"] == pytest.approx(areas[-1], nan_ok=True)
        assert levels[level]["auc"]["value"] == pytest.approx(np.nanmean(areas))
        assert levels[level]["auc"]["low"] < levels[level]["auc"]["value"] < levels[level]["auc"]["high"]
    assert levels[EXAM]["rows"] == 40


def test_a_label_of_one_class_has_a_reason(findings):
    told = higher_levels(findings.assign(label_calc=0), draws=2)["breast_max"]
    assert told["labels"]["calc"]["auc"]["value"] is None
    assert told["labels_told"] == ["mass"]


def test_a_study_keeps_its_zeros(table, tmp_path):
    table["study_id"] = "007"
    table.to_csv(tmp_path / "predictions.csv", index=False)
    assert set(read_predictions(tmp_path / "predictions.csv")["study_id"]) == {"007"}
