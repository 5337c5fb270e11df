"""Thin curved lines: ducts, vessels, ligaments, and the spicules that must not stand out from them."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]

_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Stroke:
    """A curve of ``(N, 2)`` points (row, column in pixels) with its width and its strength at both ends."""

    points: NDArray[np.float64]
    width_px: tuple[float, float]
    strength: tuple[float, float]


def bend(start: NDArray[np.float64], end: NDArray[np.float64], sag: float, segments: int = 10) -> NDArray[np.float64]:
    """Points of a parabola from ``start`` to ``end`` that leaves the chord by ``sag`` of its length."""
    t = np.linspace(0, 1, segments + 1)[:, None]
    chord = end - start
    normal = np.array([-chord[1], chord[0]])
    return start + t * chord + 4 * t * (1 - t) * sag * normal


def blurred(image: Image, sigma_px: float) -> Image:
    """Gaussian blur of an ``(H, W)`` image, reflected at its borders."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.float32)


def draw_strokes(strokes: Iterable[Stroke], shape: tuple[int, int]) -> Image:
    """Draw strokes, the strongest on top, as an ``(H, W)`` image in [0, 1]."""
    canvas = np.zeros(shape, np.uint8)
    for stroke in sorted(strokes, key=lambda item: max(item.strength)):
        count = len(stroke.points) - 1
        strengths = np.linspace(*stroke.strength, count) * 255
        widths = np.linspace(*stroke.width_px, count)
        corners = np.rint(stroke.points[:, ::-1] * 2**_SUBPIXEL_BITS).astype(int).tolist()
        for i in range(count):
            cv2.line(
                canvas,
                corners[i],
                corners[i + 1],
                color=int(strengths[i]),
                thickness=max(1, round(widths[i])),
                lineType=cv2.LINE_AA,
                shift=_SUBPIXEL_BITS,
            )
    return canvas.astype(np.float32) / np.float32(255)
