"""Do the probabilities mean what they say? Binned error, Brier score, and one temperature to mend them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from monai.utils import StrEnum
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit, softmax
from sklearn.metrics import brier_score_loss

from .discrimination import check_two_classes
from .weighted import weighted_gap

EPSILON = 1e-7
"""Probabilities are kept this far from 0 and 1 before their logit is taken: float32 rounds beyond."""

TEMPERATURE_RANGE = (0.01, 100.0)
"""Where a temperature is looked for; perfectly separated validation data would otherwise send it to 0."""


class Binning(StrEnum):
    """How probabilities are put into bins."""

    WIDTH = "width"  # equal intervals of [0, 1]
    MASS = "mass"  # equal numbers of rows, as far as ties allow


@dataclass(frozen=True)
class ReliabilityCurve:
    """One entry per bin that holds rows, in order of probability, ``(bins,)`` each.

    Attributes:
        predicted: mean probability in the bin.
        observed: share of positives in the bin.
        count: rows in the bin.
    """

    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    count: NDArray[np.intp]


def bin_numbers(probabilities: ArrayLike, bins: int = 10, binning: Binning | str = Binning.WIDTH) -> NDArray[np.intp]:
    """The bin ``(n,)`` of each probability. Equal probabilities are never parted.

    Raises:
        ValueError: fewer than one bin, or a probability outside [0, 1].
    """
    values = np.asarray(probabilities, dtype=np.float64)
    if bins < 1:
        raise ValueError(f"bins={bins}: at least one is needed")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("probabilities must lie in [0, 1]; apply a sigmoid to logits first")
    edges = np.linspace(0, 1, bins + 1)
    inner = edges[1:-1] if Binning(binning) == Binning.WIDTH else np.unique(np.quantile(values, edges[1:-1]))
    return np.searchsorted(inner, values, side="left")  # bins (a, b], as Guo et al. have them


def reliability_curve(
    labels: ArrayLike, probabilities: ArrayLike, *, bins: int = 10, binning: Binning | str = Binning.WIDTH
) -> ReliabilityCurve:
    """Observed share of positives against mean probability, bin by bin; empty bins are left out."""
    truth, values = np.asarray(labels, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    _, member, count = np.unique(bin_numbers(values, bins, binning), return_inverse=True, return_counts=True)
    return ReliabilityCurve(np.bincount(member, values) / count, np.bincount(member, truth) / count, count)


def expected_calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, *, bins: int = 10, binning: Binning | str = Binning.WIDTH
) -> float:
    r"""Expected calibration error, 0 (best) to 1 (Naeini et al. 2015).

    .. math:: \sum_b \frac{n_b}{n} |\bar p_b - \bar y_b|

    Few rows per bin push it above 0 for a perfectly calibrated model too: compare like with like.
    """
    statistic = weighted_gap(labels, probabilities, bin_numbers(probabilities, bins, binning))
    return float(statistic(np.ones((1, np.asarray(labels).size)))[0])


def brier_score(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean squared difference of probability and label, 0 (best) to 1."""
    return float(brier_score_loss(np.asarray(labels), np.asarray(probabilities), pos_label=1))


def log_losses(labels: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
    """Negative log-likelihood in nats of each row, ``(n,)``."""
    truth = np.asarray(labels)
    values = np.clip(np.asarray(probabilities, dtype=np.float64), EPSILON, 1 - EPSILON)
    return -np.where(truth == 1, np.log(values), np.log1p(-values))


def fit_temperature(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """The temperature T that makes ``sigmoid(logit(p) / T)`` likeliest (Guo et al. 2017, arXiv:1706.04599).

    Fit it on validation data only and apply it with :func:`apply_temperature` to test data. It keeps the
    order of the probabilities, so no ROC curve changes. T > 1 means the model was too sure.

    Raises:
        ValueError: a class is absent.
    """
    truth, values = check_two_classes(labels, probabilities)
    return _likeliest(lambda temperature: log_losses(truth, apply_temperature(values, temperature)))


def apply_temperature(probabilities: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """``sigmoid(logit(p) / temperature)``, ``(n,)`` in (0, 1).

    Raises:
        ValueError: the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature={temperature} must be positive")
    values = np.clip(np.asarray(probabilities, dtype=np.float64), EPSILON, 1 - EPSILON)
    return expit(logit(values) / temperature)


def class_log_losses(labels: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
    """Negative log-likelihood in nats of each row, ``(n,)``, from probabilities ``(n, K)`` of several classes."""
    values = np.asarray(probabilities, dtype=np.float64)
    own = np.take_along_axis(values, np.asarray(labels, dtype=np.intp)[:, None], axis=1)[:, 0]
    return -np.log(np.clip(own, EPSILON, 1.0))


def fit_class_temperature(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """:func:`fit_temperature` for probabilities ``(n, K)`` of several classes and labels 0 .. K - 1.

    Raises:
        ValueError: there are no rows.
    """
    truth, values = np.asarray(labels, dtype=np.intp), np.asarray(probabilities, dtype=np.float64)
    if not truth.size:
        raise ValueError("a temperature needs labelled rows, got none")
    return _likeliest(lambda temperature: class_log_losses(truth, apply_class_temperature(values, temperature)))


def apply_class_temperature(probabilities: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """``softmax(log(p) / temperature)`` of each row, ``(n, K)``; the order of its classes stays.

    Raises:
        ValueError: the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature={temperature} must be positive")
    values = np.clip(np.asarray(probabilities, dtype=np.float64), EPSILON, 1.0)
    return softmax(np.log(values) / temperature, axis=1)


def _likeliest(losses: Callable[[float], NDArray[np.float64]]) -> float:
    """The temperature of least mean loss in :data:`TEMPERATURE_RANGE`."""
    result = minimize_scalar(
        lambda log_t: losses(float(np.exp(log_t))).mean(),
        bounds=tuple(np.log(TEMPERATURE_RANGE)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(result.x))
