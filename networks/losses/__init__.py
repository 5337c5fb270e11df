"""Losses and objectives."""

from .contrast import BreastBackgroundContrast
from .masked_l1 import LossRegion, MaskedL1Loss
from .multi_task import MISSING, MultiTaskCrossEntropy, class_weights
from .objective import ClassificationObjective, PretrainingObjective
from .singular import LeadingSingularVectors
from .spectral import AttentionSpectralPenalty, SpectralNormPenalty

__all__ = [
    "MISSING",
    "AttentionSpectralPenalty",
    "BreastBackgroundContrast",
    "ClassificationObjective",
    "LeadingSingularVectors",
    "LossRegion",
    "MaskedL1Loss",
    "MultiTaskCrossEntropy",
    "PretrainingObjective",
    "SpectralNormPenalty",
    "class_weights",
]
