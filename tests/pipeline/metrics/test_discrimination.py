"""Discrimination at thresholds and over them."""

import numpy as np
import pytest
from mammo.pipeline.metrics import (
    area_under_roc,
    average_precision,
    choose_threshold,
    confusion,
    probabilistic_f1,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_curve

LABELS = [0, 0, 0, 0, 1, 1, 1, 1]
SCORES = [0.1, 0.2, 0.3, 0.8, 0.4, 0.6, 0.7, 0.9]


def test_auc_is_the_share_of_pairs_in_the_right_order():
    assert area_under_roc(LABELS, SCORES) == 13 / 16


def test_average_precision_by_hand():
    # Positives at ranks 1, 3, 4, 5 from the top.
    assert average_precision(LABELS, SCORES) == pytest.approx((1 + 2 / 3 + 3 / 4 + 4 / 5) / 4)


def test_the_confusion_matrix_by_hand():
    table = confusion(LABELS, SCORES, 0.6)
    assert (table.true_positive, table.false_negative) == (3, 1)
    assert (table.false_positive, table.true_negative) == (1, 3)
    assert (table.sensitivity, table.specificity, table.accuracy) == (0.75, 0.75, 0.75)


def test_a_score_at_the_threshold_counts_as_positive():
    assert confusion([1], [0.5], 0.5).true_positive == 1


def test_balanced_accuracy_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    labels, scores = rng.random(200) < 0.2, rng.random(200)
    ours = confusion(labels, scores, 0.3).balanced_accuracy
    assert ours == pytest.approx(balanced_accuracy_score(labels, scores >= 0.3))


def test_an_undefined_rate_is_nan():
    assert np.isnan(confusion([0, 0], [0.1, 0.9], 0.5).sensitivity)


def test_youden_takes_the_best_balance_and_the_highest_of_equals():
    assert choose_threshold([0, 0, 1, 1], [0.1, 0.4, 0.6, 0.9]) == 0.6
    assert choose_threshold(LABELS, SCORES) == 0.4


@pytest.mark.parametrize("level", [0.0, 0.3, 0.5, 0.8, 0.9, 1.0])
def test_a_threshold_for_a_specificity_is_the_most_sensitive_that_reaches_it(level):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 80)
    scores = np.round(labels * 0.4 + rng.random(80), 2)
    table = confusion(labels, scores, choose_threshold(labels, scores, "specificity", level))
    candidates = [confusion(labels, scores, t) for t in (*np.unique(scores), 9)]
    assert table.specificity >= level
    assert table.sensitivity == max(c.sensitivity for c in candidates if c.specificity >= level)
    assert table.sensitivity == pytest.approx(sensitivity_at_specificity(labels, scores, level))


@pytest.mark.parametrize("level", [0.0, 0.3, 0.5, 0.8, 0.9, 1.0])
def test_a_threshold_for_a_sensitivity_is_the_most_specific_that_reaches_it(level):
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 2, 80)
    scores = np.round(labels * 0.4 + rng.random(80), 2)
    table = confusion(labels, scores, choose_threshold(labels, scores, "sensitivity", level))
    candidates = [confusion(labels, scores, t) for t in (*np.unique(scores), 9)]
    assert table.sensitivity >= level
    assert table.specificity == max(c.specificity for c in candidates if c.sensitivity >= level)
    assert table.specificity == pytest.approx(specificity_at_sensitivity(labels, scores, level))


def test_a_specificity_that_no_score_reaches_gives_a_finite_threshold_that_flags_nobody():
    threshold = choose_threshold([0, 1], [0.9, 0.1], "specificity", 1.0)
    assert np.isfinite(threshold)
    assert confusion([0, 1], [0.9, 0.1], threshold).false_positive == 0


@pytest.mark.parametrize("measure", [area_under_roc, average_precision, choose_threshold])
@pytest.mark.parametrize(("label", "named"), [(0, r"no positive \(1\)"), (1, r"no negative \(0\)")])
def test_one_class_only_is_refused_by_name(measure, label, named):
    with pytest.raises(ValueError, match=named):
        measure([label, label], [0.1, 0.9])


@pytest.mark.parametrize(
    ("labels", "scores", "said"),
    [
        ([0, 1], [0.5], "equally long"),
        ([0, -1], [0.5, 0.6], "0 or 1"),
        ([0, 1], [0.5, np.nan], "1 scores are not finite"),
    ],
)
def test_what_is_no_prediction_is_refused(labels, scores, said):
    with pytest.raises(ValueError, match=said):
        area_under_roc(labels, scores)


@pytest.mark.parametrize(("rule", "at"), [("youden", 0.9), ("f1", 0.5), ("specificity", None), ("sensitivity", 1.5)])
def test_a_rule_without_its_number_is_refused(rule, at):
    with pytest.raises(ValueError, match="youden"):
        choose_threshold(LABELS, SCORES, rule, at)


def test_the_curve_has_a_finite_first_threshold():
    # scikit-learn starts its curve at infinity, which JSON cannot hold.
    assert np.isinf(roc_curve(LABELS, SCORES)[2][0])
    assert np.isfinite(choose_threshold([0, 0, 1], [0.5, 0.9, 0.1]))


def test_probabilistic_f1_by_hand():
    # Probabilistic true positives 0.9 + 0.2, precision 1.1 / 1.5, recall 1.1 / 2.
    precision, recall = 1.1 / 1.5, 1.1 / 2
    expected = 2 * precision * recall / (precision + recall)
    assert probabilistic_f1([1, 1, 0, 0], [0.9, 0.2, 0.3, 0.1]) == pytest.approx(expected)


def test_probabilistic_f1_of_hard_calls_is_f1():
    rng = np.random.default_rng(0)
    labels, called = rng.integers(0, 2, 60), rng.integers(0, 2, 60)
    assert probabilistic_f1(labels, called) == pytest.approx(f1_score(labels, called))


def test_tied_scores_are_flagged_together_whatever_the_specificity_asked_for():
    # Three negatives and one positive share 0.5: above it one positive of two and no negative.
    labels, scores = [0, 0, 0, 0, 1, 1], [0.1, 0.5, 0.5, 0.5, 0.5, 0.9]
    assert sensitivity_at_specificity(labels, scores, 0.9) == 0.5
    assert choose_threshold(labels, scores, "specificity", 0.9) == 0.9
    assert sensitivity_at_specificity(labels, scores, 0.25) == 1.0
    assert choose_threshold(labels, scores, "specificity", 0.25) == 0.5
    assert specificity_at_sensitivity(labels, scores, 0.6) == 0.25
