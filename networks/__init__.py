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
from .classifier import MammogramClassifier, Pooling, label_probabilities, pool_over, split_tasks, task_place
from .decoders import PublishedDecoder, UnetrDecoder
from .detector import LesionDetector, MapPyramid
from .dino import DINO, DINOHead, DINOOutput
from .efficientnet import EfficientNetEncoder, EfficientNetSize
from .factor import ChannelMapper, FActOR, FactorMaps, PositionMapper, attribute_embeddings, breast_places, factor_map
from .gather_embeddings import gather_with_gradient
from .gradient_cache import in_chunks
from .image_text import ImageTextModel, ImageTextOutput, MapEncoder, Projection
from .masked_autoencoder import AutoencoderOutput, MaskedAutoencoder, patchify, unpatchify
from .masked_image_modeling import DecoderName, MaskFill, SwinMIM
from .moco import MoCoOutput, MoCoV3
from .parameter_groups import parameter_groups
from .risk import AdditiveHazard, RiskClassifier
from .semi_supervised import MaskedReconstruction
from .swin import Stem, SwinEncoder, SwinLayout, SwinSize
from .text_encoder import TextEncoder, TextPooling, load_text_encoder, small_text_encoder
from .vit import ViTEncoder, ViTSize, attention_rollout, record_vit_attention
from .zero_shot import ZeroShotClassifier, blank_zero_shot, prompt_vectors

__all__ = [
    "DINO",
    "AdditiveHazard",
    "AttentionLayers",
    "AttentionRecord",
    "AutoencoderOutput",
    "ChannelMapper",
    "DINOHead",
    "DINOOutput",
    "DecoderName",
    "EfficientNetEncoder",
    "EfficientNetSize",
    "FActOR",
    "FactorMaps",
    "ImageTextModel",
    "ImageTextOutput",
    "LesionDetector",
    "MammogramClassifier",
    "MapEncoder",
    "MapPyramid",
    "MaskFill",
    "MaskedAutoencoder",
    "MaskedReconstruction",
    "MoCoOutput",
    "MoCoV3",
    "Pooling",
    "PositionMapper",
    "Projection",
    "PublishedDecoder",
    "RiskClassifier",
    "Stem",
    "SwinEncoder",
    "SwinLayout",
    "SwinMIM",
    "SwinSize",
    "TextEncoder",
    "TextPooling",
    "UnetrDecoder",
    "ViTEncoder",
    "ViTSize",
    "WindowGrid",
    "ZeroShotClassifier",
    "attention_rollout",
    "attribute_embeddings",
    "blank_zero_shot",
    "breast_places",
    "encoder_state",
    "factor_map",
    "gather_with_gradient",
    "in_chunks",
    "label_probabilities",
    "load_encoder",
    "load_network",
    "load_text_encoder",
    "parameter_groups",
    "patchify",
    "pool_over",
    "prompt_vectors",
    "read_state",
    "record_attention",
    "record_vit_attention",
    "small_text_encoder",
    "split_tasks",
    "stitch_attention_received",
    "stitch_gradient_attention",
    "stitch_windows",
    "task_place",
    "unpatchify",
]
