"""Measures of discrimination, calibration and explanation, with patient-bootstrap intervals."""

from .calibration import (
    Binning,
    ReliabilityCurve,
    apply_temperature,
    brier_score,
    expected_calibration_error,
    fit_temperature,
    reliability_curve,
)
from .compare import compare, compare_explanations, compare_seeds
from .delong import DeLong, delong
from .discrimination import (
    Confusion,
    ThresholdRule,
    area_under_roc,
    average_precision,
    choose_threshold,
    confusion,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)
from .evaluate import RESEARCH_USE, evaluate_predictions
from .explanation import explanation_measures
from .explanation_summary import check_explanations, read_explanations, summarise_explanations
from .intervals import (
    Interval,
    bootstrap,
    bootstrap_all,
    bootstrap_draws,
    difference,
    patient_weights,
    restricted,
)
from .predictions import Level, aggregate, check_predictions, patient_keys, read_predictions

__all__ = [
    "RESEARCH_USE",
    "Binning",
    "Confusion",
    "DeLong",
    "Interval",
    "Level",
    "ReliabilityCurve",
    "ThresholdRule",
    "aggregate",
    "apply_temperature",
    "area_under_roc",
    "average_precision",
    "bootstrap",
    "bootstrap_all",
    "bootstrap_draws",
    "brier_score",
    "check_explanations",
    "check_predictions",
    "choose_threshold",
    "compare",
    "compare_explanations",
    "compare_seeds",
    "confusion",
    "delong",
    "difference",
    "evaluate_predictions",
    "expected_calibration_error",
    "explanation_measures",
    "fit_temperature",
    "patient_keys",
    "patient_weights",
    "read_explanations",
    "read_predictions",
    "reliability_curve",
    "restricted",
    "sensitivity_at_specificity",
    "specificity_at_sensitivity",
    "summarise_explanations",
]
