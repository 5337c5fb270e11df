"""Explanations of a classifier's decisions, measured against chance."""

from .attention import attention_maps
from .faithfulness import insertion_deletion
from .figure import case_figure
from .gradcam import TokenGradCAM
from .hallucination import HallucinationReport
from .lesion import lesion_region
from .maps import Explainer, MapKind
from .occlusion import occlusion_maps
from .randomisation import randomise
from .writer import ExplanationWriter

__all__ = [
    "Explainer",
    "ExplanationWriter",
    "HallucinationReport",
    "MapKind",
    "TokenGradCAM",
    "attention_maps",
    "case_figure",
    "insertion_deletion",
    "lesion_region",
    "occlusion_maps",
    "randomise",
]
