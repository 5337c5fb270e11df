"""Mammo-FActOR: which channel, or which place, of a frozen encoder's map speaks for an attribute of the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from monai.networks.nets import FullyConnectedNet
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "ChannelMapper",
    "FActOR",
    "FactorMaps",
    "PositionMapper",
    "attribute_embeddings",
    "breast_places",
    "factor_map",
]

FIGURE_UNITS = 3
"""Channels that are named and shown where all of them make the map."""

FLAT = 1e-6
"""A map whose values differ by less, in proportion to the greatest, is constant but for rounding."""


class FactorMaps(NamedTuple):
    """Heat-maps of the attributes, and the channels behind them, greatest weight first.

    Attributes:
        maps: ``(B, A, H, W)`` in [0, 1]; a map that tells no place from another is 0.
        units: ``(B, A, k)`` int64, numbers of the channels; k is 0 where places, not channels, are weighed.
        unit_maps: ``(B, A, k, H, W)``, each channel times its weight.
    """

    maps: Tensor
    units: Tensor
    unit_maps: Tensor


class ChannelMapper(nn.Module):
    """Mammo-FActOR's mapper (Ghosh et al. 2024, arXiv:2405.12255): each channel's map becomes a vector per attribute.

    An attribute's network reads the places of one channel: P to ``hidden`` to D, with a ReLU between. The attributes
    stand on an axis of their own; joined along the channels and folded afterwards, as was released, each attribute
    would get half the channels of every network. It takes maps of one size alone.

    Args:
        channels: of the encoder's last map.
        positions: places of the map, P = rows x columns.
        attributes: number of attributes, A.
        embed_dim: D, length of the text embeddings.
        hidden: units between the two layers; None takes P, as published, and 0 a single linear layer.
        shared: one network for all attributes.

    Shape:
        - features: ``(B, channels, H, W)`` with H x W = P.
        - output: ``(B, channels, A, D)``.

    Raises:
        ValueError: a size below 1, or features of another shape.
    """

    def __init__(
        self,
        channels: int,
        positions: int,
        attributes: int,
        embed_dim: int = 512,
        *,
        hidden: int | None = None,
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.positions = positions
        self.attributes = attributes
        self.embed_dim = embed_dim
        self.shared = shared
        self.networks = _networks(positions, hidden, embed_dim, 1 if shared else attributes)

    def forward(self, features: Tensor) -> Tensor:
        _check_features(features, self.channels)
        if features.shape[2] * features.shape[3] != self.positions:
            raise ValueError(
                f"the mapper was made for maps of {self.positions} places and got {tuple(features.shape[2:])}; resize "
                "the images to the size it was trained on, or train a PositionMapper, which takes any size"
            )
        mapped = _mapped(self.networks, features.flatten(2))
        return mapped.expand(-1, -1, self.attributes, -1)  # (B, C, A, D), also of the one shared network


class PositionMapper(nn.Module):
    """Map each place's features to a vector per attribute, as 1x1 convolutions do: maps of any size.

    Args:
        channels: of the encoder's last map.
        attributes: number of attributes, A.
        embed_dim: D, length of the text embeddings.
        hidden: units between the two layers; None takes as many as channels, and 0 a single linear layer.

    Shape:
        - features: ``(B, channels, H, W)``.
        - output: ``(B, H * W, A, D)``, places row by row.

    Raises:
        ValueError: a size below 1, or features of another shape.
    """

    def __init__(self, channels: int, attributes: int, embed_dim: int = 512, *, hidden: int | None = None) -> None:
        super().__init__()
        self.channels = channels
        self.attributes = attributes
        self.embed_dim = embed_dim
        self.networks = _networks(channels, hidden, embed_dim, attributes)

    def forward(self, features: Tensor) -> Tensor:
        _check_features(features, self.channels)
        return _mapped(self.networks, features.flatten(2).mT)


class FActOR(nn.Module):
    r"""Score attributes by the region that fits their text best (Mammo-FActOR, arXiv:2405.12255).

    .. math:: s_{ba} = \max_r \cos(z_{bra}, t_a) / \tau

    Regions r are the channels of a frozen encoder's last map, or its places, as the mapper has it. The encoder is no
    part of it: features can be computed once and kept.

    Args:
        mapper: the part that is trained.
        text: ``(A, D)`` embeddings of unit length, see :func:`attribute_embeddings`; they stay as they are.
        temperature: :math:`\tau`.

    Shape:
        - features: ``(B, C, H, W)``.
        - mask: ``(B, 1, H, W)``, where the map shows breast, see :func:`breast_places`. Channels are looked at there
          alone; places elsewhere have the least similarity, -1, and are never the best.
        - output: ``(B, A)``, between :math:`-1 / \tau` and :math:`1 / \tau`.

    Raises:
        ValueError: text of another shape than the mapper's, or not of unit length; a temperature that is not above 0;
            a mask of another shape than the map's.
    """

    text: Tensor

    def __init__(self, mapper: ChannelMapper | PositionMapper, text: Tensor, temperature: float = 0.07) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature {temperature} must be above 0, such as 0.07")
        self.mapper = mapper
        self.temperature = temperature
        self.register_buffer("text", self._checked(text).detach().clone())

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.similarities(features, mask).amax(dim=1) / self.temperature

    def similarities(self, features: Tensor, mask: Tensor | None = None, text: Tensor | None = None) -> Tensor:
        """Cosine ``(B, R, A)`` of every region with every attribute.

        Args:
            features: ``(B, C, H, W)``.
            mask: see the class.
            text: ``(A, D)`` of unit length in the place of the attributes' own: a sentence about each.
        """
        target = self.text if text is None else self._checked(text)
        if mask is not None:
            _check_mask(mask, features)
        if mask is not None and isinstance(self.mapper, ChannelMapper):
            features = features * (mask > 0)
        vectors = F.normalize(self.mapper(features), dim=-1)
        cosines = torch.einsum("brad,ad->bra", vectors, target.to(vectors))
        if mask is not None and isinstance(self.mapper, PositionMapper):
            cosines = cosines.masked_fill((mask <= 0).flatten(2).mT, -1.0)
        return cosines

    def maps(
        self,
        features: Tensor,
        mask: Tensor | None = None,
        *,
        top: int | None = FIGURE_UNITS,
        text: Tensor | None = None,
    ) -> FactorMaps:
        """Heat-maps of the attributes: :func:`factor_map` of channels, or the similarities of places themselves.

        Args:
            features: ``(B, C, H, W)``.
            mask: see the class; the map is 0 elsewhere.
            top: see :func:`factor_map`; it does not matter where places are weighed.
            text: see :meth:`similarities`.
        """
        cosines = self.similarities(features, mask, text)
        if isinstance(self.mapper, ChannelMapper):
            return factor_map(features, cosines, top=top, mask=mask)
        of_places = cosines.mT.unflatten(-1, features.shape[2:])
        none = features.new_zeros((*of_places.shape[:2], 0), dtype=torch.int64)
        return FactorMaps(_stretched(of_places, mask), none, of_places.new_zeros((*none.shape, *features.shape[2:])))

    def _checked(self, text: Tensor) -> Tensor:
        expected = (self.mapper.attributes, self.mapper.embed_dim)
        if text.shape != expected:
            raise ValueError(f"text is {tuple(text.shape)}; the mapper takes {expected}, attributes and their length")
        if not bool(((text.norm(dim=-1) - 1).abs() < 1e-3).all()):
            raise ValueError("text must be of unit length; attribute_embeddings makes it so")
        return text


def attribute_embeddings(sentences: Sequence[Tensor]) -> Tensor:
    """One unit vector per attribute: the mean of its sentences' embeddings as they come, then its direction.

    Args:
        sentences: of each attribute ``(n, D)``, the projected embeddings before they are normalised.

    Returns:
        ``(A, D)``.

    Raises:
        ValueError: no attribute, an attribute without a sentence, or sentences that cancel out.
    """
    if not sentences or any(one.ndim != 2 or len(one) == 0 for one in sentences):
        raise ValueError(f"each attribute needs sentences (n, D); got {[tuple(one.shape) for one in sentences]}")
    means = torch.stack([one.mean(dim=0) for one in sentences])
    lengths = means.norm(dim=-1, keepdim=True)
    if not bool((lengths > 0).all()):
        place = int((lengths[:, 0] > 0).logical_not().nonzero()[0])
        raise ValueError(f"the sentences of attribute {place} have no mean direction; give it others")
    return means / lengths


def breast_places(mask: Tensor, size: Sequence[int], stride: int) -> Tensor:
    """Places of a map that see a pixel of the breast.

    Args:
        mask: ``(B, 1, H, W)`` of the image, above 0 where the breast is.
        size: rows and columns of the map.
        stride: pixels along the side of a place; maps cover whole strides, beyond the image if need be.

    Returns:
        ``(B, 1, *size)`` bool.
    """
    rows, columns = size
    whole = F.pad(mask.float(), (0, columns * stride - mask.shape[-1], 0, rows * stride - mask.shape[-2]))
    return F.max_pool2d(whole, stride) > 0


def factor_map(
    features: Tensor, weights: Tensor, *, top: int | None = FIGURE_UNITS, mask: Tensor | None = None
) -> FactorMaps:
    r"""Heat-map of each attribute from its channels.

    .. math:: M_a = \text{relu}(\sum_{c} w_{ca} F_c)

    stretched to [0, 1]. The code of the published maps was never released: this follows their description.

    Args:
        features: ``(B, C, H, W)``, F.
        weights: ``(B, C, A)``, w, such as :meth:`FActOR.similarities` gives.
        top: so many channels of greatest weight make the map. None takes all whose weight is above 0.
        mask: ``(B, 1, H, W)``, above 0 where the map shows breast; the map is stretched there, and 0 elsewhere.

    Raises:
        ValueError: shapes that do not fit, or ``top`` below 1 or above C.
    """
    if features.ndim != 4 or weights.ndim != 3 or weights.shape[:2] != features.shape[:2]:
        raise ValueError(
            f"expected features (B, C, H, W) and weights (B, C, A), got {tuple(features.shape)}, {tuple(weights.shape)}"
        )
    channels = features.shape[1]
    if top is not None and not 1 <= top <= channels:
        raise ValueError(f"top={top} must be between 1 and the {channels} channels, or None for all")
    if mask is not None:
        _check_mask(mask, features)
    shown = min(FIGURE_UNITS, channels) if top is None else top
    chosen, units = weights.mT.topk(shown, dim=-1)  # (B, A, k)
    images = torch.arange(len(features), device=features.device)[:, None, None]
    unit_maps = chosen[..., None, None] * features[images, units]  # (B, A, k, H, W)
    total = unit_maps.sum(dim=2) if top else torch.einsum("bca,bchw->bahw", weights.relu(), features)
    return FactorMaps(_stretched(total.relu(), mask), units, unit_maps)


def _networks(inputs: int, hidden: int | None, outputs: int, count: int) -> nn.ModuleList:
    hidden = inputs if hidden is None else hidden
    if min(inputs, outputs, count) < 1 or hidden < 0:
        raise ValueError(
            f"inputs {inputs}, embed_dim {outputs} and attributes {count} must be 1 or more, and hidden {hidden} 0 or "
            "more"
        )
    units = [hidden] if hidden else []
    return nn.ModuleList(FullyConnectedNet(inputs, outputs, units, act="RELU", adn_ordering="A") for _ in range(count))


def _mapped(networks: nn.ModuleList, regions: Tensor) -> Tensor:
    """``(B, R, A, D)`` of regions ``(B, R, K)``, attributes on an axis of their own."""
    rows = regions.flatten(0, 1)  # (B R, K): MONAI's network would flatten regions into its input
    return torch.stack([network(rows) for network in networks], dim=1).unflatten(0, regions.shape[:2])


def _stretched(values: Tensor, mask: Tensor | None) -> Tensor:
    """``(B, A, H, W)`` from least to greatest value in the breast as [0, 1]; 0 elsewhere, and where all are alike."""
    inside = torch.ones_like(values, dtype=torch.bool) if mask is None else (mask > 0).expand_as(values)
    low = values.masked_fill(~inside, torch.inf).amin(dim=(-2, -1), keepdim=True)
    high = values.masked_fill(~inside, -torch.inf).amax(dim=(-2, -1), keepdim=True)
    shows = inside & (high - low > FLAT * torch.maximum(high.abs(), low.abs()))
    return torch.where(shows, (values - low) / torch.where(high > low, high - low, 1.0), 0.0)


def _check_features(features: Tensor, channels: int) -> None:
    if features.ndim != 4 or features.shape[1] != channels:
        raise ValueError(f"the mapper takes features (B, {channels}, H, W), got {tuple(features.shape)}")


def _check_mask(mask: Tensor, features: Tensor) -> None:
    expected = (len(features), 1, *features.shape[2:])
    if mask.shape != expected:
        raise ValueError(
            f"the mask is {tuple(mask.shape)} and the map takes {expected}; breast_places brings it to the map"
        )
