"""What Mammo-FActOR's maps are compared with: Grad-CAM at several stages of one classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch

from ...networks import MammogramClassifier
from ..image_text import rival_classifier
from .attribute_maps import ClassMargins, GradCAMMethod

__all__ = ["gradcam_methods"]


def gradcam_methods(
    classifier: str | Path | None,
    *,
    tasks: Mapping[str, int],
    stages: Sequence[int],
    device: torch.device | str = "cpu",
    **zero_shot: Any,
) -> list[GradCAMMethod]:
    """Grad-CAM of a classifier, one for each stage.

    Args:
        classifier: see :func:`~mammo.pipeline.image_text.rival_classifier`.
        tasks: number of classes of the attributes' tasks.
        stages: of its encoder.
        device: of the network.
        zero_shot: the rest of :func:`~mammo.pipeline.image_text.rival_classifier`.

    Raises:
        ValueError: no stage, or as those that it calls.
    """
    if not stages:
        raise ValueError("gradcam_stages is empty; give [4], or set gradcam to false")
    network = rival_classifier(classifier, tasks=tasks, **zero_shot)
    margins = ClassMargins(cast(MammogramClassifier, network), list(tasks)).to(device)
    return [GradCAMMethod(margins, len(tasks), stage=stage) for stage in stages]
