"""The sums of losses that the stages minimise, with their parts kept for the log."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

Details = Mapping[str, Tensor | list[Tensor]]


class PretrainingObjective(nn.Module):
    """Reconstruction loss plus the spectral penalty on the weights.

    Args:
        reconstruction: of prediction and target, such as :class:`MaskedReconstructionLoss`.
        spectral: without arguments, such as :class:`SpectralNormPenalty`; None leaves it out.

    Attributes:
        parts: the detached terms of the last call, before they were added, by name.

    Shape:
        - pred: ``(B, 1, H, W)``; target: ``(B, 3, H, W)``, see :class:`MaskedReconstructionLoss`.
        - output: scalar.
    """

    def __init__(self, reconstruction: nn.Module, spectral: nn.Module | None = None) -> None:
        super().__init__()
        self.reconstruction = reconstruction
        self.spectral = spectral
        self.parts: dict[str, Tensor] = {}

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        terms = {"reconstruction": self.reconstruction(pred, target)}
        if self.spectral is not None:
            terms["spectral"] = self.spectral()
        self.parts = {name: term.detach() for name, term in terms.items()}
        return torch.stack(list(terms.values())).sum()


class ClassificationObjective(nn.Module):
    """Cross-entropy, penalties on weights and attention, contrast of breast and background, reconstruction.

    Args:
        classification: of logits and labels, such as :class:`MultiTaskCrossEntropy`.
        spectral: without arguments, such as :class:`SpectralNormPenalty`.
        attention: of a list of maps, such as :class:`AttentionSpectralPenalty`.
        contrast: of two vectors, such as :class:`BreastBackgroundContrast`.
        contrast_weight: lambda of the contrast; the published script takes 0.1.
        reconstruction: of a reconstruction and its target, such as :class:`MaskedReconstructionLoss`; every image of
            a batch counts in it, with a label or without.
        reconstruction_weight: its weight; 0 leaves it out.

    Attributes:
        parts: the detached terms of the last call, weighted as they were added, by name.

    Shape:
        - pred: the details of :class:`MammogramClassifier`, or its logits ``(B, K)`` alone where no gradient is
          wanted; terms that need details are then left out.
        - labels: as ``classification`` takes them.
        - output: scalar.

    Raises:
        ValueError: a negative weight; logits alone in training although attention or contrast are wanted; no
            reconstruction by the network although it is wanted.
    """

    def __init__(
        self,
        classification: nn.Module,
        spectral: nn.Module | None = None,
        attention: nn.Module | None = None,
        contrast: nn.Module | None = None,
        contrast_weight: float = 0.1,
        reconstruction: nn.Module | None = None,
        reconstruction_weight: float = 0.0,
    ) -> None:
        super().__init__()
        if reconstruction_weight < 0:
            raise ValueError(f"reconstruction_weight must be 0 or more, got {reconstruction_weight}")
        self.classification = classification
        self.spectral = spectral
        self.attention = attention
        self.contrast = contrast
        self.contrast_weight = contrast_weight
        self.reconstruction = reconstruction if reconstruction_weight > 0 else None
        self.reconstruction_weight = reconstruction_weight
        self.parts: dict[str, Tensor] = {}

    def forward(self, pred: Tensor | Details, labels: Tensor) -> Tensor:
        details = pred if isinstance(pred, Mapping) else {"logits": pred}
        terms = {"classification": self.classification(details["logits"], labels)}
        if self.spectral is not None:
            terms["spectral"] = self.spectral()
        terms |= self._detail_terms(details)
        self.parts = {name: term.detach() for name, term in terms.items()}
        return torch.stack(list(terms.values())).sum()

    def _detail_terms(self, details: Details) -> dict[str, Tensor]:
        if self.attention is None and self.contrast is None and self.reconstruction is None:
            return {}
        if "breast" not in details:
            if torch.is_grad_enabled():
                raise ValueError("attention and contrast need the network's details: call it with details=True")
            return {}
        terms = {}
        if self.attention is not None:
            terms["attention"] = self.attention(details.get("attention", ())).to(details["logits"])
        if self.contrast is not None:
            cosine = self.contrast(details["breast"], details["background"])
            terms["contrast"] = self.contrast_weight * cosine
        if self.reconstruction is not None and torch.is_grad_enabled():
            terms["reconstruction"] = self.reconstruction_weight * self._reconstruction_error(details)
        return terms

    def _reconstruction_error(self, details: Details) -> Tensor:
        if "reconstruction" not in details or self.reconstruction is None:
            raise ValueError("the network reconstructs nothing; give it a MaskedReconstruction, and train() it")
        error: Tensor = self.reconstruction(details["reconstruction"], details["reconstruction_target"])
        return error
