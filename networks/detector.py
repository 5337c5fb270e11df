"""Lesion detection: MONAI's RetinaNet on the maps of an encoder, without torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector
from monai.apps.detection.networks.retinanet_network import RetinaNet
from monai.apps.detection.utils.anchor_utils import AnchorGenerator
from monai.networks.blocks.feature_pyramid_network import FeaturePyramidNetwork, LastLevelP6P7
from torch import Tensor, nn

from .efficientnet import EfficientNetEncoder
from .swin import SwinEncoder

NORM_GROUPS = 8
"""Groups of the norm in MONAI's detection heads."""


class MapPyramid(nn.Module):
    """Feature pyramid (Lin et al. 2017, arXiv:1612.03144) on the maps of an encoder, finest first.

    Args:
        encoder: gives the maps, each at a larger stride than the one before; of maps with one stride the last is taken.
        channels: of each level.
        strides: of the levels: the last ones of the encoder's and, where wanted, the two beyond them, which strided
            convolutions make of its last map (Lin et al. 2018, arXiv:1708.02002); None: the encoder's.

    Attributes:
        out_channels: channels of each level.
        strides: pixels along the side of a token of each level; 4, 8, 16 and 32 for the published encoders.

    Shape:
        - x: ``(B, C, H, W)``, of which the encoder's first channels are used: the breast mask may follow.
        - output: maps ``(B, channels, ceil(H / stride), ceil(W / stride))``, one a level.

    Raises:
        ValueError: an encoder whose maps are all of one size, or strides that it does not give.
    """

    def __init__(
        self, encoder: SwinEncoder | EfficientNetEncoder, channels: int = 128, strides: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        place = {stride: index for index, stride in enumerate(encoder.map_strides)}
        own = list(place)
        if len(own) < 2:
            raise ValueError(f"all maps of {type(encoder).__name__} have stride {own[0]}; take Swin or EfficientNet")
        self.strides = tuple(own if strides is None else strides)
        taken = [stride for stride in self.strides if stride in place]
        beyond = tuple(stride for stride in self.strides if stride not in place)
        if not taken or taken != own[-len(taken) :] or beyond not in ((), (2 * own[-1], 4 * own[-1])):
            raise ValueError(
                f"strides={list(self.strides)}; give the last ones of {own}, and where coarser levels are wanted "
                f"{2 * own[-1]} and {4 * own[-1]} behind them"
            )
        self.encoder = encoder
        self.out_channels = channels
        self._taken = [place[stride] for stride in taken]
        widths = [encoder.map_channels[index] for index in self._taken]
        coarser = LastLevelP6P7(2, widths[-1], channels) if beyond else None
        self.pyramid = FeaturePyramidNetwork(2, widths, channels, coarser)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = self.encoder(x[:, : self.encoder.in_channels])
        levels = self.pyramid({str(index): maps[index] for index in self._taken})
        return list(levels.values())


class _RetinaNet(RetinaNet):
    """RetinaNet whose outputs are float32 under autocast too: anchors, boxes and losses take their type."""

    def forward(self, images: Tensor) -> dict[str, list[Tensor]]:
        return {name: [level.float() for level in levels] for name, levels in super().forward(images).items()}


class LesionDetector(RetinaNetDetector):
    """RetinaNet (Lin et al. 2018, arXiv:1708.02002) that finds lesions as boxes, trained as in MONAI's tutorial.

    Anchors are matched by ATSS (Zhang et al. 2020, arXiv:1912.02424); a lesion to which it gives no anchor, as happens
    with boxes smaller than any, takes the anchor that overlaps it most, so that none is learnt as background. The
    classification loss is the cross-entropy of the matched anchors and the hardest of the others. MONAI's own class
    needs torchvision for its type of matcher, even where ATSS is used: that step is done here.

    Boxes are ``(N, 4)`` in pixels of the image, ``row0, col0, row1, col1``, half-open. Checkpoints of classifiers and
    of pretraining start it through ``load_encoder`` on its encoder. Detect under ``torch.no_grad()``: MONAI's
    suppression of double detections cannot copy boxes that carry a graph.

    Args:
        encoder: gives the maps.
        classes: number of lesion classes.
        channels: of the pyramid and the heads, a multiple of 8.
        strides: of the levels, see :class:`MapPyramid`; RetinaNet's own are 8, 16, 32, 64 and 128.
        freeze: the encoder is not trained, and stays as in evaluation: statistics of batch norms stand still, and
            nothing is dropped.
        anchor_scale: side of an anchor in strides of its level: 4 covers lesions of about 16 to 128 pixels.
        aspect_ratios: columns over rows of the anchors.
        candidates: positions per level from which ATSS chooses.
        hard_negatives: anchors of an image that count in the classification loss, at most.
        positive_fraction: share of them that may be matched, in (0, 1).
        score_threshold: detections that score less are left out.
        nms_iou: of two detections that overlap more, the better is kept.
        detections_per_image: the best that are kept.

    Shape:
        - x: ``(B, C, H, W)``, image in [0, 1], and what follows it.
        - targets: in training, a ``{"boxes": (N, 4) float, "labels": (N,) int64}`` for each image; N may be 0.
        - output: in training, the losses ``{"classification", "box_regression"}``; else for each image
          ``{"boxes": (D, 4), "labels": (D,), "labels_scores": (D,)}``, scores in [0, 1], highest first.

    Raises:
        ValueError: no class, channels that the heads cannot divide, or what :class:`MapPyramid` refuses.
    """

    def __init__(
        self,
        encoder: SwinEncoder | EfficientNetEncoder,
        classes: int = 1,
        *,
        channels: int = 128,
        strides: Sequence[int] | None = None,
        freeze: bool = False,
        anchor_scale: float = 4.0,
        aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        candidates: int = 4,
        hard_negatives: int = 64,
        positive_fraction: float = 0.3,
        score_threshold: float = 0.02,
        nms_iou: float = 0.2,
        detections_per_image: int = 50,
    ) -> None:
        if classes < 1 or channels % NORM_GROUPS:
            raise ValueError(
                f"classes={classes} and channels={channels}; expected a class at least, and a multiple of {NORM_GROUPS}"
            )
        pyramid = MapPyramid(encoder, channels, strides)
        sizes = tuple((anchor_scale * stride,) for stride in pyramid.strides)
        anchors = AnchorGenerator(sizes, (tuple(aspect_ratios),) * len(sizes))  # type: ignore[arg-type]
        # Anchors are laid at the image's size over the level's: whole only where every level divides the image.
        network = _RetinaNet(2, classes, len(aspect_ratios), pyramid, size_divisible=pyramid.strides[-1])
        super().__init__(network, anchors)
        self.freeze = freeze
        if freeze:
            encoder.requires_grad_(False)
        self.set_atss_matcher(num_candidates=candidates, center_in_gt=False)
        self.set_hard_negative_sampler(hard_negatives, positive_fraction, min_neg=16, pool_size=10)
        self.set_box_selector_parameters(
            score_thresh=score_threshold, nms_thresh=nms_iou, detections_per_img=detections_per_image
        )

    def train(self, mode: bool = True) -> LesionDetector:
        """Into training, or out of it; a frozen encoder stays as in evaluation."""
        super().train(mode)
        if self.freeze:
            cast(MapPyramid, self.network.feature_extractor).encoder.eval()
        return self

    def compute_anchor_matched_idxs(
        self, anchors: list[Tensor], targets: list[dict[str, Tensor]], num_anchor_locs_per_level: Sequence[int]
    ) -> list[Tensor]:
        """Box of each anchor of each image, ``(anchors,)`` int64; -1 is background. See MONAI's method."""
        return [
            self._match(one, target[self.target_box_key].to(one.device), num_anchor_locs_per_level)
            for one, target in zip(anchors, targets, strict=True)
        ]

    def _match(self, anchors: Tensor, boxes: Tensor, locations: Sequence[int]) -> Tensor:
        if len(boxes) == 0:
            return torch.full((len(anchors),), -1, dtype=torch.int64, device=anchors.device)
        overlap, matched = self.proposal_matcher(boxes, anchors, locations, self.num_anchors_per_loc)
        for index in range(len(boxes)):
            if not (matched == index).any():
                free = overlap[index].masked_fill(matched >= 0, -1)
                matched[free.argmax()] = index
        return matched

    def compute_box_loss(
        self,
        box_regression: Tensor,
        targets: list[dict[str, Tensor]],
        anchors: list[Tensor],
        matched_idxs: list[Tensor],
    ) -> Tensor:
        """Smooth L1 of the matched anchors' boxes; 0, and still part of the graph, for images without a lesion."""
        if not any(bool((matched >= 0).any()) for matched in matched_idxs):
            # A constant would leave the heads without gradient, and distributed training waiting for one.
            return box_regression.sum() * 0.0
        return super().compute_box_loss(box_regression, targets, anchors, matched_idxs)
