"""Weighted statistics against scikit-learn and plain loops."""

import numpy as np
import pytest
from mammo.pipeline.metrics.weighted import (
    precision_on_grid,
    roc_on_grid,
    weighted_gap,
    weighted_mean,
    weighted_probabilistic_f1,
    weighted_rate,
    weighted_sensitivity_at,
    weighted_specificity_at,
)
from sklearn.metrics import f1_score, roc_curve


@pytest.fixture
def case():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 60)
    scores = np.round(0.3 * labels + rng.random(60), 1)
    return labels, scores, rng.integers(0, 4, (30, 60)).astype(float)


@pytest.mark.parametrize("specificity", [0.5, 0.8, 0.95, 1.0])
def test_sensitivity_at_a_specificity_equals_a_search_of_the_roc_curve(case, specificity):
    labels, scores, weights = case
    found = weighted_sensitivity_at(labels, scores, specificity)(weights)
    for value, row in zip(found, weights, strict=True):
        false, true, _ = roc_curve(labels, scores, sample_weight=row, drop_intermediate=False)
        assert value == pytest.approx(true[false <= 1 - specificity + 1e-9].max())


@pytest.mark.parametrize("sensitivity", [0.3, 0.8, 0.95, 1.0])
def test_specificity_at_a_sensitivity_equals_a_search_of_the_roc_curve(case, sensitivity):
    labels, scores, weights = case
    found = weighted_specificity_at(labels, scores, sensitivity)(weights)
    for value, row in zip(found, weights, strict=True):
        false, true, _ = roc_curve(labels, scores, sample_weight=row, drop_intermediate=False)
        assert value == pytest.approx(1 - false[true >= sensitivity - 1e-9].min())


def test_a_weighted_f1_is_that_of_scikit_learn(case):
    labels, scores, weights = case
    found = weighted_probabilistic_f1(labels, scores >= 0.5)(weights)
    expected = [f1_score(labels, scores >= 0.5, sample_weight=row) for row in weights]
    np.testing.assert_allclose(found, expected)


def test_without_a_positive_there_is_no_f1():
    assert np.isnan(weighted_probabilistic_f1([0, 0], [0.2, 0.4])(np.ones((1, 2)))).all()


def test_roc_bands_follow_the_weighted_roc_curve(case):
    labels, scores, weights = case
    grid = np.linspace(0, 1, 21)
    curves = roc_on_grid(labels, scores, grid)(weights)
    for curve, row in zip(curves, weights, strict=True):
        false, true, _ = roc_curve(labels, scores, sample_weight=row, drop_intermediate=False)
        np.testing.assert_allclose(curve, np.interp(grid, false, true), atol=1e-12)


def test_precision_bands_take_the_highest_threshold_that_reaches_the_recall(case):
    labels, scores, weights = case
    grid = np.linspace(0.05, 1, 20)
    curves = precision_on_grid(labels, scores, grid)(weights)
    for curve, row in zip(curves, weights, strict=True):
        for recall, value in zip(grid, curve, strict=True):
            for threshold in np.unique(scores)[::-1]:
                called = scores >= threshold
                hits = row[called & (labels == 1)].sum()
                if hits >= recall * row[labels == 1].sum() - 1e-9 and row[called].sum() > 0:
                    assert value == pytest.approx(hits / row[called].sum())
                    break


def test_a_weight_of_two_is_a_row_written_twice(case):
    labels, scores, weights = case
    bins = (scores * 3).astype(int)
    statistic = weighted_gap(labels, scores, bins)
    for row in weights[:5]:
        times = row.astype(int)
        repeated = weighted_gap(np.repeat(labels, times), np.repeat(scores, times), np.repeat(bins, times))
        assert statistic(row[None])[0] == pytest.approx(repeated(np.ones((1, times.sum())))[0])


def test_a_mean_leaves_out_what_is_no_number():
    found = weighted_mean([1.0, np.nan, 3.0])(np.array([[1.0, 5.0, 1.0], [0.0, 1.0, 0.0]]))
    np.testing.assert_array_equal(found, [2.0, np.nan])


def test_a_rate_counts_within_its_denominator_only():
    rate = weighted_rate([True, True, False, True], [True, False, True, True])
    np.testing.assert_allclose(rate(np.array([[1.0, 9.0, 1.0, 2.0]])), [3 / 4])
