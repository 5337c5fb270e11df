"""Many labels at once, against scikit-learn, by hand, and beside MIRAM's own way of counting."""

import json

import numpy as np
import pandas as pd
import pytest
from mammo.pipeline.metrics import (
    RunPredictions,
    aggregate,
    apply_temperature,
    brier_score,
    choose_label_points,
    choose_threshold,
    compare_labels,
    evaluate_labels,
    evaluate_predictions,
    expected_calibration_error,
    patient_weights,
)
from scipy.special import expit, logit
from sklearn.metrics import (
    accuracy_score,
    auc,
    average_precision_score,
    hamming_loss,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

DRAWS = 30
NAMES = ["ill_defined", "spiculated", "obscured"]
LABELS = [f"label_{name}" for name in NAMES]
SCORES = [f"probability_{name}" for name in NAMES]


def predictions(seed: int, patients: int = 60, noise: float = 1.0, luck: int = 0) -> pd.DataFrame:
    """Two views of each patient; ``luck`` changes the scores alone."""
    truth = np.repeat(np.random.default_rng(seed).random((patients, 3)) < (0.5, 0.4, 0.25), 2, axis=0)
    scores = expit(truth - 0.5 + noise * np.random.default_rng([seed, luck]).normal(size=truth.shape))
    frame = pd.DataFrame(truth.astype(int), columns=LABELS).assign(**dict(zip(SCORES, scores.T, strict=True)))
    rows = range(2 * patients)
    return frame.assign(
        image_id=[f"i{seed}_{k}" for k in rows], patient_id=[f"p{seed}_{k // 2}" for k in rows],
        view=["CC", "MLO"] * patients,
    )  # fmt: skip


def arrays(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return table[LABELS].to_numpy(), table[SCORES].to_numpy()


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    return predictions(0), predictions(1)


@pytest.fixture(scope="module")
def metrics(tables):
    return evaluate_labels(*tables, draws=DRAWS)


def test_macro_figures_are_those_of_scikit_learn(metrics, tables):
    truth, scores = arrays(tables[0])
    image = metrics["levels"]["image"]
    assert image["auc"]["value"] == pytest.approx(roc_auc_score(truth, scores, average="macro"))
    assert image["average_precision"]["value"] == pytest.approx(average_precision_score(truth, scores, average="macro"))
    assert image["labels_told"] == NAMES


def test_decisions_are_those_of_scikit_learn_at_thresholds_of_validation(metrics, tables):
    truth, scores = arrays(tables[0])
    tuning = arrays(tables[1])
    thresholds = [choose_threshold(tuning[0][:, k], tuning[1][:, k], "youden") for k in range(3)]
    called = (scores >= thresholds).astype(int)
    image, told = metrics["levels"]["image"], list(metrics["labels"].values())
    assert [one["threshold"]["value"] for one in told] == thresholds
    assert image["exact_match"]["value"] == pytest.approx(accuracy_score(truth, called))
    assert image["hamming_loss"]["value"] == pytest.approx(hamming_loss(truth, called))
    for name, expected in (
        ("sensitivity", recall_score(truth, called, average=None)),
        ("specificity", recall_score(1 - truth, 1 - called, average=None)),
        ("positive_predictive_value", precision_score(truth, called, average=None)),
        ("auc", roc_auc_score(truth, scores, average=None)),
        ("average_precision", average_precision_score(truth, scores, average=None)),
    ):
        assert [one[name]["value"] for one in told] == pytest.approx(list(expected))


def test_calibration_is_the_mean_over_labels(metrics, tables):
    truth, scores = arrays(tables[0])
    temperature = metrics["calibration"]["temperature"]
    for when, values in (("before", scores), ("after", apply_temperature(scores, temperature))):
        pairs = list(zip(truth.T, values.T, strict=True))
        found = metrics["calibration"][when]
        assert found["ece"]["value"] == pytest.approx(np.mean([expected_calibration_error(*pair) for pair in pairs]))
        assert found["brier"]["value"] == pytest.approx(np.mean([brier_score(*pair) for pair in pairs]))


def test_the_interval_is_that_of_whole_patients_drawn(metrics, tables):
    truth, scores = arrays(tables[0])
    weights = np.concatenate(list(patient_weights(tables[0]["patient_id"], DRAWS, 0))).astype(int)
    values = [roc_auc_score(np.repeat(truth, w, axis=0), np.repeat(scores, w, axis=0)) for w in weights]
    told = metrics["levels"]["image"]["auc"]
    assert [told["low"], told["high"]] == pytest.approx(list(np.quantile(values, [0.025, 0.975])))


def test_rows_are_counted(tables):
    test = tables[0].copy()
    test.loc[:4, LABELS] = -1
    counts = evaluate_labels(test, pd.concat([tables[1], tables[0].iloc[-2:]]), draws=2)["counts"]
    truth = test[LABELS].iloc[5:].to_numpy()
    assert counts == {
        "images": 120, "patients": 60, "unlabelled": 5, "with_several_labels": int((truth.sum(axis=1) > 1).sum()),
        "positive": dict(zip(NAMES, truth.sum(axis=0).tolist(), strict=True)), "validation_images": 122,
        "patients_in_test_and_validation": 1,
    }  # fmt: skip


@pytest.fixture
def lesions() -> pd.DataFrame:
    """The first has both margins; a: 3 of 4 pairs in order, b: all 3."""
    return pd.DataFrame({
        "image_id": list("wxyz"), "patient_id": list("wxyz"),
        "label_a": [1, 1, 0, 0], "probability_a": [0.9, 0.5, 0.2, 0.6],
        "label_b": [1, 0, 1, 1], "probability_b": [0.9, 0.1, 0.8, 0.7],
    })  # fmt: skip


def test_a_lesion_with_two_margins_is_positive_for_both(lesions):
    found = evaluate_labels(lesions, draws=2)
    assert found["levels"]["image"]["auc"]["value"] == pytest.approx((3 / 4 + 1) / 2)
    assert [part["positive"] for part in found["labels"].values()] == [2, 3]


def test_as_a_class_of_its_own_that_is_negative_for_all_it_gives_another_figure(lesions):
    # What the author's evaluation does: label_binarize of the folder, and the folder of both is no class.
    spoilt = lesions.assign(label_a=[0, 1, 0, 0], label_b=[0, 0, 1, 1])
    assert evaluate_labels(spoilt, draws=2)["levels"]["image"]["auc"]["value"] == pytest.approx((1 / 3 + 2 / 4) / 2)


def authors_area(truth: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Area under the mean of the curves on the union of their false positive rates, and its widest gap."""
    curves = [roc_curve(truth[:, k], scores[:, k])[:2] for k in range(truth.shape[1])]
    grid = np.unique(np.concatenate([false for false, _ in curves]))
    mean = sum(np.interp(grid, false, true) for false, true in curves) / len(curves)
    return auc(grid, mean), np.diff(grid).max()


def test_the_area_under_the_mean_curve_is_the_macro_auc_where_no_curve_rises_upright(tables):
    steps = tables[0].assign(**{name: np.tile(np.linspace(0.1, 0.8, 8), 15) for name in SCORES})
    steps[SCORES] = (steps[SCORES] + 0.1 * np.random.default_rng(0).integers(0, 3, (120, 3))).round(1)
    truth, scores = arrays(steps)
    assert all(set(scores[truth[:, k] == 0, k]) == set(scores[:, k]) for k in range(3))  # each step has negatives
    area = evaluate_labels(steps, draws=2)["levels"]["image"]["auc"]["value"]
    assert area == pytest.approx(authors_area(truth, scores)[0])


def test_elsewhere_it_exceeds_the_macro_auc_by_half_a_gap_at_most(metrics, tables):
    # An upright step of one curve is read at its top and joined to the point before by a slope.
    area, gap = authors_area(*arrays(tables[0]))
    assert 0 < area - metrics["levels"]["image"]["auc"]["value"] <= gap / 2


def test_what_is_not_known_of_an_image_does_not_count_for_that_label(tables):
    test = tables[0].copy()
    test.loc[:50, LABELS[1]] = -1
    found = evaluate_labels(test, tables[1], draws=DRAWS)
    truth, scores = arrays(tables[0])
    areas = [roc_auc_score(truth[first:, k], scores[first:, k]) for k, first in enumerate((0, 51, 0))]
    assert found["levels"]["image"]["auc"]["value"] == pytest.approx(np.mean(areas))
    assert found["labels"]["spiculated"]["images"] == 69
    called = scores >= [part["threshold"]["value"] for part in found["labels"].values()]
    assert found["levels"]["image"]["exact_match"]["value"] == pytest.approx((called == truth)[51:].all(axis=1).mean())
    wrong = called != truth
    wrong[:51, 1] = False
    assert found["levels"]["image"]["hamming_loss"]["value"] == pytest.approx(wrong.sum() / (3 * 120 - 51))


def test_its_interval_has_the_weights_of_the_rows_that_know_it(tables):
    test = tables[0].copy()
    unknown = np.random.default_rng(0).random(120) < 0.5
    test.loc[unknown, LABELS[1]] = -1
    told = evaluate_labels(test, draws=DRAWS)["labels"]["spiculated"]["auc"]
    truth, scores = (values[~unknown, 1] for values in arrays(tables[0]))
    weights = np.concatenate(list(patient_weights(test["patient_id"], DRAWS, 0)))[:, ~unknown]
    values = [roc_auc_score(truth, scores, sample_weight=w) for w in weights]
    assert [told["low"], told["high"]] == pytest.approx(list(np.quantile(values, [0.025, 0.975])))


def test_a_label_that_no_image_has_is_left_out_of_the_mean_with_a_reason(tables):
    found = evaluate_labels(tables[0].assign(label_obscured=0), tables[1], draws=5)
    truth, scores = arrays(tables[0])
    assert found["levels"]["image"]["labels_told"] == NAMES[:2]
    assert found["levels"]["image"]["auc"]["value"] == pytest.approx(roc_auc_score(truth[:, :2], scores[:, :2]))
    assert found["labels"]["obscured"]["auc"]["value"] is None
    assert "no positive" in found["labels"]["obscured"]["auc"]["reason"]
    assert found["labels"]["obscured"]["specificity"]["value"] is not None


def test_one_temperature_mends_all_labels_together():
    rng = np.random.default_rng(3)
    true = rng.uniform(0.05, 0.95, (20_000, 2))
    table = pd.DataFrame((rng.random(true.shape) < true).astype(int), columns=["label_a", "label_b"])
    spoilt = dict(zip(["probability_a", "probability_b"], expit(2.5 * logit(true)).T, strict=True))
    # The likelihood's own noise: the truth itself fits best at 1 within some per cent.
    assert choose_label_points(table.assign(**spoilt))["temperature"] == pytest.approx(2.5, rel=0.04)


def test_nothing_is_chosen_on_test_rows(metrics, tables):
    other = evaluate_labels(tables[0].assign(label_obscured=1 - tables[0]["label_obscured"]), tables[1], draws=2)
    told = [{name: part["threshold"] for name, part in one["labels"].items()} for one in (metrics, other)]
    assert told[0] == told[1]
    assert metrics["calibration"]["temperature"] == other["calibration"]["temperature"]


def test_points_of_another_evaluation_are_used_as_they_are(metrics, tables):
    points = choose_label_points(tables[1])
    again = evaluate_labels(tables[0], points=points, draws=DRAWS)
    assert again["labels"] == metrics["labels"]
    assert again["calibration"] == metrics["calibration"]
    with pytest.raises(ValueError, match="nothing of label 'obscured'"):
        evaluate_labels(tables[0], points=points | {"thresholds": {n: {"youden": 0.5} for n in NAMES[:2]}})


def test_without_validation_decisions_are_null_with_a_reason(tables):
    found = evaluate_labels(tables[0], draws=5)
    places = [found["levels"]["image"]["exact_match"], found["levels"]["image"]["hamming_loss"]]
    places += [found["labels"]["obscured"][key] for key in ("threshold", "sensitivity", "specificity")]
    assert {(one["value"], one["reason"]) for one in places} == {
        (None, "no labelled validation predictions were given")
    }
    assert found["calibration"]["after"] is None


def test_a_label_that_validation_lacks_has_no_threshold_and_the_others_have(tables):
    found = evaluate_labels(tables[0], tables[1].assign(label_obscured=0), draws=5)
    reason = found["labels"]["obscured"]["threshold"]["reason"]
    assert "obscured: no positive" in reason
    assert found["labels"]["spiculated"]["threshold"]["value"] is not None
    assert found["levels"]["image"]["exact_match"] == {"value": None, "reason": reason}
    assert found["calibration"]["temperature"] is not None


def test_groups_have_the_macro_auc_of_their_rows(metrics, tables):
    groups = metrics["subgroups"]["view"]
    for view, rows in tables[0].groupby("view"):
        assert groups[view]["auc"]["value"] == pytest.approx(roc_auc_score(*arrays(rows)))
    assert sum(bool(part.get("lowest")) for part in groups.values()) == 1


def test_a_group_with_few_patients_of_a_label_is_counted_and_not_judged(tables):
    test = tables[0].assign(density=["A"] * 8 + ["B"] * 112)
    found = evaluate_labels(test, draws=5)["subgroups"]["density"]["A"]
    assert (found["images"], found["patients"], found["auc"]["value"]) == (8, 4, None)
    assert "fewer than 5 patients with or without ill_defined" in found["auc"]["reason"]


CHANGES = {
    "no label there": lambda t: t.assign(**dict.fromkeys(LABELS, 0)),
    "all there": lambda t: t.assign(**dict.fromkeys(LABELS, 1)),
    "one label never known": lambda t: t.assign(label_obscured=-1),
    "one image": lambda t: t.head(1),
    "constant": lambda t: t.assign(**dict.fromkeys(SCORES, 0.25)),
    "certain": lambda t: t.assign(**dict(zip(SCORES, t[LABELS].to_numpy().T.astype(float), strict=True))),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("which", [0, 1])
def test_whatever_is_missing_the_result_is_valid_json(tables, change, which):
    changed = [table if index != which else change(table) for index, table in enumerate(tables)]
    text = json.dumps(evaluate_labels(*changed, draws=5), allow_nan=False)
    assert json.loads(text)["counts"]["images"] == len(changed[0])
    assert json.dumps(choose_label_points(changed[1]), allow_nan=False)


def test_other_tables_are_refused(tables):
    test, validation = tables
    with pytest.raises(ValueError, match="no row has a known label"):
        evaluate_labels(test.assign(**dict.fromkeys(LABELS, -1)))
    with pytest.raises(ValueError, match="validation has"):
        evaluate_labels(test, validation.drop(columns=[LABELS[0], SCORES[0]]))
    one = test.rename(columns={LABELS[0]: "label", SCORES[0]: "probability"}).drop(columns=[*LABELS[1:], *SCORES[1:]])
    assert evaluate_predictions(one, draws=2)["counts"]["images"] == 120
    with pytest.raises(ValueError, match="no table of many labels"):
        evaluate_labels(one)
    with pytest.raises(ValueError, match="per image alone"):
        aggregate(test, "patient")


@pytest.fixture(scope="module")
def recipes() -> list[RunPredictions]:
    """Three models of the same images."""
    return [
        RunPredictions(*(predictions(s, 60, noise, luck) for s in (0, 1))) for luck, noise in enumerate((0.4, 2, 1))
    ]


def test_two_recipes_are_compared_on_the_same_patients(recipes):
    a, b, _ = recipes
    shuffled = RunPredictions(b.test.sample(frac=1, random_state=0), b.validation)
    found = compare_labels([a], [shuffled], draws=DRAWS)
    measures = found["levels"]["image"]["measures"]
    values = [roc_auc_score(*arrays(one.test)) for one in (a, b)]
    assert [measures["auc"][side]["value"] for side in "ab"] == pytest.approx(values)
    assert measures["auc"]["difference"]["value"] == pytest.approx(values[0] - values[1])
    weights = np.concatenate(list(patient_weights(a.test["patient_id"], DRAWS, 0))).astype(int)
    gaps = [
        np.subtract(*(roc_auc_score(*(np.repeat(x, w, 0) for x in arrays(r.test))) for r in (a, b))) for w in weights
    ]
    bounds = [measures["auc"]["difference"][end] for end in ("low", "high")]
    assert bounds == pytest.approx(list(np.quantile(gaps, [0.025, 0.975])))
    assert measures["auc, obscured"]["a"]["value"] == pytest.approx(roc_auc_score(a.test[LABELS[2]], a.test[SCORES[2]]))
    assert {"ece with temperature", "exact_match", "sensitivity, spiculated"} <= set(measures)
    assert json.dumps(found, allow_nan=False)


def test_a_recipe_does_not_differ_from_itself(recipes):
    told = compare_labels(recipes[:1], recipes[:1], draws=10)["levels"]["image"]["measures"]
    assert {(one["difference"]["low"], one["difference"]["high"]) for one in told.values()} == {(0, 0)}


def test_several_seeds_give_means(recipes):
    found = compare_labels([recipes[0], recipes[2]], recipes[1:2], draws=10)
    values = [roc_auc_score(*arrays(one.test)) for one in (recipes[0], recipes[2], recipes[1])]
    told = found["levels"]["image"]["measures"]["auc"]
    assert told["difference"]["value"] == pytest.approx(np.mean(values[:2]) - values[2])
    assert (found["seeds_a"], found["seeds_b"]) == (2, 1)


def test_without_validation_a_comparison_has_no_decisions(recipes):
    told = compare_labels([RunPredictions(recipes[0].test)], recipes[1:2], draws=5)["levels"]["image"]["measures"]
    assert "auc" in told
    assert not [name for name in told if "match" in name or "sensitivity" in name or "temperature" in name]


def test_runs_that_cannot_be_paired_are_refused(recipes):
    a, b, _ = recipes
    with pytest.raises(ValueError, match="differ in 1 images"):
        compare_labels([a], [RunPredictions(b.test.iloc[1:])], draws=2)
    other = b.test.copy()
    other.loc[3, "label_obscured"] = 1 - other.loc[3, "label_obscured"]
    with pytest.raises(ValueError, match=r"i0_3.*different labels"):
        compare_labels([a], [RunPredictions(other)], draws=2)
    with pytest.raises(ValueError, match="different questions"):
        compare_labels([a], [RunPredictions(b.test.drop(columns=[LABELS[0], SCORES[0]]))], draws=2)
    with pytest.raises(ValueError, match="at least one run"):
        compare_labels([], [a])
