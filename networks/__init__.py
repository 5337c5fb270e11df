"""Networks and losses: tensors to tensors. Imports nothing of ours but networks."""

from .attention_maps import (
    AttentionLayers,
    AttentionRecord,
    WindowGrid,
    record_attention,
    stitch_attention_received,
    stitch_gradient_attention,
    stitch_windows,
)
from .checkpoints import encoder_state, load_encoder, load_network, read_state
from .classifier import MammogramClassifier, Pooling, label_probabilities, split_tasks, task_place
from .decoders import PublishedDecoder, UnetrDecoder
from .detector import LesionDetector, SwinPyramid
from .masked_image_modeling import DecoderName, MaskFill, SwinMIM
from .parameter_groups import parameter_groups
from .risk import AdditiveHazard, RiskClassifier
from .semi_supervised import MaskedReconstruction
from .swin import Stem, SwinEncoder, SwinLayout, SwinSize

__all__ = [
    "AdditiveHazard",
    "AttentionLayers",
    "AttentionRecord",
    "DecoderName",
    "LesionDetector",
    "MammogramClassifier",
    "MaskFill",
    "MaskedReconstruction",
    "Pooling",
    "PublishedDecoder",
    "RiskClassifier",
    "Stem",
    "SwinEncoder",
    "SwinLayout",
    "SwinMIM",
    "SwinPyramid",
    "SwinSize",
    "UnetrDecoder",
    "WindowGrid",
    "encoder_state",
    "label_probabilities",
    "load_encoder",
    "load_network",
    "parameter_groups",
    "read_state",
    "record_attention",
    "split_tasks",
    "stitch_attention_received",
    "stitch_gradient_attention",
    "stitch_windows",
    "task_place",
]
