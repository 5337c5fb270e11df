"""Explanations of a classifier's decisions, measured against chance."""

from .attention import attention_maps
from .figure import case_figure
from .gradcam import SwinGradCAM
from .lesion import lesion_region
from .writer import ExplanationWriter

__all__ = ["ExplanationWriter", "SwinGradCAM", "attention_maps", "case_figure", "lesion_region"]
