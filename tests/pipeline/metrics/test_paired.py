"""All measures of two recipes, paired."""

import json

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.metrics import RunPredictions, choose_threshold, compare, compare_measures
from scipy.special import softmax
from sklearn.metrics import average_precision_score, brier_score_loss, recall_score, roc_auc_score

DRAWS = 40


def run(noise: float, seed: int, patients: int = 70) -> RunPredictions:
    """Test and validation predictions on one fixed set of patients; ``noise`` spoils them."""
    luck = np.random.default_rng(seed)

    def table(prefix: str, truth: np.random.Generator) -> pd.DataFrame:
        labels = np.repeat(truth.integers(0, 2, patients), 2)
        base = labels + truth.normal(0, 0.8, 2 * patients)
        return pd.DataFrame({
            "image_id": [f"{prefix}{k // 2}_{k % 2}" for k in range(2 * patients)],
            "patient_id": [f"{prefix}{k // 2}" for k in range(2 * patients)],
            "laterality": ["L", "R"] * patients,
            "label": labels,
            "probability": 1 / (1 + np.exp(-base - luck.normal(0, noise, 2 * patients))),
        })  # fmt: skip

    return RunPredictions(table("t", np.random.default_rng(9)), table("v", np.random.default_rng(10)))


@pytest.fixture(scope="module")
def good() -> RunPredictions:
    return run(0.1, 1)


@pytest.fixture(scope="module")
def bad() -> RunPredictions:
    return run(2.5, 2)


@pytest.fixture(scope="module")
def found(good, bad):
    return compare_measures([good], [bad], draws=DRAWS)


def test_the_sides_are_scikit_learns_figures_and_the_difference_is_a_minus_b(found, good, bad):
    measures = found["levels"]["image"]["measures"]
    for name, score in (("auc", roc_auc_score), ("average_precision", average_precision_score)):
        values = [score(one.test["label"], one.test["probability"]) for one in (good, bad)]
        told = measures[name]
        assert [told["a"]["value"], told["b"]["value"]] == pytest.approx(values)
        assert told["difference"]["value"] == pytest.approx(values[0] - values[1])
    assert measures["brier"]["a"]["value"] == pytest.approx(
        brier_score_loss(good.test["label"], good.test["probability"])
    )


def test_each_run_keeps_the_threshold_of_its_own_validation_rows(found, good, bad):
    told = found["levels"]["image"]["measures"]["specificity_0.90: sensitivity"]
    for side, one in (("a", good), ("b", bad)):
        threshold = choose_threshold(one.validation["label"], one.validation["probability"], "specificity", 0.9)
        assert told[side]["value"] == pytest.approx(
            recall_score(one.test["label"], one.test["probability"] >= threshold)
        )


def test_the_auc_per_image_has_the_interval_of_the_plain_comparison(found, good, bad):
    plain = compare(good.test, bad.test, draws=DRAWS)
    assert found["levels"]["image"]["measures"]["auc"]["difference"] == pytest.approx(plain["difference"])
    assert found["delong"] == plain["delong"]


def test_every_level_is_compared(found):
    assert {level: part["rows"] for level, part in found["levels"].items()} == {
        "image": 140, "breast_max": 140, "breast_mean": 140, "patient_max": 70, "patient_mean": 70,
    }  # fmt: skip


def test_a_recipe_does_not_differ_from_itself_in_any_measure(good):
    told = compare_measures([good], [good], draws=10)["levels"]["patient_mean"]["measures"]
    assert {name: (m["difference"]["low"], m["difference"]["high"]) for name, m in told.items()} == dict.fromkeys(
        told, (0, 0)
    )


def test_several_seeds_give_means_and_one_difference_of_the_very_draws(good, bad):
    other = run(1.0, 5)
    told = compare_measures([good, other], [bad], draws=DRAWS)["levels"]["image"]["measures"]["auc"]
    values = [roc_auc_score(one.test["label"], one.test["probability"]) for one in (good, other, bad)]
    assert told["a"]["value"] == pytest.approx(np.mean(values[:2]))
    assert told["difference"]["value"] == pytest.approx(np.mean(values[:2]) - values[2])


def test_without_validation_what_needs_a_threshold_is_left_out(good, bad):
    told = compare_measures([RunPredictions(good.test)], [bad], draws=5)["levels"]["image"]["measures"]
    assert "auc" in told
    assert not [name for name in told if ":" in name or "temperature" in name]


def test_several_classes_are_compared_too():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)

    def density(noise: float) -> RunPredictions:
        scores = softmax(2 * np.eye(3)[labels] + rng.normal(0, noise, (60, 3)), axis=1)
        columns = {f"probability_{k}": scores[:, k] for k in range(3)}
        name = [str(k) for k in range(60)]
        return RunPredictions(pd.DataFrame({"image_id": name, "patient_id": name, "label": labels, **columns}))

    one, other = density(0.5), density(3.0)
    told = compare_measures([one], [other], ordered=True, draws=20)
    scores = one.test[[f"probability_{k}" for k in range(3)]]
    expected = roc_auc_score(labels, scores, multi_class="ovr")
    assert told["levels"]["image"]["measures"]["auc"]["a"]["value"] == pytest.approx(expected)
    assert "kappa_quadratic" in told["levels"]["image"]["measures"]
    assert json.dumps(told, allow_nan=False)


def test_other_images_and_other_questions_are_refused(good, bad):
    with pytest.raises(ValueError, match="differ in 1 images"):
        compare_measures([good], [RunPredictions(bad.test.iloc[1:])], draws=5)
    halves = bad.test.assign(probability_0=0.5, probability_1=0.3, probability_2=0.2).drop(columns="probability")
    with pytest.raises(ValueError, match="different questions"):
        compare_measures([good], [RunPredictions(halves)], draws=5)
    with pytest.raises(ValueError, match="at least one run"):
        compare_measures([], [good])
