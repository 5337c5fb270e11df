"""DINO: a ViT taught by a slower copy of itself, which sees more of the image."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from .momentum import follow, frozen_copy, image_of_view
from .vit import ViTEncoder

__all__ = ["DINO", "DINOHead", "DINOOutput"]

TEACHER_VIEWS = 2
"""The first views are the large ones, which the teacher sees."""


class DINOOutput(NamedTuple):
    """What :class:`DINO` gives for V views of B images.

    Attributes:
        student: ``(V, B, out_dim)`` logits of each view.
        teacher: ``(2, B, out_dim)`` logits of the first two; no gradient flows through them.
        centre: ``(out_dim,)``, to be subtracted from the teacher's logits.
        features: ``(B, embed_dim)``, the teacher's class token of the first view.
    """

    student: Tensor
    teacher: Tensor
    centre: Tensor
    features: Tensor


class DINOHead(nn.Module):
    """From a class token to logits: three linear maps with GELU, unit length, and a weight-normalised map.

    Source: Caron et al. 2021, arXiv:2104.14294.

    Args:
        channels: of the token.
        out_dim: number of logits.
        hidden_dim: width within.
        bottleneck_dim: width in front of the last map.
        unit_last: each row of the last map keeps length 1, so that logits are cosines; False learns the lengths.

    Shape:
        - x: ``(B, channels)``.
        - output: ``(B, out_dim)``.
    """

    def __init__(
        self,
        channels: int,
        out_dim: int = 65536,
        *,
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        unit_last: bool = True,
    ) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(channels, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, bottleneck_dim),
        )
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.last = weight_norm(nn.Linear(bottleneck_dim, out_dim, bias=False))
        lengths = cast(Any, self.last.parametrizations).weight.original0  # (out_dim, 1)
        nn.init.ones_(lengths)
        lengths.requires_grad_(not unit_last)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.last(F.normalize(self.mlp(x), dim=-1)))


class DINO(nn.Module):
    """Self-distillation without labels (DINO: Caron et al. 2021, arXiv:2104.14294).

    The student gives logits for every view, the teacher for the first two. The teacher follows the student, see
    :meth:`update_momentum`; it has no stochastic depth. In training each forward pass moves the centre of the teacher's
    logits, over all processes; the output has the centre of before. The state has the teacher's encoder under
    ``encoder``, the one that is published and evaluated.

    Args:
        encoder: becomes the student's; the teacher starts as its copy.
        out_dim, hidden_dim, bottleneck_dim, unit_last: see :class:`DINOHead`.
        centre_momentum: of the centre from step to step.

    Shape:
        - x, views: each ``(B, C, H, W)`` of the encoder's channels, or one more with the breast mask, which is not
          used; ``x`` and the first of ``views`` are the teacher's and of one size, others may be smaller.
        - output: see :class:`DINOOutput`.

    Raises:
        ValueError: for a single view, a second one of another size than the first, or views of other channels.
    """

    centre: Tensor

    def __init__(
        self,
        encoder: ViTEncoder,
        *,
        out_dim: int = 65536,
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        unit_last: bool = True,
        centre_momentum: float = 0.9,
    ) -> None:
        super().__init__()
        self.student_encoder = encoder
        self.student_head = DINOHead(
            encoder.out_channels, out_dim, hidden_dim=hidden_dim, bottleneck_dim=bottleneck_dim, unit_last=unit_last
        )
        self.encoder = frozen_copy(encoder).eval()
        self.head = frozen_copy(self.student_head).eval()
        self.centre_momentum = centre_momentum
        self.register_buffer("centre", torch.zeros(out_dim))

    def train(self, mode: bool = True) -> DINO:
        """Set the student's mode; the teacher never drops anything."""
        super().train(mode)
        self.encoder.eval()
        self.head.eval()
        return self

    def forward(self, x: Tensor, *views: Tensor) -> DINOOutput:
        if not views or views[0].shape != x.shape:
            shapes = [tuple(view.shape) for view in (x, *views)]
            raise ValueError(f"the teacher needs two views of one size before all others, got views {shapes}")
        images = [image_of_view(view, self.encoder.in_channels) for view in (x, *views)]
        groups = [torch.cat(list(group)) for _, group in groupby(images, key=lambda image: image.shape)]
        tokens = torch.cat([self.student_encoder.tokens(group)[:, 0] for group in groups])  # (V B, embed_dim)
        student = self.student_head(tokens).unflatten(0, (len(images), -1))
        with torch.no_grad():
            features = self.encoder.tokens(torch.cat(images[:TEACHER_VIEWS]))[:, 0]
            teacher = self.head(features).unflatten(0, (TEACHER_VIEWS, -1))
        centre = self.centre.clone()
        if self.training:
            self._move_centre(teacher)
        return DINOOutput(student, teacher, centre, features[: len(x)])

    def update_momentum(self, momentum: float) -> None:
        """Let the teacher follow the student by one step."""
        follow(self.encoder, self.student_encoder, momentum)
        follow(self.head, self.student_head, momentum)

    def _move_centre(self, teacher: Tensor) -> None:
        mean = teacher.float().mean(dim=(0, 1))
        if distributed.is_initialized():
            distributed.all_reduce(mean)
            mean /= distributed.get_world_size()
        self.centre.lerp_(mean, 1 - self.centre_momentum)
