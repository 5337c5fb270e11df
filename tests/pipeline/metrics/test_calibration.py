"""Calibration measures and the temperature."""

import numpy as np
import pytest
import torch
from mammo.pipeline.metrics import (
    apply_temperature,
    area_under_roc,
    brier_score,
    expected_calibration_error,
    fit_temperature,
    reliability_curve,
)
from mammo.pipeline.metrics.calibration import bin_numbers, log_losses
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss


@pytest.fixture
def calibrated():
    """20,000 labels drawn with exactly the probabilities given."""
    rng = np.random.default_rng(0)
    probabilities = rng.beta(1, 2, 20_000)
    return (rng.random(20_000) < probabilities).astype(int), probabilities


def test_ece_by_hand():
    # Bins [0, 0.5] and (0.5, 1]: gaps |0.2 - 1/2| with two rows, |0.8 - 1| with two.
    found = expected_calibration_error([0, 1, 1, 1], [0.1, 0.3, 0.7, 0.9], bins=2)
    assert found == pytest.approx(0.5 * 0.3 + 0.5 * 0.2)


@pytest.mark.parametrize("binning", ["width", "mass"])
def test_ece_of_true_probabilities_is_near_zero(calibrated, binning):
    assert expected_calibration_error(*calibrated, binning=binning) < 0.015  # about 10 bins x 1 / sqrt(20,000)


@pytest.mark.parametrize("binning", ["width", "mass"])
def test_ece_of_a_model_that_always_says_one_is_the_share_of_negatives(binning):
    assert expected_calibration_error([0, 0, 0, 1], [1.0] * 4, binning=binning) == pytest.approx(0.75)


@pytest.mark.parametrize(("binning", "strategy"), [("width", "uniform"), ("mass", "quantile")])
def test_the_reliability_curve_is_that_of_scikit_learn(calibrated, binning, strategy):
    curve = reliability_curve(*calibrated, bins=7, binning=binning)
    observed, predicted = calibration_curve(*calibrated, n_bins=7, strategy=strategy)
    np.testing.assert_allclose(curve.observed, observed)
    np.testing.assert_allclose(curve.predicted, predicted)
    assert curve.count.sum() == 20_000


def test_bins_of_equal_mass_hold_equally_many(calibrated):
    np.testing.assert_array_equal(reliability_curve(*calibrated, bins=10, binning="mass").count, 2000)


def test_equal_probabilities_share_a_bin():
    numbers = bin_numbers([0.2] * 7 + [0.9], bins=4, binning="mass")
    assert len(set(numbers[:7])) == 1


def test_the_order_of_rows_changes_nothing(calibrated):
    labels, probabilities = (column[:500] for column in calibrated)
    for binning in ("width", "mass"):
        forward = expected_calibration_error(labels, probabilities, binning=binning)
        back = expected_calibration_error(labels[::-1], probabilities[::-1], binning=binning)
        assert forward == pytest.approx(back)


def test_brier_by_hand_also_for_one_class():
    assert brier_score([0, 1], [0.1, 0.6]) == pytest.approx((0.01 + 0.16) / 2)
    assert brier_score([1, 1], [0.5, 1.0]) == pytest.approx(0.125)


def test_brier_and_log_loss_are_those_of_scikit_learn(calibrated):
    labels, probabilities = (column[:500] for column in calibrated)
    assert brier_score(labels, probabilities) == pytest.approx(brier_score_loss(labels, probabilities))
    assert log_losses(labels, probabilities).mean() == pytest.approx(log_loss(labels, probabilities))


def test_log_loss_is_finite_at_the_edges():
    assert np.isfinite(log_losses([0, 1], [1.0, 0.0])).all()


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_fit_finds_the_temperature_that_spoilt_the_probabilities(calibrated, temperature):
    labels, probabilities = calibrated
    spoilt = expit(logit(probabilities) * temperature)
    # The likelihood's own noise: the truth itself fits best at 1 within some per cent.
    assert fit_temperature(labels, spoilt) == pytest.approx(temperature, rel=0.03)


def test_the_fit_agrees_with_torch(calibrated):
    labels, probabilities = (column[:3000] for column in calibrated)
    logits = torch.tensor(logit(probabilities) * 2.0)
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits / log_t.exp(), torch.tensor(labels) * 1.0)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert fit_temperature(labels, expit(logits.numpy())) == pytest.approx(log_t.exp().item(), rel=1e-4)


def test_a_temperature_keeps_the_order_and_the_auc(calibrated):
    labels, probabilities = (column[:500] for column in calibrated)
    assert area_under_roc(labels, apply_temperature(probabilities, 3.0)) == area_under_roc(labels, probabilities)


def test_separated_validation_data_give_a_finite_temperature():
    assert np.isfinite(fit_temperature([0, 0, 1, 1], [0.2, 0.3, 0.7, 0.8]))


def test_one_class_has_no_temperature():
    with pytest.raises(ValueError, match="no positive"):
        fit_temperature([0, 0], [0.2, 0.3])


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match="positive"):
        apply_temperature([0.5], temperature)


@pytest.mark.parametrize(("probabilities", "bins"), [([0.5, 1.2], 5), ([-0.1, 0.5], 5), ([0.5, 0.6], 0)])
def test_bins_of_what_is_no_probability_are_refused(probabilities, bins):
    with pytest.raises(ValueError, match=r"in \[0, 1\]|at least one"):
        expected_calibration_error([0, 1], probabilities, bins=bins)
