"""Losses and objectives."""

from .contrast import BreastBackgroundContrast
from .detection import DetectionObjective
from .masked_reconstruction import LossRegion, MaskedReconstructionLoss, ReconstructionError
from .multi_task import MISSING, MultiTaskCrossEntropy, class_weights
from .objective import ClassificationObjective, PretrainingObjective
from .singular import LeadingSingularVectors
from .spectral import AttentionSpectralPenalty, SpectralNormPenalty
from .survival import CumulativeRiskLoss

__all__ = [
    "MISSING",
    "AttentionSpectralPenalty",
    "BreastBackgroundContrast",
    "ClassificationObjective",
    "CumulativeRiskLoss",
    "DetectionObjective",
    "LeadingSingularVectors",
    "LossRegion",
    "MaskedReconstructionLoss",
    "MultiTaskCrossEntropy",
    "PretrainingObjective",
    "ReconstructionError",
    "SpectralNormPenalty",
    "class_weights",
]
