"""Several classes, against scikit-learn."""

import json

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.metrics import (
    apply_class_temperature,
    apply_temperature,
    check_predictions,
    evaluate_classes,
    fit_class_temperature,
    fit_temperature,
)
from mammo.pipeline.metrics.class_measures import weighted_kappa
from scipy.special import softmax
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    log_loss,
    roc_auc_score,
)

DRAWS = 30
COLUMNS = [f"probability_{k}" for k in range(4)]


def predictions(seed: int, patients: int = 60) -> pd.DataFrame:
    """Two views of each patient with one density."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.integers(0, 4, patients), 2)
    scores = softmax(-0.5 * np.abs(labels[:, None] - np.arange(4)) * 2 + rng.normal(0, 1, (2 * patients, 4)), axis=1)
    frame = pd.DataFrame(scores, columns=COLUMNS)
    return frame.assign(
        image_id=[str(k) for k in range(2 * patients)],
        patient_id=[f"p{k // 2}" for k in range(2 * patients)],
        laterality="L",
        view=["CC", "MLO"] * patients,
        label=labels,
    )


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    return predictions(0), predictions(1)


@pytest.fixture(scope="module")
def metrics(tables):
    return evaluate_classes(*tables, names=list("ABCD"), ordered=True, draws=DRAWS)


def test_the_measures_are_those_of_scikit_learn(metrics, tables):
    labels, scores = tables[0]["label"], tables[0][COLUMNS].to_numpy()
    called = scores.argmax(axis=1)
    expected = {
        "auc": roc_auc_score(labels, scores, multi_class="ovr", average="macro"),
        "average_precision": average_precision_score(np.eye(4)[labels], scores, average="macro"),
        "accuracy": accuracy_score(labels, called),
        "balanced_accuracy": balanced_accuracy_score(labels, called),
        "macro_f1": f1_score(labels, called, average="macro"),
        "commonest_class": labels.value_counts(normalize=True).max(),
        "kappa": cohen_kappa_score(labels, called),
        "kappa_quadratic": cohen_kappa_score(labels, called, weights="quadratic"),
    }
    found = {name: metrics["levels"]["image"][name]["value"] for name in expected}
    assert found == pytest.approx(expected)
    np.testing.assert_array_equal(metrics["confusion"], confusion_matrix(labels, called))
    assert metrics["calibration"]["before"]["negative_log_likelihood"]["value"] == pytest.approx(
        log_loss(labels, scores)
    )


def test_each_class_is_told_against_the_rest(metrics, tables):
    labels, scores = tables[0]["label"], tables[0]["probability_2"]
    assert metrics["classes"]["C"]["auc"]["value"] == pytest.approx(roc_auc_score(labels == 2, scores))
    assert metrics["classes"]["C"]["images"] == (labels == 2).sum()


def test_a_patient_has_the_mean_of_its_images(metrics, tables):
    rows = tables[0].groupby("patient_id").agg({"label": "first", **dict.fromkeys(COLUMNS, "mean")})
    expected = roc_auc_score(rows["label"], rows[COLUMNS], multi_class="ovr")
    assert metrics["levels"]["patient_mean"]["auc"]["value"] == pytest.approx(expected)


def test_images_of_a_patient_that_differ_make_its_level_null_with_a_reason(tables):
    mixed = tables[0].assign(label=np.arange(120) % 4)
    found = evaluate_classes(mixed, draws=5)["levels"]["patient_mean"]
    assert found["auc"] is None
    assert "different labels" in found["reason"]


def test_classes_without_order_have_no_quadratic_kappa(tables):
    assert "kappa_quadratic" not in evaluate_classes(tables[0], draws=5)["levels"]["image"]


def test_a_class_that_nobody_has_is_left_out_of_the_mean(tables):
    test = tables[0][tables[0]["label"] != 3]
    found = evaluate_classes(test, draws=5)["levels"]["image"]
    assert found["classes_told"] == [0, 1, 2]
    aucs = [roc_auc_score(test["label"] == k, test[f"probability_{k}"]) for k in range(3)]
    assert found["auc"]["value"] == pytest.approx(np.mean(aucs))


def test_a_weighted_kappa_is_scikit_learns_of_repeated_rows():
    rng = np.random.default_rng(2)
    labels, called, weights = rng.integers(0, 3, 50), rng.integers(0, 3, 50), rng.integers(0, 3, (4, 50))
    found = weighted_kappa(labels, called, 3, quadratic=True)(weights.astype(float))
    expected = [cohen_kappa_score(np.repeat(labels, w), np.repeat(called, w), weights="quadratic") for w in weights]
    np.testing.assert_allclose(found, expected)


def test_a_spoilt_softmax_is_mended_by_its_temperature():
    rng = np.random.default_rng(3)
    true = softmax(rng.normal(0, 1.5, (20_000, 4)), axis=1)
    labels = (true.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    spoilt = softmax(np.log(true) * 2.5, axis=1)
    # The likelihood's own noise: the truth itself fits best at 1 within some per cent.
    assert fit_class_temperature(labels, spoilt) == pytest.approx(2.5, rel=0.04)


def test_two_classes_are_the_case_of_the_sigmoid():
    rng = np.random.default_rng(5)
    labels, p = rng.integers(0, 2, 300), rng.uniform(0.05, 0.95, 300)
    both = np.column_stack([1 - p, p])
    assert fit_class_temperature(labels, both) == pytest.approx(fit_temperature(labels, p), rel=1e-4)
    np.testing.assert_allclose(apply_class_temperature(both, 1.7)[:, 1], apply_temperature(p, 1.7))


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.assign(label=0),
        lambda t: t.head(1),
        lambda t: t.drop(columns=["laterality", "view"]),
        lambda t: t.assign(**dict.fromkeys(COLUMNS, 0.25)),
    ],
    ids=["one class", "one image", "bare", "constant"],
)
@pytest.mark.parametrize("which", [0, 1])
def test_whatever_is_missing_the_result_is_valid_json(tables, change, which):
    changed = [table if index != which else change(table) for index, table in enumerate(tables)]
    text = json.dumps(evaluate_classes(*changed, ordered=True, draws=5), allow_nan=False)
    assert json.loads(text)["counts"]["images"] == len(changed[0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": 4}, "no whole number from -1 to 3"),
        ({"probability_1": 0.9}, "do not sum to 1"),
        ({"probability_1": -0.1}, r"outside \[0, 1\]"),
    ],
)
def test_a_wrong_row_is_named(tables, change, said):
    with pytest.raises(ValueError, match=said):
        check_predictions(tables[0].assign(**change), "here")


def test_a_class_without_its_column_is_named(tables):
    with pytest.raises(ValueError, match="column probability_1 is missing"):
        check_predictions(tables[0].drop(columns="probability_1"))
