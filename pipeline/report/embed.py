"""Pictures as data URIs, so that a report is one file."""

import base64
import io
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image, UnidentifiedImageError

from .inputs import ReportError

MAX_WIDTH_PX = 1600
"""Wider pictures are made smaller: a report is read on a screen or on paper."""


def embed_figure(figure: Figure) -> str:
    """A drawn figure as an SVG data URI: sharp at any size, and the same bytes for the same figure."""
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "mammo"}):  # else its identifiers are random
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _data_uri("image/svg+xml", buffer.getvalue())


def embed_png(path: Path) -> str:
    """A PNG file as a data URI, once it is known to decode; made smaller where it is very wide.

    Raises:
        ReportError: the file is no readable PNG.
    """
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            pixels = image.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise ReportError(f"{path}: not a readable PNG picture ({error})") from error
    if pixels.width > MAX_WIDTH_PX:
        height = max(1, round(pixels.height * MAX_WIDTH_PX / pixels.width))
        buffer = io.BytesIO()
        pixels.resize((MAX_WIDTH_PX, height), Image.Resampling.LANCZOS).save(buffer, format="PNG")
        content = buffer.getvalue()
    return _data_uri("image/png", content)


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
