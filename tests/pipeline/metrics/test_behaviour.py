"""Behaviour of a model, counted by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.metrics.behaviour import read_behaviour, summarise_behaviour


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame({
        "image_id": ["a", "b", "c", "d"],
        "patient_id": ["p", "q", "r", "s"],
        "label": [0, 0, 1, 1],
        "partner_image_id": ["c", "d", "b", "a"],
        "probability": [0.1, 0.6, 0.7, 0.9],
        "probability_breast_erased": [0.5, 0.5, 0.5, 0.5],
        "probability_background_erased": [0.1, 0.8, 0.7, 0.9],
        "probability_marker_swapped": [0.6, np.nan, 0.7, 0.4],
        "probability_background_swapped": [0.2, 0.3, 0.6, 0.9],
    })  # fmt: skip


def values(summary: dict, key: str = "mean") -> dict[str, float]:
    return {name: measure[key]["value"] for name, measure in summary["measures"].items()}


def test_every_measure_by_hand(table):
    summary = summarise_behaviour(table, threshold=0.5, draws=20)
    found = values(summary)
    assert found == pytest.approx({
        "auc": 1.0,
        "auc_breast_erased": 0.5,
        "auc_background_erased": 3 / 4,  # b passes c
        "flip_marker_swapped": 2 / 3,  # of a, c and d; b has none
        "flip_background_swapped": 1 / 4,  # b
        "change_breast_erased": (0.4 + 0.1 + 0.2 + 0.4) / 4,
        "change_background_erased": 0.2 / 4,
        "change_marker_swapped": (0.5 + 0 + 0.5) / 3,
        "change_background_swapped": (0.1 + 0.3 + 0.1 + 0) / 4,
    })  # fmt: skip
    assert summary["images"] == 4
    assert summary["measures"]["flip_marker_swapped"]["images"] == 3


def test_the_chance_of_a_flip_is_that_the_partner_is_called_otherwise(table):
    measures = summarise_behaviour(table, threshold=0.5, draws=20)["measures"]
    # a is called benign, b, c and d malignant: a and c, d and a differ; b and d, c and b agree.
    assert measures["flip_background_swapped"]["chance"] == {"flip_background_swapped_chance": pytest.approx(2 / 4)}
    assert measures["flip_marker_swapped"]["chance"] == {"flip_marker_swapped_chance": pytest.approx(2 / 3)}


def test_without_a_threshold_no_decision_is_told(table):
    summary = summarise_behaviour(table, draws=20)
    flip = json.loads(json.dumps(summary, allow_nan=False))["measures"]["flip_background_swapped"]["mean"]
    assert flip["value"] is None
    assert "no threshold" in flip["reason"]
    assert summary["measures"]["auc"]["mean"]["value"] == 1


def test_the_twin_has_its_own_threshold_and_the_difference_is_paired(table):
    twin = table.assign(probability_background_swapped=1 - table["probability"]).sample(frac=1, random_state=0)
    summary = summarise_behaviour(table, threshold=0.5, twin=twin, twin_threshold=0.35, draws=50)
    assert values(summary, "twin")["flip_background_swapped"] == pytest.approx(3 / 4)  # all but b, called in both
    assert values(summary, "difference")["flip_background_swapped"] == pytest.approx(1 / 4 - 3 / 4)
    assert values(summary, "difference")["auc"] == 0
    same = summary["measures"]["auc"]["difference"]
    assert (same["low"], same["high"]) == (0, 0)


def test_a_table_survives_its_file(table, tmp_path):
    table["patient_id"] = ["01", "02", "03", "04"]
    table.to_csv(tmp_path / "behaviour.csv", index=False)
    again = read_behaviour(tmp_path / "behaviour.csv")
    assert list(again["patient_id"]) == ["01", "02", "03", "04"]
    assert summarise_behaviour(again, threshold=0.5, draws=20) == summarise_behaviour(table, threshold=0.5, draws=20)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop(columns="probability_breast_erased"), "probability_breast_erased is missing"),
        (lambda t: pd.concat([t, t.head(1)]), "'a' occurs twice"),
        (lambda t: t.head(0), "no rows"),
    ],
)
def test_a_table_that_would_mislead_is_refused(table, change, said):
    with pytest.raises(ValueError, match=said):
        summarise_behaviour(change(table))


def test_a_partner_is_found_in_its_own_data_set(table):
    two = pd.concat([table.assign(dataset="one"), table.assign(dataset="two", probability=0.1)], ignore_index=True)
    with pytest.raises(ValueError, match="partner_dataset is missing"):
        summarise_behaviour(two, threshold=0.5)
    two["partner_dataset"] = ["one"] * 4 + ["two"] * 4
    measure = summarise_behaviour(two, threshold=0.5, draws=20)["measures"]["flip_background_swapped"]
    assert measure["chance"] == {"flip_background_swapped_chance": pytest.approx(2 / 8)}  # none differ in the second
