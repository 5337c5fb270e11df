"""What the figures of studies have in common. Colours are Okabe and Ito's, told apart by colour-blind readers."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

__all__ = ["COLOURS", "MARKERS", "png"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P")


def png(figure: Figure) -> bytes:
    """A figure as a PNG file."""
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
