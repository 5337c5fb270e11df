"""Where things lie in a bundle that travels."""

from __future__ import annotations

INFERENCE = "configs/inference.json"
METADATA = "configs/metadata.json"
WEIGHTS = "models/model.pt"
SAFE_WEIGHTS = "models/model.safetensors"
TORCHSCRIPT = "models/model.ts"
ONNX = "models/model.onnx"

LABEL_STEPS = "mammo.pipeline.packaging.label_steps"
STEPS = tuple(
    f"{LABEL_STEPS}.{name}"
    for name in ("SeriesFiled", "StoredFramed", "AsPreparedd", "ExplanationInferer", "MarkRegionsd")
)
"""Components of a bundle for MONAI Label."""

NOTICE = "Research only. Not a medical device; not for diagnosis or treatment decisions."
TOLERANCE = 1e-4
"""Largest difference of a probability, or of a map divided by its peak, between two forms of one network."""
