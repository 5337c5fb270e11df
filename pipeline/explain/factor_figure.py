"""One picture a case: of each attribute its strongest channels, their map and its boxes, beside another method's."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from ..files import write_atomically
from .attribute_maps import Units
from .map_boxes import enlarge_map

__all__ = ["AttributePanel", "Layer", "factor_figure"]

TRUE, PREDICTED = "#ffdd33", "#33ddff"
Boxes = Sequence[Sequence[float]]


class Layer(NamedTuple):
    """A method's map of an attribute.

    Attributes:
        title: above the panel.
        heat: ``(h, w)``.
        stride: pixels along the side of a place.
        boxes: predicted, of the image's grid, best first; the best is drawn.
    """

    title: str
    heat: NDArray[np.float32]
    stride: int
    boxes: Boxes


class AttributePanel(NamedTuple):
    """A row of the figure.

    Attributes:
        name: of the attribute, or the sentence.
        units: the strongest channels, of the first layer's stride.
        layers: maps, FActOR's first.
        truth: true boxes; None where nothing is known.
    """

    name: str
    units: Units
    layers: Sequence[Layer]
    truth: NDArray[np.float64] | None


def factor_figure(
    image: NDArray[np.float32], mask: NDArray[Any], rows: Sequence[AttributePanel], path: Path, *, title: str
) -> None:
    """Draw a case and write it as PNG.

    Args:
        image: ``(H, W)`` in [0, 1].
        mask: ``(H, W)``, above 0 in the breast; outlined.
        rows: one each attribute, with as many units and layers each.
        path: the file to write.
        title: shown above.
    """
    units, layers = len(rows[0].units.numbers), len(rows[0].layers)
    columns = 1 + units + layers
    aspect = image.shape[0] / image.shape[1]
    width = 1.7
    figure = Figure(figsize=(width * columns, (width * aspect + 0.5) * len(rows) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(rows), columns, squeeze=False)
    for line, row in zip(panels, rows, strict=True):
        for axes in line:
            axes.imshow(image, cmap="gray", vmin=0, vmax=1)
            axes.set_axis_off()
        line[0].set_title(f"{row.name}\n{_said(row.truth)}", fontsize=8)
        line[0].contour(mask, levels=[0.5], colors="white", linewidths=0.5)
        _frame(line[0], row.truth, TRUE)
        stride = row.layers[0].stride
        for axes, number, weight, unit in zip(line[1:], *row.units, strict=False):
            axes.set_title(f"channel {number}\nweight {weight:+.3f}", fontsize=8)
            _lay(axes, enlarge_map(unit, image.shape, stride), mask)
            _frame(axes, row.truth, TRUE)
        for axes, layer in zip(line[1 + units :], row.layers, strict=True):
            axes.set_title(layer.title, fontsize=8)
            _lay(axes, enlarge_map(layer.heat, image.shape, layer.stride), mask)
            _frame(axes, row.truth, TRUE)
            _frame(axes, layer.boxes[:1], PREDICTED)
    figure.suptitle(title, fontsize=9)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=110, format="png")
    write_atomically(path, picture.getvalue())


def _said(truth: NDArray[np.float64] | None) -> str:
    if truth is None:
        return "not labelled"
    return "absent" if not len(truth) else f"{len(truth)} true box{'es' if len(truth) > 1 else ''}"


def _lay(axes: Axes, heat: NDArray[np.float64], mask: NDArray[Any]) -> None:
    """The map over the image, from its least to its greatest value in the breast."""
    inside = mask > 0
    values = heat[inside] if inside.any() else heat
    scaled = np.clip((heat - values.min()) / max(float(np.ptp(values)), 1e-12), 0, 1)
    axes.imshow(scaled, cmap="inferno", vmin=0, vmax=1, alpha=np.where(inside, 0.25 + 0.5 * scaled, 0.0))


def _frame(axes: Axes, boxes: Boxes | NDArray[np.float64] | None, colour: str) -> None:
    for row0, col0, row1, col1, *_ in [] if boxes is None else boxes:
        corner, size = (col0 - 0.5, row0 - 0.5), (col1 - col0, row1 - row0)
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=1.1))
