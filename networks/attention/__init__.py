"""Softmax attention and its linear approximations behind one interface."""

from .exact import MaterialisedAttention, StandardAttention
from .kinds import AttentionKind, build_attention
from .linformer import LinformerAttention, Sharing
from .nystrom import NystromAttention
from .nystrom_2d import Nystrom2DAttention
from .performer import PerformerAttention

__all__ = [
    "AttentionKind",
    "LinformerAttention",
    "MaterialisedAttention",
    "Nystrom2DAttention",
    "NystromAttention",
    "PerformerAttention",
    "Sharing",
    "StandardAttention",
    "build_attention",
]
