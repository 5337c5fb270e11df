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
from .classifier import MammogramClassifier, Pooling, split_tasks
from .decoders import PublishedDecoder, UnetrDecoder
from .masked_image_modeling import DecoderName, MaskFill, SwinMIM
from .swin import Stem, SwinEncoder, SwinLayout, SwinSize

__all__ = [
    "AttentionLayers",
    "AttentionRecord",
    "DecoderName",
    "MammogramClassifier",
    "MaskFill",
    "Pooling",
    "PublishedDecoder",
    "Stem",
    "SwinEncoder",
    "SwinLayout",
    "SwinMIM",
    "SwinSize",
    "UnetrDecoder",
    "WindowGrid",
    "encoder_state",
    "load_encoder",
    "load_network",
    "read_state",
    "record_attention",
    "split_tasks",
    "stitch_attention_received",
    "stitch_gradient_attention",
    "stitch_windows",
]
