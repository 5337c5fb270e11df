"""DeLong's test against loops, the bootstrap and itself."""

import itertools

import numpy as np
import pytest
from mammo.pipeline.metrics import bootstrap_draws, delong, difference
from mammo.pipeline.metrics.weighted import weighted_auc
from scipy.stats import norm


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 70)
    truth = labels * 1.0 + rng.normal(0, 1, 70)
    a, b = (np.round(truth + rng.normal(0, s, 70), 1) for s in (0.3, 0.9))  # rounded: ties
    return labels, a, b


def naive(labels, a, b):
    """Difference and standard error straight from the definition, pair by pair."""
    positive, negative = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    kernel = np.zeros((2, len(positive), len(negative)))
    for m, scores in enumerate((a, b)):
        for (i, p), (j, n) in itertools.product(enumerate(positive), enumerate(negative)):
            kernel[m, i, j] = (scores[p] > scores[n]) + 0.5 * (scores[p] == scores[n])
    rows, columns = np.cov(kernel.mean(axis=2)), np.cov(kernel.mean(axis=1))
    covariance = rows / len(positive) + columns / len(negative)
    contrast = np.array([1, -1])
    gap = contrast @ kernel.mean(axis=(1, 2))
    return gap, np.sqrt(contrast @ covariance @ contrast)


def test_it_equals_a_loop_over_all_pairs_ties_included(case):
    gap, error = naive(*case)
    found = delong(*case)
    assert found.auc_a - found.auc_b == pytest.approx(gap)
    assert found.standard_error == pytest.approx(error)
    assert found.p_value == pytest.approx(2 * norm.sf(abs(gap / error)))


def test_one_image_a_patient_makes_clusters_change_nothing(case):
    assert delong(*case, patients=np.arange(70)).standard_error == pytest.approx(delong(*case).standard_error)


def test_doubling_every_image_halves_no_clustered_variance(case):
    doubled = tuple(np.tile(column, 2) for column in case)
    clustered = delong(*doubled, patients=np.tile(np.arange(70), 2))
    assert clustered.standard_error == pytest.approx(delong(*case).standard_error, rel=0.02)
    assert delong(*doubled).standard_error < 0.8 * clustered.standard_error


def test_the_clustered_error_is_near_that_of_the_patient_bootstrap():
    rng = np.random.default_rng(5)
    patients = np.repeat(np.arange(300), 3)
    labels = np.where(rng.random(900) < 0.9, np.repeat(rng.integers(0, 2, 300), 3), rng.integers(0, 2, 900))
    shared = np.repeat(rng.normal(0, 1, 300), 3)
    a, b = (labels + shared + rng.normal(0, 0.7, 900) for _ in range(2))
    values = bootstrap_draws(difference(weighted_auc(labels, a), weighted_auc(labels, b)), patients, draws=2000)
    # The bootstrap's own error is 1 / sqrt(2 * 2000) = 1.6 %.
    assert delong(labels, a, b, patients).standard_error == pytest.approx(values.std(), rel=0.08)


def test_patients_who_hold_both_classes_are_reckoned_with():
    # One positive and one negative image a patient: what lifts both hardly moves the AUC of the model that sees it.
    rng = np.random.default_rng(6)
    patients, labels = np.repeat(np.arange(400), 2), np.tile([0, 1], 400)
    shared = np.repeat(rng.normal(0, 2, 400), 2)
    a, b = labels + shared + rng.normal(0, 0.5, 800), labels + rng.normal(0, 1, 800)
    values = bootstrap_draws(difference(weighted_auc(labels, a), weighted_auc(labels, b)), patients, draws=2000)
    assert delong(labels, a, b, patients).standard_error == pytest.approx(values.std(), rel=0.08)
    assert delong(labels, a, b).standard_error > 1.3 * values.std()


def test_models_that_rank_alike_do_not_differ(case):
    labels, a, _ = case
    found = delong(labels, a, np.exp(a))
    assert (found.standard_error, found.p_value) == (0.0, 1.0)


def test_without_a_difference_p_values_are_spread_evenly():
    rng = np.random.default_rng(2)
    p_values = []
    for _ in range(400):
        labels = np.repeat([0, 1], 40)
        p_values.append(delong(labels, *(labels + rng.normal(0, 1, (2, 80)))).p_value)
    # 5 % of 400 is 20, standard error 4.4.
    assert 6 <= np.sum(np.array(p_values) < 0.05) <= 36
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.06)


def test_one_patient_of_a_class_is_refused():
    with pytest.raises(ValueError, match="two patients of each class"):
        delong([0, 0, 1, 1], [1, 2, 3, 4], [2, 1, 3, 4], patients=["a", "b", "c", "c"])


def test_four_images_by_hand():
    # Shares of the other class outranked: model a 1 and 0.5 (positives), 0.5 and 1 (negatives); model b 1 throughout.
    # Centred differences are 0.25 and -0.25 in either class: variance 2 * 0.0625 / 1 / 2 each.
    found = delong([1, 1, 0, 0], [3, 1, 2, 0], [2, 3, 0, 1])
    assert (found.auc_a, found.auc_b) == (0.75, 1.0)
    assert found.standard_error == pytest.approx(np.sqrt(0.125))
    assert found.p_value == pytest.approx(2 * norm.sf(0.25 / np.sqrt(0.125)))
