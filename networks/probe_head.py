"""What a linear probe trains: the part of a classifier behind its frozen encoder."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from .classifier import MammogramClassifier, PooledNorm

__all__ = ["ProbeHead"]


class ProbeHead(nn.Module):
    """Norm, dropout and head of a classifier, for pooled features in place of images.

    The modules are those of ``network``: training them here trains them there, and its state is the checkpoint of a
    whole classifier. A batch norm in front of the head (MAE's linear probing, arXiv:2111.06377) does not follow the
    batches: it has the mean and the variance of all training features, once and for all, and learns nothing. Training
    is then convex, and what is validated is what is trained.

    Args:
        network: whose encoder is frozen.
        features: ``(N, C)``, pooled features of the training images, without norm.

    Shape:
        - features: ``(B, C)``.
        - output: logits ``(B, K)``, those that ``network`` gives for the images of these features.

    Raises:
        ValueError: the encoder is not frozen, or the features are not those of its last map.
    """

    def __init__(self, network: MammogramClassifier, features: Tensor) -> None:
        super().__init__()
        if not network.freeze:
            raise ValueError("a linear probe leaves the encoder as it is: build the classifier with freeze=True")
        channels = network.encoder.out_channels
        if features.ndim != 2 or features.shape[1] != channels or not len(features):
            raise ValueError(f"features must be (N, {channels}), of one image or more; got {tuple(features.shape)}")
        self.norm, self.dropout, self.head = network.head_norm, network.dropout, network.head
        if isinstance(self.norm, PooledNorm):
            exact = features.double()
            cast(Tensor, self.norm.running_mean).copy_(exact.mean(dim=0))
            cast(Tensor, self.norm.running_var).copy_(exact.var(dim=0, correction=0))
        self.train()

    def train(self, mode: bool = True) -> ProbeHead:
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.dropout(self.norm(features))))
