"""Losses between images and texts: multi-view supervision, CLIP's and SigLIP's."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from ..gather_embeddings import filled_up, gather_with_gradient
from ..image_text import ImageTextOutput

__all__ = ["NOTHING", "ImageTextContrastiveLoss", "MultiViewSupervision", "SigmoidLoss"]

NOTHING = torch.iinfo(torch.int64).min
"""The id that fills up what texts say."""

IMAGES, TEXTS = ("image", "other_image"), ("text", "other_text")


class MultiViewSupervision(nn.Module):
    r"""Loss of Mammo-CLIP (Ghosh et al. 2024, arXiv:2405.12255) between two views and two texts of each breast.

    .. math:: L = \frac{1}{2} (L_{i2t} + L_{t2i}) + w_i L_{i2i} + w_t L_{t2t}

    Each term is the mean cross-entropy of finding the own column: of both images among both texts (four pairs), the
    way back (four), each view among the other views (two), and each text among the other texts (two). With everything
    alike it is :math:`(1 + w_i + w_t) \log B`, as published :math:`2.5 \log B`.

    Targets are uniform over all columns that are right. A text is right for every image whose report says all that it
    says, and for a text if either says no more than the other's report: "no mass" is true of most breasts, and nothing
    in it tells them apart. Views are told apart breast by breast, whatever the reports say.

    Args:
        image_weight: :math:`w_i`.
        text_weight: :math:`w_t`.
        label_smoothing: of targets between images and texts, in training alone.
        gather: compare with the items of all processes, which must then call it together, each with as many. False,
            for validation, where processes may have different numbers of batches, takes those of this one.

    Attributes:
        parts: the detached terms of the last call that add up to it, weighted, by name; ``accuracy``, the share of
            images whose nearest text is right, and ``scale``.

    Shape:
        - output: see :class:`ImageTextOutput`, with both views and both texts.
        - groups: what texts say, as int64 ids that are equal where the same is said, in all processes alike (such as
          hashes): ``(B, 3, S)``, of text, other text and report, each filled up with :data:`NOTHING`; ``(B,)`` or
          ``(B, 2)``, an id of the whole text, or of text and other text, where the report is these; None: all are
          different.
        - result: scalar.

    Raises:
        ValueError: smoothing out of [0, 1), a negative weight, an output without other view or other text or with a
            bias, or groups of another shape.
    """

    def __init__(
        self,
        image_weight: float = 1.0,
        text_weight: float = 0.5,
        *,
        label_smoothing: float = 0.0,
        gather: bool = True,
    ) -> None:
        super().__init__()
        if min(image_weight, text_weight) < 0:
            raise ValueError(f"weights must be 0 or more, got image_weight {image_weight}, text_weight {text_weight}")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing {label_smoothing} must be 0 or more and below 1, such as 0.1")
        self.image_weight = image_weight
        self.text_weight = text_weight
        self.label_smoothing = label_smoothing
        self.gather = gather
        self.parts: dict[str, Tensor] = {}

    def forward(self, output: ImageTextOutput, groups: Tensor | None = None) -> Tensor:
        lacking = [name for name in ("other_image", "other_text") if getattr(output, name) is None]
        if lacking:
            raise ValueError(f"multi-view supervision needs two views and two texts a breast; got no {lacking[0]}")
        _refuse_bias(output)
        pairs = _Pairs(output, groups, self.gather)
        # As nothing tells a loss when validation calls it, the wish for gradients does.
        smoothing = self.label_smoothing if self.training and torch.is_grad_enabled() else 0.0
        terms = {
            "image_to_text": 0.5 * pairs.cross_entropy(IMAGES, TEXTS, smoothing),
            "text_to_image": 0.5 * pairs.cross_entropy(TEXTS, IMAGES, smoothing),
            "image_to_image": self.image_weight * pairs.cross_entropy(IMAGES, IMAGES),
            "text_to_text": self.text_weight * pairs.cross_entropy(TEXTS, TEXTS),
        }
        self.parts = {name: term.detach() for name, term in terms.items()} | pairs.figures()
        return torch.stack(list(terms.values())).sum()


class ImageTextContrastiveLoss(nn.Module):
    r"""Loss of CLIP (Radford et al. 2021, arXiv:2103.00020) with the weights of ConVIRT (arXiv:2010.00747).

    .. math:: L = w L_{i2t} + (1 - w) L_{t2i}

    of image and text alone; other views and other texts are not looked at. Mammo-CLIP's baselines have w = 0.75 and
    one sentence of the report as text; CLIP has 0.5.

    Args:
        image_to_text: w, in [0, 1].
        gather: see :class:`MultiViewSupervision`.

    Attributes:
        parts: see :class:`MultiViewSupervision`.

    Shape:
        - output: see :class:`ImageTextOutput`.
        - groups: see :class:`MultiViewSupervision`.
        - result: scalar, log B where all are alike.

    Raises:
        ValueError: w out of range, an output with a bias, or groups of another shape.
    """

    def __init__(self, image_to_text: float = 0.75, *, gather: bool = True) -> None:
        super().__init__()
        if not 0 <= image_to_text <= 1:
            raise ValueError(f"image_to_text {image_to_text} must lie between 0 and 1, such as 0.75, or 0.5 for CLIP")
        self.image_to_text = image_to_text
        self.gather = gather
        self.parts: dict[str, Tensor] = {}

    def forward(self, output: ImageTextOutput, groups: Tensor | None = None) -> Tensor:
        _refuse_bias(output)
        pairs = _Pairs(output._replace(other_image=None, other_text=None), groups, self.gather)
        terms = {
            "image_to_text": self.image_to_text * pairs.cross_entropy(IMAGES, TEXTS),
            "text_to_image": (1 - self.image_to_text) * pairs.cross_entropy(TEXTS, IMAGES),
        }
        self.parts = {name: term.detach() for name, term in terms.items()} | pairs.figures()
        return torch.stack(list(terms.values())).sum()


class SigmoidLoss(nn.Module):
    r"""Loss of SigLIP (Zhai et al. 2023, arXiv:2303.15343): each image and text on its own, do they belong together?

    .. math:: L = -\frac{1}{B} \sum_{ij} \log \sigma(z_{ij} (s \, x_i \cdot y_j + b))

    with z = 1 for a pair that belongs together, all pairs of equal texts among them, and else -1; s and b are the scale
    and the bias of the model. With other views or other texts it is the mean over all pairs of a view and a text.

    Args:
        gather: see :class:`MultiViewSupervision`.

    Attributes:
        parts: ``accuracy`` and ``scale``, see :class:`MultiViewSupervision`, and ``bias``.

    Shape:
        - output: see :class:`ImageTextOutput`, with a bias.
        - groups: see :class:`MultiViewSupervision`.
        - result: scalar.

    Raises:
        ValueError: an output without a bias, or groups of another shape.
    """

    def __init__(self, *, gather: bool = True) -> None:
        super().__init__()
        self.gather = gather
        self.parts: dict[str, Tensor] = {}

    def forward(self, output: ImageTextOutput, groups: Tensor | None = None) -> Tensor:
        if output.bias is None:
            raise ValueError("the sigmoid loss needs a model with a bias: build ImageTextModel(..., bias=-10)")
        pairs = _Pairs(output, groups, self.gather)
        losses = []
        for row, column in pairs.between(IMAGES, TEXTS):
            sign = 2.0 * pairs.matches(row, column) - 1.0
            losses.append(-F.logsigmoid(sign * (pairs.scores(row, column) + output.bias)).sum(dim=1).mean())
        self.parts = pairs.figures() | {"bias": output.bias.detach()}
        return torch.stack(losses).mean()


class _Pairs:
    """Rows, the B images and texts of this process, against columns, the N of all of them."""

    def __init__(self, output: ImageTextOutput, groups: Tensor | None, gather: bool) -> None:
        self.rows = {name: vectors for name in IMAGES + TEXTS if (vectors := getattr(output, name)) is not None}
        self.scale = output.scale
        stacked = torch.stack(list(self.rows.values()), dim=1)  # (B, K, D), for one exchange between processes
        joined = gather_with_gradient(stacked) if gather else stacked  # (N, K, D)
        self.columns = dict(zip(self.rows, joined.unbind(dim=1), strict=True))  # each (N, D)
        b, n = len(stacked), len(joined)
        places = torch.arange(b, device=stacked.device) + (distributed.get_rank() * b if n > b else 0)
        self.same_breast = places[:, None] == torch.arange(n, device=stacked.device)  # (B, N)
        self.row_has: Tensor | None = None
        self.column_has: Tensor | None = None
        if groups is not None:
            own = _statements(groups, b)
            every = gather_with_gradient(filled_up(own, NOTHING)) if gather else own
            self.row_has = _told(every[:, :2], own[:, 2]).permute(2, 0, 1)  # (B, N, 2), each text of the column
            self.column_has = _told(own[:, :2], every[:, 2]).transpose(1, 2)  # (B, N, 2), each text of the row

    def between(self, rows: tuple[str, ...], columns: tuple[str, ...]) -> list[tuple[str, str]]:
        """All pairs of names that are there, but for an item with itself."""
        return [(a, b) for a in rows for b in columns if a != b and a in self.rows and b in self.columns]

    def scores(self, row: str, column: str) -> Tensor:
        """Scaled cosines ``(B, N)``."""
        return self.scale * self.rows[row] @ self.columns[column].mT

    def matches(self, row: str, column: str) -> Tensor:
        """Which columns are right for a row, ``(B, N)`` bool; at least its own."""
        right = self.same_breast
        if self.row_has is not None and column in TEXTS:
            right = right | self.row_has[..., TEXTS.index(column)]
        if self.column_has is not None and row in TEXTS:
            right = right | self.column_has[..., TEXTS.index(row)]
        return right

    def cross_entropy(self, rows: tuple[str, ...], columns: tuple[str, ...], smoothing: float = 0.0) -> Tensor:
        """Mean over all pairs of names; targets are uniform over the columns that are right."""
        losses = []
        for row, column in self.between(rows, columns):
            right = self.matches(row, column).to(self.scale.dtype)
            targets = right / right.sum(dim=1, keepdim=True)
            losses.append(F.cross_entropy(self.scores(row, column), targets, label_smoothing=smoothing))
        return torch.stack(losses).mean()

    def figures(self) -> dict[str, Tensor]:
        """What is watched in training."""
        with torch.no_grad():
            nearest = self.scores("image", "text").argmax(dim=1, keepdim=True)
            right = self.matches("image", "text").gather(1, nearest)
        return {"accuracy": right.float().mean(), "scale": self.scale.detach()}


def _statements(groups: Tensor, b: int) -> Tensor:
    """Ids ``(B, 3, S)`` of what text, other text and report say."""
    if groups.ndim == 3 and groups.shape[:2] == (b, 3):
        return groups
    if groups.shape not in ((b,), (b, 2)):
        raise ValueError(
            f"groups must be ({b},), or ({b}, 2) for text and other text, or ({b}, 3, S) for what these and the report "
            f"say; got {tuple(groups.shape)}"
        )
    report = groups.reshape(b, -1).expand(-1, 2)
    nothing = torch.full_like(report, NOTHING)
    return torch.stack([torch.stack([report[:, k], nothing[:, k]], dim=1) for k in (0, 1)] + [report], dim=1)


def _told(texts: Tensor, reports: Tensor) -> Tensor:
    """``(B, 2, N)`` bool, whether a report ``(N, S)`` says all that a text ``(B, 2, S)`` says."""
    said = [texts.flatten(0, 1), reports]
    ids, places = torch.unique(torch.cat([part.flatten() for part in said]), return_inverse=True)
    has = []
    for part, where in zip(said, places.split([part.numel() for part in said]), strict=True):
        empty = torch.zeros(len(part), len(ids), device=ids.device)  # counts of float32 are exact
        has.append(empty.scatter_(1, where.reshape(part.shape), 1.0))
    has[1][:, ids == NOTHING] = 1.0
    return (has[0] @ (1.0 - has[1]).mT == 0).reshape(*texts.shape[:2], len(reports))


def _refuse_bias(output: ImageTextOutput) -> None:
    if output.bias is not None:
        raise ValueError("a bias is the same for all columns and is never trained here: build the model with bias=None")
