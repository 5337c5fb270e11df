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
from .dino import DINO, DINOHead, DINOOutput
from .masked_autoencoder import AutoencoderOutput, MaskedAutoencoder, patchify, unpatchify
from .masked_image_modeling import DecoderName, MaskFill, SwinMIM
from .moco import MoCoOutput, MoCoV3
from .parameter_groups import parameter_groups
from .risk import AdditiveHazard, RiskClassifier
from .semi_supervised import MaskedReconstruction
from .swin import Stem, SwinEncoder, SwinLayout, SwinSize
from .vit import ViTEncoder, ViTSize, attention_rollout, record_vit_attention

__all__ = [
    "DINO",
    "AdditiveHazard",
    "AttentionLayers",
    "AttentionRecord",
    "AutoencoderOutput",
    "DINOHead",
    "DINOOutput",
    "DecoderName",
    "LesionDetector",
    "MammogramClassifier",
    "MaskFill",
    "MaskedAutoencoder",
    "MaskedReconstruction",
    "MoCoOutput",
    "MoCoV3",
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
    "ViTEncoder",
    "ViTSize",
    "WindowGrid",
    "attention_rollout",
    "encoder_state",
    "label_probabilities",
    "load_encoder",
    "load_network",
    "parameter_groups",
    "patchify",
    "read_state",
    "record_attention",
    "record_vit_attention",
    "split_tasks",
    "stitch_attention_received",
    "stitch_gradient_attention",
    "stitch_windows",
    "task_place",
    "unpatchify",
]
