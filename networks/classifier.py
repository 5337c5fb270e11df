"""Mammogram classifier: a Swin encoder, pooling over the breast, one linear head for one or several tasks."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, overload

import torch
from monai.utils import StrEnum, look_up_option
from torch import Tensor, nn
from torch.nn import functional as F

from .attention_maps import AttentionRecord, record_attention
from .efficientnet import EfficientNetEncoder
from .swin import SwinEncoder, Tokens
from .vit import ViTEncoder, record_vit_attention


class Pooling(StrEnum):
    """How the feature map becomes one vector: over the breast, or over the whole frame."""

    MASK = "mask"
    AVERAGE = "average"


class HeadNorm(StrEnum):
    """What stands between the pooled features and the head."""

    NONE = "none"
    BATCH = "batch"
    LAYER = "layer"


class PooledNorm(nn.BatchNorm1d):
    """Batch norm without weights for pooled features ``(B, C)``; a batch of one is normalised as in evaluation."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=False)

    def forward(self, input: Tensor) -> Tensor:
        if self.training and len(input) == 1:
            return F.batch_norm(input, self.running_mean, self.running_var, eps=self.eps)
        return super().forward(input)

    def scale(self) -> Tensor:
        """By how much evaluation stretches each feature, ``(C,)``."""
        assert self.running_var is not None
        return (self.running_var + self.eps).rsqrt()


class MammogramClassifier(nn.Module):
    r"""Classify a mammogram from what its breast, and not its background, looks like.

    The features F are averaged with the breast mask as weight,

    .. math:: z = \frac{\sum_{ij} F_{ij} M_{ij}}{\sum_{ij} M_{ij} + \epsilon}, \quad \epsilon = 10^{-8}

    where M is the area average of the mask in each token of F; the background vector is the same with the
    share of background. An empty mask gives z = 0: the logits are then the head's bias and no gradient
    reaches the encoder.

    Args:
        encoder: Swin, ViT or EfficientNet, gives F as its last map. Another module will do if it has ``in_channels``,
            ``out_channels`` and ``stride`` (pixels a token, of F) and gives a list of maps when called with the image
            and the mask or None; ``details`` then need ``attention=False``.
        tasks: number of classes of each task, by name, in the order of the labels; None is
            ``{"pathology": 2}`` (benign 0, malignant 1).
        pooling: ``mask``, or ``average`` over the whole map (the dual-stage paper).
        dropout: rate before the head.
        head_norm: ``none``, as the Swin papers; ``batch``: batch norm without weights before the head, as in MAE's
            linear probing (He et al. 2022, arXiv:2111.06377): pooled features of a pretrained encoder hardly differ
            between images, and fine-tuning may not get going without it; ``layer``: layer norm, as in MAE's
            fine-tuning, for a :class:`ViTEncoder` without ``final_norm``.
        tokens: ``all``, as published, or ``breast``: tokens without a pixel of the breast are not computed, so that
            nothing outside can matter (:class:`SwinEncoder`; a ``conv`` stem looks a few pixels beyond).
        freeze: the encoder is not trained, and stays as in evaluation: linear probing.
        reconstruction: adds its own entries to ``details`` in training, see :class:`MaskedReconstruction`.

    Shape:
        - x: ``(B, 1 or 2, H, W)``, image in [0, 1] and breast mask of {0, 1}; without it the mask is 1.
        - output: logits ``(B, K)`` with K the classes of all tasks in order, see :func:`split_tasks`. With
          ``details``, a dictionary of ``logits``, the mask-weighted vectors ``breast`` and ``background``
          ``(B, C)``, and ``attention``, the maps of every attention layer ``(B * windows, heads, N, N)``; with
          ``attention=False`` they are not recorded, which is faster.

    Raises:
        ValueError: no task, a task of fewer than two classes, an unknown pooling, or an input of other channels.
    """

    def __init__(
        self,
        encoder: SwinEncoder | ViTEncoder | EfficientNetEncoder,
        tasks: Mapping[str, int] | None = None,
        pooling: str = Pooling.MASK,
        dropout: float = 0.0,
        tokens: str = Tokens.ALL,
        head_norm: str = HeadNorm.NONE,
        freeze: bool = False,
        reconstruction: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.tasks = dict(tasks) if tasks is not None else {"pathology": 2}
        if not self.tasks or min(self.tasks.values()) < 2:
            raise ValueError(f"every task needs two classes or more, and there must be a task; got {self.tasks}")
        self.encoder = encoder
        self.pooling = look_up_option(pooling, Pooling)
        self.tokens = look_up_option(tokens, Tokens)
        self.head_norm = pooled_norm(head_norm, encoder.out_channels)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.out_channels, sum(self.tasks.values()))
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        self.reconstruction = reconstruction
        self.freeze = freeze
        if freeze:
            encoder.requires_grad_(False)

    def train(self, mode: bool = True) -> "MammogramClassifier":
        super().train(mode)
        if self.freeze:
            self.encoder.eval()
        return self

    @overload
    def forward(self, x: Tensor, details: Literal[False] = False, attention: bool = True) -> Tensor: ...
    @overload
    def forward(
        self, x: Tensor, details: bool, attention: bool = True
    ) -> Tensor | dict[str, Tensor | list[Tensor]]: ...
    def forward(
        self, x: Tensor, details: bool = False, attention: bool = True
    ) -> Tensor | dict[str, Tensor | list[Tensor]]:
        image, mask = self._split(x)
        if not details:
            return self._classify(self._features(image, mask), mask)["logits"]
        found: dict[str, Tensor | list[Tensor]] = {}
        with self._recording() if attention else nullcontext() as record:
            found |= self._classify(self._features(image, mask), mask)
        if record is not None:
            found["attention"] = record.maps
        if self.reconstruction is not None and self.training:
            found |= self.reconstruction(torch.cat([image, mask], dim=1))
        return found

    def _recording(self) -> AbstractContextManager[AttentionRecord | None]:
        if isinstance(self.encoder, EfficientNetEncoder):
            return nullcontext()  # it has no attention
        if isinstance(self.encoder, ViTEncoder):
            return record_vit_attention(self.encoder)
        return record_attention(self.encoder)

    def _features(self, image: Tensor, mask: Tensor) -> Tensor:
        return self.encoder(image, mask if self.tokens is Tokens.BREAST else None)[-1]

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        channels = self.encoder.in_channels
        if not torch.jit.is_tracing() and (x.ndim != 4 or x.shape[1] not in (channels, channels + 1)):
            raise ValueError(
                f"the classifier takes (B, {channels}, H, W), or (B, {channels + 1}, H, W) with the breast mask last; "
                f"got {tuple(x.shape)}"
            )
        image = x[:, :channels]
        return image, x[:, channels:] if x.shape[1] > channels else torch.ones_like(image[:, :1])

    def _classify(self, features: Tensor, mask: Tensor) -> dict[str, Tensor]:
        breast = pool_over(features, mask, self.encoder.stride)
        background = pool_over(features, 1 - mask, self.encoder.stride)
        pooled = breast if self.pooling is Pooling.MASK else features.mean(dim=(-2, -1))
        return {"logits": self.head(self.dropout(self.head_norm(pooled))), "breast": breast, "background": background}


def pooled_norm(name: str, channels: int) -> nn.Module:
    """What stands between pooled features ``(B, channels)`` and a head, see :class:`HeadNorm`.

    Raises:
        ValueError: for an unknown name.
    """
    kind = look_up_option(name, HeadNorm)
    if kind is HeadNorm.LAYER:
        return nn.LayerNorm(channels, eps=1e-6)
    return PooledNorm(channels) if kind is HeadNorm.BATCH else nn.Identity()


def pool_over(features: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Mask-weighted pooling, for any network: mean ``(B, C)`` of the features, weighted by the mask's area in a token.

    Args:
        features: ``(B, C, h, w)``.
        weight: ``(B, 1, H, W)``, such as the breast mask of {0, 1}; where it is 0 everywhere, so is the mean.
        stride: pixels along the side of a token: ``h`` is ``H / stride``, rounded up.
    """
    height, width = features.shape[-2:]
    # Tokens cover whole strides; what lies beyond the image is neither breast nor background.
    weight = F.pad(weight, (0, width * stride - weight.shape[-1], 0, height * stride - weight.shape[-2]))
    weight = F.avg_pool2d(weight, stride)  # (B, 1, h, w)
    return (features * weight).sum(dim=(-2, -1)) / (weight.sum(dim=(-2, -1)) + 1e-8)


def task_place(tasks: Mapping[str, int], task: str | None = None) -> tuple[int, slice]:
    """Where a task stands among the labels, and its classes among the logits; None is the first one.

    Raises:
        ValueError: there is no such task.
    """
    if task is not None and task not in tasks:
        raise ValueError(f"task {task!r} is none of the network's: {', '.join(tasks)}")
    place = 0 if task is None else list(tasks).index(task)
    first = sum(list(tasks.values())[:place])
    return place, slice(first, first + list(tasks.values())[place])


def label_probabilities(logits: Tensor, tasks: Mapping[str, int]) -> Tensor:
    """Probabilities ``(..., T)`` that each of T labels is there, from the logits ``(..., 2 T)`` of as many tasks.

    Raises:
        ValueError: a task has other than two classes, which a label that is there or not cannot have.
    """
    other = [name for name, classes in tasks.items() if classes != 2]
    if other:
        raise ValueError(f"task {other[0]!r} has {tasks[other[0]]} classes; many labels at once need two classes each")
    return logits.unflatten(-1, (len(tasks), 2)).softmax(dim=-1)[..., 1]


def split_tasks(logits: Tensor, tasks: Mapping[str, int]) -> dict[str, Tensor]:
    """Cut concatenated logits ``(B, K)`` into ``(B, classes)`` of each task.

    Raises:
        ValueError: the classes of the tasks do not add up to K.
    """
    if logits.shape[-1] != sum(tasks.values()):
        raise ValueError(f"logits {tuple(logits.shape)} do not hold the {sum(tasks.values())} classes of {dict(tasks)}")
    return dict(zip(tasks, logits.split(list(tasks.values()), dim=-1), strict=True))
