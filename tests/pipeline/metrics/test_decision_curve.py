"""Net benefit by hand and against its definition."""

import numpy as np
import pytest
from mammo.pipeline.metrics import decision_curve
from mammo.pipeline.metrics.decision_curve import GRID


def test_net_benefit_by_hand():
    # At 0.5: one of two positives found, one false alarm: 1/4 - 1/4 * 0.5/0.5 = 0.
    curve = decision_curve([1, 1, 0, 0], [0.9, 0.3, 0.6, 0.1], list("abcd"), draws=5)
    at = curve["threshold"].index(pytest.approx(0.5))
    assert curve["model"][at] == pytest.approx(0.0)
    # At 0.2: both found, one false alarm: 2/4 - 1/4 * 0.2/0.8.
    assert curve["model"][curve["threshold"].index(pytest.approx(0.2))] == pytest.approx(0.5 - 0.25 * 0.25)


def test_a_model_that_flags_everybody_equals_treating_all():
    curve = decision_curve([1, 0, 0, 1, 0], [1.0] * 5, list("abcde"), draws=5)
    np.testing.assert_allclose(curve["model"], curve["treat_all"], atol=1e-12)  # around zero


def test_a_model_that_flags_nobody_equals_treating_none():
    curve = decision_curve([1, 0, 0], [0.0] * 3, list("abc"), draws=5)
    assert set(curve["model"]) == {curve["treat_none"]}


def test_a_perfect_model_is_worth_the_share_of_positives():
    curve = decision_curve([1, 0, 0, 0], [1.0, 0.0, 0.0, 0.0], list("abcd"), draws=5)
    np.testing.assert_allclose(curve["model"], 0.25)


def test_the_band_holds_the_curve():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    curve = decision_curve(labels, np.clip(0.3 * labels + 0.7 * rng.random(200), 0, 1), np.arange(200), draws=200)
    inside = [
        low <= value <= high for low, value, high in zip(curve["low"], curve["model"], curve["high"], strict=True)
    ]
    assert np.mean(inside) > 0.95
    assert len(inside) == len(GRID)
