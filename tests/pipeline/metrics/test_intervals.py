"""The patient bootstrap: what it draws, and that its intervals hold what they should."""

import numpy as np
import pytest
from mammo.pipeline.metrics import (
    bootstrap,
    bootstrap_all,
    bootstrap_draws,
    difference,
    intervals,
    patient_weights,
    restricted,
)
from mammo.pipeline.metrics.weighted import weighted_auc, weighted_average_precision, weighted_mean
from sklearn.metrics import average_precision_score, roc_auc_score


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def images(rng):
    """Labels, tied scores and patients of 120 images, two or three a patient."""
    patients = np.sort(rng.integers(0, 50, 120))
    labels = rng.integers(0, 2, 120)
    return labels, np.round(labels * 0.3 + rng.random(120), 1), patients


def test_rows_of_a_patient_are_drawn_together_and_as_many_patients_as_there_are(images):
    patients = images[2]
    weights = np.concatenate(list(patient_weights(patients, draws=50, seed=1)))
    first = np.unique(patients, return_index=True)[1]
    assert weights.shape == (50, 120)
    np.testing.assert_array_equal(weights[:, first].sum(axis=1), len(first))
    for patient, index in zip(np.unique(patients), first, strict=True):
        assert (weights[:, patients == patient] == weights[:, [index]]).all()


def test_patients_are_drawn_equally_often(rng):
    counts = np.concatenate(list(patient_weights(np.arange(20), draws=4000, seed=3))).mean(axis=0)
    np.testing.assert_allclose(counts, 1, atol=5 / np.sqrt(4000))  # five standard errors


def test_draws_do_not_depend_on_how_they_are_cut_into_chunks(images, monkeypatch):
    whole = np.concatenate(list(patient_weights(images[2], draws=37, seed=5)))
    monkeypatch.setattr(intervals, "CHUNK_ELEMENTS", 400)
    chunks = list(patient_weights(images[2], draws=37, seed=5))
    assert len(chunks) > 10
    np.testing.assert_array_equal(np.concatenate(chunks), whole)


def test_one_seed_gives_one_interval_and_another_seed_another(images):
    labels, scores, patients = images
    one, same, other = (bootstrap(weighted_auc(labels, scores), patients, draws=200, seed=s) for s in (1, 1, 2))
    assert one == same
    assert one.value == other.value
    assert one.low != other.low


@pytest.mark.parametrize(
    ("ours", "sklearns"),
    [(weighted_auc, roc_auc_score), (weighted_average_precision, average_precision_score)],
)
def test_each_draw_equals_scikit_learn_with_sample_weights(images, ours, sklearns):
    labels, scores, patients = images
    draws = bootstrap_draws(ours(labels, scores), patients, draws=100, seed=0)
    weights = np.concatenate(list(patient_weights(patients, draws=100, seed=0)))
    expected = [sklearns(labels, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(draws, expected, rtol=1e-10)


def test_the_interval_is_the_percentiles_of_the_draws(images):
    labels, scores, patients = images
    draws = bootstrap_draws(weighted_auc(labels, scores), patients, draws=300, seed=0)
    result = bootstrap(weighted_auc(labels, scores), patients, draws=300, seed=0, level=0.9)
    assert (result.low, result.high) == pytest.approx(tuple(np.quantile(draws, [0.05, 0.95])))
    assert result.value == pytest.approx(roc_auc_score(labels, scores))


def test_more_images_of_the_same_patients_make_nothing_more_certain(images):
    labels, scores, patients = images
    once = bootstrap(weighted_auc(labels, scores), patients, draws=200)
    tripled = (np.tile(column, 3) for column in (labels, scores))
    thrice = bootstrap(weighted_auc(*tripled), np.tile(patients, 3), draws=200)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng, held = np.random.default_rng(11), 0
    for trial in range(300):
        values = rng.normal(size=60)
        result = bootstrap(weighted_mean(values), np.arange(60), draws=200, seed=trial)
        held += result.low <= 0 <= result.high
    # 95 % of 300 is 285, standard error 3.8; percentile intervals of 60 values hold a little less than they say.
    assert 268 <= held <= 297


def test_draws_without_both_classes_are_skipped_and_counted():
    labels, patients = np.array([0, 1]), np.array(["a", "b"])
    result = bootstrap(weighted_auc(labels, [0.2, 0.9]), patients, draws=1000)
    values = bootstrap_draws(weighted_auc(labels, [0.2, 0.9]), patients, draws=1000)
    assert result.skipped == np.isnan(values).sum()
    assert 400 < result.skipped < 600
    assert result.draws + result.skipped == 1000


def test_an_undefined_statistic_is_none_with_its_reason_and_never_nan():
    result = bootstrap(weighted_auc([1, 1], [0.2, 0.9]), ["a", "b"], draws=10, reason="no negative")
    assert result.as_dict() == {
        "value": None, "low": None, "high": None, "level": 0.95, "draws": 0, "skipped": 10, "reason": "no negative",
    }  # fmt: skip


def test_one_patient_has_a_value_but_no_interval():
    result = bootstrap(weighted_mean([1.0, 3.0]), ["a", "a"], draws=10)
    assert (result.value, result.low, result.high) == (2.0, None, None)
    assert result.reason == "one patient only: no interval"


def test_a_full_result_has_no_reason(images):
    assert "reason" not in bootstrap(weighted_mean(images[1]), images[2], draws=10).as_dict()


def test_the_paired_difference_of_a_model_to_itself_is_exactly_zero(images):
    labels, scores, patients = images
    auc = weighted_auc(labels, scores)
    result = bootstrap(difference(auc, auc), patients, draws=50)
    assert (result.value, result.low, result.high) == (0.0, 0.0, 0.0)


def test_pairing_makes_the_difference_of_alike_models_more_certain(images, rng):
    labels, scores, patients = images
    near = scores + rng.normal(0, 0.02, len(scores))
    first, second = weighted_auc(labels, scores), weighted_auc(labels, near)
    paired = np.std(bootstrap_draws(difference(first, second), patients, draws=500, seed=0))
    apart = bootstrap_draws(first, patients, draws=500, seed=1) - bootstrap_draws(second, patients, draws=500, seed=2)
    assert paired < 0.5 * np.std(apart)


def test_a_restricted_statistic_sees_its_rows_only(images):
    labels, scores, patients = images
    rows = patients % 2 == 0
    whole = bootstrap(restricted(weighted_auc(labels[rows], scores[rows]), rows), patients, draws=50)
    assert whole.value == pytest.approx(roc_auc_score(labels[rows], scores[rows]))


def test_several_statistics_share_their_draws(images):
    labels, scores, patients = images
    both = bootstrap_all({"a": weighted_auc(labels, scores), "b": weighted_mean(scores)}, patients, draws=60)
    assert both["a"] == bootstrap(weighted_auc(labels, scores), patients, draws=60)
    assert both["b"] == bootstrap(weighted_mean(scores), patients, draws=60)


@pytest.mark.parametrize(("draws", "rows", "level"), [(0, 3, 0.95), (10, 0, 0.95), (10, 3, 1.0), (10, 3, 0.0)])
def test_a_bootstrap_that_cannot_be_is_refused(draws, rows, level):
    with pytest.raises(ValueError, match=r"bootstrap needs rows and draws|is not inside"):
        bootstrap(weighted_mean(np.zeros(rows)), np.arange(rows), draws=draws, level=level)
