"""Paired comparison of models, of seeds and of explanations."""

import json

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.metrics import bootstrap, compare, compare_explanations, compare_seeds
from mammo.pipeline.metrics.weighted import weighted_auc
from sklearn.metrics import roc_auc_score


def model(noise: float, seed: int, patients: int = 150) -> pd.DataFrame:
    """Predictions on one fixed set of patients; ``noise`` spoils them."""
    truth, luck = np.random.default_rng(9), np.random.default_rng(seed)
    labels = np.repeat(truth.integers(0, 2, patients), 2)
    base = labels + truth.normal(0, 0.8, 2 * patients)
    return pd.DataFrame({
        "image_id": [f"{k // 2}_{k % 2}" for k in range(2 * patients)],
        "patient_id": [str(k // 2) for k in range(2 * patients)],
        "label": labels,
        "probability": 1 / (1 + np.exp(-base - luck.normal(0, noise, 2 * patients))),
    })  # fmt: skip


@pytest.fixture(scope="module")
def good() -> pd.DataFrame:
    return model(0.1, 1)


@pytest.fixture(scope="module")
def bad() -> pd.DataFrame:
    return model(2.5, 2)


def test_the_difference_is_that_of_the_aucs_and_its_sign_that_of_a_minus_b(good, bad):
    found = compare(good, bad, draws=200)
    aucs = [roc_auc_score(t["label"], t["probability"]) for t in (good, bad)]
    assert found["difference"]["value"] == pytest.approx(aucs[0] - aucs[1])
    assert found["difference"]["low"] > 0
    assert found["delong"]["p_value"] < 0.001


def test_swapping_the_models_mirrors_the_interval(good, bad):
    ahead, behind = compare(good, bad, draws=100)["difference"], compare(bad, good, draws=100)["difference"]
    assert (ahead["low"], ahead["high"]) == pytest.approx((-behind["high"], -behind["low"]))


def test_a_model_does_not_differ_from_itself(good):
    found = compare(good, good, draws=50)
    assert (found["difference"]["low"], found["difference"]["high"]) == (0, 0)
    assert found["delong"]["p_value"] == 1


def test_bootstrap_and_delong_agree(good):
    other = model(0.6, 3)
    found = compare(good, other, draws=2000)
    half = (found["difference"]["high"] - found["difference"]["low"]) / 2 / 1.96
    assert half == pytest.approx(found["delong"]["standard_error"], rel=0.1)


def test_the_order_of_rows_does_not_matter(good, bad):
    assert compare(good, bad.sample(frac=1, random_state=0), draws=50) == compare(good, bad, draws=50)


def test_different_images_are_refused(good, bad):
    with pytest.raises(ValueError, match=r"differ in 1 images.*'0_0'"):
        compare(good.iloc[1:], bad)


def test_different_labels_are_refused(good, bad):
    with pytest.raises(ValueError, match=r"'0_0'.* different labels"):
        compare(good, bad.assign(label=np.r_[1 - bad["label"].iloc[0], bad["label"].iloc[1:]]))


def test_one_class_is_refused(good, bad):
    with pytest.raises(ValueError, match="no positive"):
        compare(good.assign(label=0), bad.assign(label=0))


def test_too_few_patients_for_delong_are_said_and_json_stays_valid(good, bad):
    few = [t.assign(label=t["patient_id"].eq("0").astype(int)) for t in (good, bad)]
    found = json.loads(json.dumps(compare(*few, draws=30), allow_nan=False))
    assert found["delong"]["p_value"] is None
    assert "fewer than two patients" in found["delong"]["reason"]


def test_one_seed_a_side_is_the_plain_comparison(good, bad):
    plain, seeds = compare(good, bad, draws=100), compare_seeds([good], [bad], draws=100)
    assert seeds["difference"] == pytest.approx(plain["difference"])


def test_several_seeds_give_the_mean_and_their_luck_widens_the_interval(good):
    runs = [model(noise, seed) for seed, noise in enumerate((0.05, 2.0, 4.0))]
    found = compare_seeds(runs, [good], draws=300)
    aucs = [weighted_auc(t["label"], t["probability"]) for t in runs]
    mean = np.mean([roc_auc_score(t["label"], t["probability"]) for t in runs])
    assert found["auc_a"] == pytest.approx(mean)
    assert found["difference"]["value"] == pytest.approx(mean - found["auc_b"])

    def patients_alone(weights):
        return np.mean([auc(weights) for auc in aucs], axis=0) - weighted_auc(good["label"], good["probability"])(
            weights
        )

    narrow = bootstrap(patients_alone, good["patient_id"], draws=300)
    assert found["difference"]["high"] - found["difference"]["low"] > 1.5 * (narrow.high - narrow.low)


def test_a_side_without_seeds_is_refused(good):
    with pytest.raises(ValueError, match="at least one seed"):
        compare_seeds([], [good])


@pytest.fixture
def maps() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({
        "image_id": [f"i{k}" for k in range(30)], "patient_id": [f"p{k // 2}" for k in range(30)], "map": "gradcam",
        "degenerate": 0, "background_ratio": rng.uniform(0.2, 0.4, 30), "background_chance": 0.5,
    })  # fmt: skip


def test_explanations_are_compared_image_by_image(maps):
    twin = maps.assign(background_ratio=maps["background_ratio"] + 0.1).sample(frac=1, random_state=0)
    found = compare_explanations(maps, twin, draws=100)["gradcam"]
    gap = found["difference"]
    assert (gap["value"], gap["low"], gap["high"]) == pytest.approx((-0.1, -0.1, -0.1))
    assert (found["images"], found["left_out"]) == (30, 0)


def test_images_without_a_twin_are_counted_as_left_out(maps):
    other = maps.iloc[3:].copy()
    other.loc[10, "background_ratio"] = np.nan
    found = compare_explanations(maps, other, draws=20)["gradcam"]
    assert (found["images"], found["left_out"]) == (26, 4)


def test_explanations_without_a_common_image_are_refused(maps):
    with pytest.raises(ValueError, match="both sides"):
        compare_explanations(maps, maps.assign(image_id="x" + maps["image_id"]))


def test_a_patient_of_many_images_counts_once(maps):
    uneven = maps.assign(patient_id=np.where(np.arange(30) < 20, "p0", maps["patient_id"]))
    shift = np.where(uneven["patient_id"] == "p0", 0.3, 0.0)
    found = compare_explanations(uneven.assign(background_ratio=uneven["background_ratio"] + shift), uneven, draws=20)
    assert found["gradcam"]["difference"]["value"] == pytest.approx(0.3 / 6)  # one of six patients, 20 of 30 images
    assert found["gradcam"]["images"] == 30
