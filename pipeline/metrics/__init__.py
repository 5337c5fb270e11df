"""Measures of discrimination, calibration and explanation, with patient-bootstrap intervals."""

from .behaviour import read_behaviour, summarise_behaviour
from .calibration import (
    Binning,
    ReliabilityCurve,
    apply_class_temperature,
    apply_temperature,
    brier_score,
    expected_calibration_error,
    fit_class_temperature,
    fit_temperature,
    reliability_curve,
)
from .compare import compare, compare_explanations
from .decision_curve import decision_curve
from .delong import DeLong, delong
from .discrimination import (
    Confusion,
    ThresholdRule,
    area_under_roc,
    average_precision,
    choose_threshold,
    confusion,
    probabilistic_f1,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)
from .evaluate import RESEARCH_USE, evaluate_predictions
from .evaluate_classes import choose_class_temperature, evaluate_classes
from .evaluate_labels import choose_label_points, compare_labels, evaluate_labels
from .explanation import explanation_measures
from .explanation_seeds import compare_explanation_seeds
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
from .localisation import (
    LocalisationRecorder,
    LocalisationTables,
    best_overlap,
    compare_localisation,
    evaluate_localisation,
)
from .operating_points import RULES, choose_operating_points
from .paired import RunPredictions, compare_measures
from .predictions import (
    LEVELS,
    Level,
    aggregate,
    check_predictions,
    class_columns,
    class_probabilities,
    label_columns,
    labelled,
    patient_keys,
    read_predictions,
)
from .retrieval import first_hit_ranks, retrieval
from .seeds import compare_seeds, ranking_statistics, score, score_over_seeds
from .subgroups import subgroups

__all__ = [
    "LEVELS",
    "RESEARCH_USE",
    "RULES",
    "Binning",
    "Confusion",
    "DeLong",
    "Interval",
    "Level",
    "LocalisationRecorder",
    "LocalisationTables",
    "ReliabilityCurve",
    "RunPredictions",
    "ThresholdRule",
    "aggregate",
    "apply_class_temperature",
    "apply_temperature",
    "area_under_roc",
    "average_precision",
    "best_overlap",
    "bootstrap",
    "bootstrap_all",
    "bootstrap_draws",
    "brier_score",
    "check_explanations",
    "check_predictions",
    "choose_class_temperature",
    "choose_label_points",
    "choose_operating_points",
    "choose_threshold",
    "class_columns",
    "class_probabilities",
    "compare",
    "compare_explanation_seeds",
    "compare_explanations",
    "compare_labels",
    "compare_localisation",
    "compare_measures",
    "compare_seeds",
    "confusion",
    "decision_curve",
    "delong",
    "difference",
    "evaluate_classes",
    "evaluate_labels",
    "evaluate_localisation",
    "evaluate_predictions",
    "expected_calibration_error",
    "explanation_measures",
    "first_hit_ranks",
    "fit_class_temperature",
    "fit_temperature",
    "label_columns",
    "labelled",
    "patient_keys",
    "patient_weights",
    "probabilistic_f1",
    "ranking_statistics",
    "read_behaviour",
    "read_explanations",
    "read_predictions",
    "reliability_curve",
    "restricted",
    "retrieval",
    "score",
    "score_over_seeds",
    "sensitivity_at_specificity",
    "specificity_at_sensitivity",
    "subgroups",
    "summarise_behaviour",
    "summarise_explanations",
]
