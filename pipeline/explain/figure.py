"""One picture a case: the image with breast outline and lesion, beside each explanation laid over it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from ..files import write_atomically

TITLES = {
    "rollout": "Attention roll-out",
    "attention": "Attention",
    "attention_gradient": "Gradient-weighted attention",
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "occlusion": "Occlusion sensitivity",
}


def case_figure(
    image: NDArray[np.float32],
    mask: NDArray[np.float32],
    maps: Mapping[str, NDArray[np.float32]],
    path: Path,
    *,
    title: str,
    roi: NDArray[np.bool_] | None = None,
) -> None:
    """Draw a case and write it as PNG.

    Args:
        image: ``(H, W)`` in [0, 1].
        mask: ``(H, W)`` breast mask in {0, 1}; outlined in cyan.
        maps: explanations ``(H, W)`` >= 0 by name, each stretched from its own least to its own greatest value.
        path: the file to write.
        title: shown above.
        roi: ``(H, W)`` true where a lesion is known; boxed in yellow.
    """
    figure = Figure(figsize=(3.0 * (1 + len(maps)), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    titles = TITLES | {"image": "Image, breast outline" + (", lesion" if roi is not None else "")}
    panels = figure.subplots(1, 1 + len(maps), squeeze=False)[0]
    for axes, name in zip(panels, ["image", *maps], strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set_axis_off()
        axes.set_title(titles[name], fontsize=9)
        if name == "image":
            axes.contour(mask, levels=[0.5], colors="#33ddff", linewidths=0.8)
        else:
            low, high = float(maps[name].min()), float(maps[name].max())
            if not low < high:
                axes.set_title(f"{titles[name]}: blank, it shows nothing", fontsize=9)
            scaled = (maps[name] - low) / max(high - low, 1e-12)
            axes.imshow(scaled, cmap="inferno", vmin=0, vmax=1, alpha=0.25 + 0.5 * scaled)
        if roi is not None and roi.any():
            rows, columns = np.nonzero(roi)
            box = (columns.min() - 0.5, rows.min() - 0.5), float(np.ptp(columns)) + 1, float(np.ptp(rows)) + 1
            axes.add_patch(_rectangle(*box))
    figure.suptitle(title, fontsize=10)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=110, format="png")
    write_atomically(path, picture.getvalue())


def _rectangle(corner: tuple[float, float], width: float, height: float) -> Rectangle:
    return Rectangle(corner, width, height, fill=False, edgecolor="#ffdd33", linewidth=1.0)
