"""Explanations of a classifier's decisions, measured against chance."""

from .attention import attention_maps
from .faithfulness import insertion_deletion
from .figure import case_figure
from .gradcam import TokenGradCAM
from .hallucination import HallucinationReport
from .lesion import lesion_region
from .map_boxes import BoxScore, boxes_of_map, choose_quantile, enlarge_map
from .maps import Explainer, MapKind
from .occlusion import occlusion_maps
from .randomisation import randomise
from .writer import ExplanationWriter

__all__ = [
    "BoxScore",
    "Explainer",
    "ExplanationWriter",
    "HallucinationReport",
    "MapKind",
    "TokenGradCAM",
    "attention_maps",
    "boxes_of_map",
    "case_figure",
    "choose_quantile",
    "enlarge_map",
    "insertion_deletion",
    "lesion_region",
    "occlusion_maps",
    "randomise",
]
