"""Pictures that results are drawn on: heat over grey, boxes, and lines of text below."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ....transforms.geometry import Box

__all__ = ["COLD", "boxed", "captioned", "heated", "labelled", "page_of_text"]

Picture = NDArray[np.uint8]

COLD = 0.2
"""Of the map's peak; what is colder stays grey, so that the mammogram remains readable."""

BOX = (0, 255, 255)
HEADLINE = (255, 221, 51)
TEXT = (235, 235, 235)
_LEVELS = (0.0, 0.35, 0.7, 1.0)
_COLOURS = ((255, 235, 60), (255, 170, 20), (255, 80, 20), (255, 0, 60))  # yellow to red, as on the page for people
_STEPS = 256
_OPAQUE, _FULL = 0.42, 0.7  # share of the colour at and above this value of the map


def heated(image: NDArray[np.float32], heat: NDArray[np.float32]) -> Picture:
    """A grey picture with a map in colour over it.

    Args:
        image: ``(h, w)`` in [0, 1].
        heat: ``(h, w)`` in [0, 1].

    Returns:
        ``(h, w, 3)`` RGB; red, green and blue are equal wherever the map is below :data:`COLD`.
    """
    place = np.round(np.clip(np.nan_to_num(heat), 0, 1) * (_STEPS - 1)).astype(np.uint8)
    grey = np.clip(image, 0, 1, dtype=np.float32) * 255
    keep, add = _tint()
    return (add.take(place, axis=0) + (grey * keep.take(place))[..., None]).astype(np.uint8)


@lru_cache(maxsize=1)
def _tint() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """By value of the map in 256 steps: the share of the grey that stays, and the colour that is added, half a step up.

    Adding a half makes the cut to whole numbers a rounding.
    """
    warmth = np.linspace(0, 1, _STEPS, dtype=np.float32)
    colours = np.stack([np.interp(warmth, _LEVELS, [colour[c] for colour in _COLOURS]) for c in range(3)], axis=-1)
    alpha = _OPAQUE * np.clip((warmth - COLD) / (_FULL - COLD), 0, 1)[:, None]
    return (1 - alpha[:, 0]).astype(np.float32), (colours * alpha + 0.5).astype(np.float32)


def boxed(picture: Picture, boxes: Sequence[Box], scale: float) -> Picture:
    """Outline boxes just outside their edges.

    Args:
        picture: ``(h, w, 3)``; not changed.
        boxes: half-open, in rows and columns of the original.
        scale: of the picture to the original.
    """
    drawn = picture.copy()
    thick = max(1, round(max(picture.shape) / 500))
    for row0, column0, row1, column1 in boxes:
        corner = int(np.floor(column0 * scale)) - thick, int(np.floor(row0 * scale)) - thick
        opposite = int(np.ceil(column1 * scale)) + thick - 1, int(np.ceil(row1 * scale)) + thick - 1
        cv2.rectangle(drawn, corner, opposite, BOX, thick)
    return drawn


def labelled(picture: Picture, boxes: Sequence[Box], labels: Sequence[str], scale: float) -> Picture:
    """Write a label above each box, or below one that leaves no room above."""
    canvas = Image.fromarray(picture)
    draw, font = ImageDraw.Draw(canvas), _font(max(11, picture.shape[0] // 50))
    for (row0, column0, row1, _), label in zip(boxes, labels, strict=True):
        height, width = font.size + 4, round(font.getlength(label))
        above = row0 * scale - height - 2
        row = above if above >= 0 else min(row1 * scale + 3, picture.shape[0] - height)
        column = min(max(column0 * scale, 0), max(0, picture.shape[1] - width - 2))
        draw.text((column, row), label, BOX, font, stroke_width=2, stroke_fill=(0, 0, 0))
    return np.asarray(canvas)


def captioned(picture: Picture, lines: Sequence[str]) -> Picture:
    """Add a black band below with lines of text, the first of them a headline; rows and columns above stay theirs."""
    size = max(12, picture.shape[1] // 40)
    band = _text(lines, picture.shape[1], size)
    return np.concatenate([picture, band], axis=0)


def page_of_text(lines: Sequence[str], width: int = 1024) -> Picture:
    """A black page with lines of text, the first of them a headline."""
    page = _text(lines, width, width // 40)
    missing = max(0, width * 3 // 4 - page.shape[0])
    return np.pad(page, ((0, missing), (0, 0), (0, 0)))


def _text(lines: Sequence[str], width: int, size: int) -> Picture:
    font, edge = _font(size), size // 2
    wrapped = [(row, n == 0) for n, line in enumerate(lines) for row in _wrapped(line, font, width - 2 * edge)]
    step = round(size * 1.35)
    canvas = Image.new("RGB", (width, 2 * edge + step * len(wrapped)))
    draw = ImageDraw.Draw(canvas)
    for place, (row, first) in enumerate(wrapped):
        draw.text((edge, edge + place * step), row, HEADLINE if first else TEXT, font)
    return np.asarray(canvas)


def _wrapped(line: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """A line in rows that fit; a word that is too long is cut."""
    rows = [""]
    for word in line.split():
        longer = f"{rows[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            rows[-1] = longer
            continue
        rows.append(word)
        while font.getlength(rows[-1]) > width and len(rows[-1]) > 1:
            cut = next(n for n in range(len(rows[-1]) - 1, 0, -1) if n == 1 or font.getlength(rows[-1][:n]) <= width)
            rows[-1:] = [rows[-1][:cut], rows[-1][cut:]]
    return [row for row in rows if row] or [""]


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: nothing has to be installed on a server."""
    return ImageFont.truetype(str(Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)
