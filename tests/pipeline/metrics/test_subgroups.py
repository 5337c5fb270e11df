"""Groups of test images: from the right rows, tiny ones without figures."""

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.metrics import subgroups
from mammo.pipeline.metrics.subgroups import MIN_PATIENTS, age_bands
from sklearn.metrics import recall_score, roc_auc_score

OPTIONS = {"draws": 30, "seed": 0}


@pytest.fixture
def known() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 120)
    density = np.where(np.arange(120) < 4, "D", rng.choice(list("AB"), 120))
    noise = np.where(density == "B", 2.0, 0.5)  # the model is worse on B
    return pd.DataFrame({
        "image_id": np.arange(120).astype(str), "patient_id": np.arange(120).astype(str), "label": labels,
        "probability": 1 / (1 + np.exp(-(2 * labels - 1 + noise * rng.normal(size=120)))),
        "density": density, "view": "CC", "age": rng.integers(35, 80, 120), "device": None,
    })  # fmt: skip


def test_auc_and_rates_are_those_of_the_groups_rows(known):
    part = known[known["density"] == "A"]
    found = subgroups(known, 0.4, OPTIONS)["density"]["A"]
    assert found["auc"]["value"] == pytest.approx(roc_auc_score(part["label"], part["probability"]))
    called = part["probability"] >= 0.4
    assert found["sensitivity"]["value"] == pytest.approx(recall_score(part["label"], called))
    assert found["specificity"]["value"] == pytest.approx(recall_score(part["label"], called, pos_label=0))


def test_the_difference_is_to_all_other_rows(known):
    inside = known["density"] == "A"
    aucs = [roc_auc_score(known[rows]["label"], known[rows]["probability"]) for rows in (inside, ~inside)]
    assert subgroups(known, None, OPTIONS)["density"]["A"]["difference"]["value"] == pytest.approx(aucs[0] - aucs[1])


def test_a_tiny_group_has_counts_and_no_value(known):
    found = subgroups(known, 0.4, OPTIONS)["density"]["D"]
    assert found["images"] == found["patients"] == 4
    assert found["auc"]["value"] is None
    assert found["sensitivity"] == {"value": None, "reason": f"fewer than {MIN_PATIENTS} positive patients"}
    assert found["specificity"] == {"value": None, "reason": f"fewer than {MIN_PATIENTS} negative patients"}


def test_nothing_is_compared_with_a_tiny_rest(known):
    pair = known[known["density"].isin(["A", "D"])]
    found = subgroups(pair, None, OPTIONS)["density"]["A"]
    assert found["auc"]["value"] is not None
    assert found["difference"]["value"] is None
    assert "of the other groups" in found["difference"]["reason"]


def test_many_images_of_few_patients_are_a_tiny_group_too(known):
    crowd = known.assign(patient_id=np.where(known["density"] == "A", "one", known["patient_id"]))
    assert subgroups(crowd, None, OPTIONS)["density"]["A"]["auc"]["value"] is None


def test_the_worst_group_is_marked_and_no_other(known):
    parts = subgroups(known, None, OPTIONS)["density"]
    assert [name for name, part in parts.items() if part.get("lowest")] == ["B"]


def test_columns_of_one_value_or_none_are_left_out(known):
    assert set(subgroups(known, None, OPTIONS)) == {"density", "age_band"}


def test_ages_fall_into_bands_in_order_of_age(known):
    found = list(subgroups(known, None, OPTIONS)["age_band"])
    assert found == ["under 40", "40 to 49", "50 to 59", "60 to 69", "70 and over"]
    bands = age_bands(pd.Series([39, 40, 69, 70, None, "unknown"]))
    assert bands.tolist()[:4] == ["under 40", "40 to 49", "60 to 69", "70 and over"]
    assert bands.isna().tolist() == [False] * 4 + [True] * 2
