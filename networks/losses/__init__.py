"""Losses and objectives."""

from .autoencoder_objective import AutoencoderObjective
from .contrast import BreastBackgroundContrast
from .contrastive import ContrastiveLoss, info_nce
from .detection import DetectionObjective
from .factor import FActORLoss
from .image_text import ImageTextContrastiveLoss, MultiViewSupervision, SigmoidLoss
from .masked_reconstruction import LossRegion, MaskedReconstructionLoss, ReconstructionError
from .mixed import MixedLabels, MixedObjective
from .multi_task import MISSING, MultiTaskCrossEntropy, class_weights
from .objective import ClassificationObjective, PretrainingObjective
from .patch_reconstruction import (
    CountedPatches,
    MultiScaleReconstructionLoss,
    PatchRegion,
    TargetSource,
    multi_scale_targets,
)
from .self_distillation import SelfDistillationLoss
from .singular import LeadingSingularVectors
from .spectral import AttentionSpectralPenalty, SpectralNormPenalty
from .survival import CumulativeRiskLoss

__all__ = [
    "MISSING",
    "AttentionSpectralPenalty",
    "AutoencoderObjective",
    "BreastBackgroundContrast",
    "ClassificationObjective",
    "ContrastiveLoss",
    "CountedPatches",
    "CumulativeRiskLoss",
    "DetectionObjective",
    "FActORLoss",
    "ImageTextContrastiveLoss",
    "LeadingSingularVectors",
    "LossRegion",
    "MaskedReconstructionLoss",
    "MixedLabels",
    "MixedObjective",
    "MultiScaleReconstructionLoss",
    "MultiTaskCrossEntropy",
    "MultiViewSupervision",
    "PatchRegion",
    "PretrainingObjective",
    "ReconstructionError",
    "SelfDistillationLoss",
    "SigmoidLoss",
    "SpectralNormPenalty",
    "TargetSource",
    "class_weights",
    "info_nce",
    "multi_scale_targets",
]
