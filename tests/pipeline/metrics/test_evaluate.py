"""What metrics.json says: from the right rows, and JSON-safe whatever is missing."""

import json

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.metrics import choose_threshold, confusion, evaluate_predictions, fit_temperature
from scipy.special import expit
from sklearn.metrics import roc_auc_score

DRAWS = 40


def predictions(seed: int, patients: int = 60, prefix: str = "p") -> pd.DataFrame:
    """Two views of each patient."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.integers(0, 2, patients), 2)
    return pd.DataFrame({
        "image_id": [f"{prefix}{k // 2}_{k % 2}" for k in range(2 * patients)],
        "patient_id": [f"{prefix}{k // 2}" for k in range(2 * patients)],
        "laterality": "L",
        "view": ["CC", "MLO"] * patients,
        "density": np.repeat(rng.choice(list("AB"), patients), 2),
        "label": labels,
        "probability": expit(2 * (labels - 0.5) + rng.normal(0, 1.5, 2 * patients)),
    })  # fmt: skip


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    return predictions(0), predictions(1, prefix="v")


@pytest.fixture(scope="module")
def metrics(tables):
    return evaluate_predictions(*tables, draws=DRAWS)


def test_the_auc_is_that_of_the_test_rows(metrics, tables):
    test = tables[0]
    assert metrics["levels"]["image"]["auc"]["value"] == pytest.approx(
        roc_auc_score(test["label"], test["probability"])
    )
    by_patient = test.groupby("patient_id").agg({"label": "max", "probability": "max"})
    assert metrics["levels"]["patient_max"]["auc"]["value"] == pytest.approx(
        roc_auc_score(by_patient["label"], by_patient["probability"])
    )


def test_the_threshold_is_chosen_on_validation_and_applied_to_test(metrics, tables):
    test, validation = tables
    threshold = choose_threshold(validation["label"], validation["probability"])
    point = metrics["threshold"]["youden"]
    assert point["value"] == threshold
    table = confusion(test["label"], test["probability"], threshold)
    assert point["confusion"]["true_positive"] == table.true_positive
    assert point["sensitivity"]["value"] == pytest.approx(table.sensitivity)
    assert point["specificity"]["value"] == pytest.approx(table.specificity)
    assert point["accuracy"]["value"] == pytest.approx(table.accuracy)
    assert point["balanced_accuracy"]["value"] == pytest.approx(table.balanced_accuracy)


def test_no_test_label_can_move_threshold_or_temperature(metrics, tables):
    test, validation = tables
    flipped = evaluate_predictions(test.assign(label=1 - test["label"]), validation, draws=DRAWS)
    assert flipped["calibration"]["temperature"] == metrics["calibration"]["temperature"]
    for name, point in metrics["threshold"].items():
        assert flipped["threshold"][name]["value"] == point["value"]


def test_the_temperature_is_fitted_on_validation(metrics, tables):
    validation = tables[1]
    expected = fit_temperature(validation["label"], validation["probability"])
    assert metrics["calibration"]["temperature"] == pytest.approx(expected)


def test_a_value_lies_in_its_interval(metrics):
    for level in metrics["levels"].values():
        assert level["auc"]["low"] <= level["auc"]["value"] <= level["auc"]["high"]


def test_it_says_research_use_only_and_how_it_was_made(metrics):
    assert "research use only" in metrics["notice"]
    assert metrics["bootstrap"] == {"unit": "patient", "level": 0.95, "draws": DRAWS, "seed": 0}


def test_subgroups_split_the_images(metrics, tables):
    groups = metrics["subgroups"]
    assert set(groups) == {"density", "view"}  # laterality has one value only
    for parts in groups.values():
        assert sum(part["images"] for part in parts.values()) == len(tables[0])
    rows = tables[0][tables[0]["density"] == "A"]
    assert groups["density"]["A"]["auc"]["value"] == pytest.approx(roc_auc_score(rows["label"], rows["probability"]))


def test_without_validation_nothing_is_chosen_and_the_reason_told(tables):
    found = evaluate_predictions(tables[0], draws=DRAWS)
    assert found["threshold"]["youden"] == {"value": None, "reason": "no validation predictions were given"}
    assert found["calibration"]["temperature"] is None
    assert found["calibration"]["before"]["brier"]["value"] > 0


def test_unlabelled_rows_are_counted_and_left_out(tables, metrics):
    test, validation = tables
    extra = test.head(2).assign(image_id=["x", "y"], patient_id="new", label=-1, probability=0.99)
    found = evaluate_predictions(pd.concat([test, extra]), validation, draws=DRAWS)
    assert found["counts"]["unlabelled"] == 2
    assert found["levels"]["image"]["auc"] == metrics["levels"]["image"]["auc"]


def test_a_patient_in_test_and_validation_is_counted(tables):
    test, validation = tables
    shared = validation.head(2).assign(patient_id=test["patient_id"].iloc[0])
    both = pd.concat([validation.iloc[2:], shared])
    assert evaluate_predictions(test, both, draws=5)["counts"]["patients_in_test_and_validation"] == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.assign(label=0),
        lambda t: t.assign(label=1),
        lambda t: t.head(1),
        lambda t: t.assign(patient_id="one"),
        lambda t: t.drop(columns=["laterality", "view", "density"]),
        lambda t: t.assign(probability=0.0),
        lambda t: t.assign(laterality=None, density=None),
    ],
    ids=["negatives", "positives", "one image", "one patient", "bare", "constant", "unknown"],
)
@pytest.mark.parametrize("which", [0, 1])
def test_whatever_is_missing_the_result_is_valid_json(tables, change, which):
    changed = [table if index != which else change(table) for index, table in enumerate(tables)]
    text = json.dumps(evaluate_predictions(*changed, draws=10), allow_nan=False)
    assert json.loads(text)["counts"]["images"] == len(changed[0])


def test_one_class_is_null_with_the_class_named(tables):
    found = evaluate_predictions(tables[0].assign(label=0), tables[1], draws=10)
    auc = found["levels"]["image"]["auc"]
    assert auc["value"] is None
    assert "no positive (1)" in auc["reason"]


def test_an_unknown_side_makes_breasts_null_with_a_reason(tables):
    found = evaluate_predictions(tables[0].assign(laterality=None), draws=10)
    assert found["levels"]["breast_max"]["auc"] is None
    assert "laterality" in found["levels"]["breast_max"]["reason"]


def test_no_label_at_all_is_refused(tables):
    with pytest.raises(ValueError, match="no row has a known label"):
        evaluate_predictions(tables[0].assign(label=-1), tables[1])
