"""From tissue to picture: quantum noise or film, and the side marker that is burned into the air beside the breast."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .case import UNSEEN_DEVICE
from .strokes import Image, blurred

_GLYPHS = {
    "R": ("1111.", "1...1", "1...1", "1111.", "1.1..", "1..1.", "1...1"),
    "L": ("1....", "1....", "1....", "1....", "1....", "1....", "11111"),
    "C": (".1111", "1....", "1....", "1....", "1....", "1....", ".1111"),
    "M": ("1...1", "11.11", "1.1.1", "1.1.1", "1...1", "1...1", "1...1"),
    "O": (".111.", "1...1", "1...1", "1...1", "1...1", "1...1", ".111."),
    " ": ("..", "..", "..", "..", "..", "..", ".."),
}


def expose(tissue: Image, breast: NDArray[np.bool_], device: str, rng: np.random.Generator) -> Image:
    """Turn the brightness of tissue into an image in [0, 1] as a device shows it: digital, film or enhanced."""
    grain = rng.standard_normal(tissue.shape, dtype=np.float32)
    if device == "digital":
        noisy = 1.1 * tissue + 0.014 * np.sqrt(0.3 + tissue) * grain
        return np.clip(noisy * breast, 0, 1)
    if device == UNSEEN_DEVICE:
        sharp = np.clip(tissue + 0.8 * (tissue - blurred(tissue, 6)), 0, 1)
        return np.clip((sharp**0.6 + 0.05 * blurred(grain, 1.0)) * breast, 0, 1)
    density = 1 / (1 + np.exp(-5 * (blurred(tissue, 0.6) - 0.4)))
    noisy = 1.08 * density - 0.09 + 0.022 * blurred(grain, 0.6)
    return np.clip(noisy, 0, 1)


def _lettering(text: str, height_px: int) -> Image:
    rows = [".".join(_GLYPHS[letter][i] for letter in text) for i in range(7)]
    bitmap = np.array([[float(dot == "1") for dot in row] for row in rows], np.float32)
    width = max(1, round(bitmap.shape[1] * height_px / 7))
    large = cv2.resize(bitmap, (width, height_px), interpolation=cv2.INTER_CUBIC)
    return np.clip(large, 0, 1)


def marker(text: str, style: str, pixel_mm: float) -> Image:
    """A lead marker: ``plain`` letters, or ``framed`` ones, of the same height and thus about the same area."""
    letters = _lettering(text, round(6.0 / pixel_mm))
    if style == "plain":
        return letters
    gap, line = round(1.6 / pixel_mm), max(1, round(0.8 / pixel_mm))
    inside = cv2.copyMakeBorder(letters, gap, gap, gap, gap, cv2.BORDER_CONSTANT, value=0)
    framed = cv2.copyMakeBorder(inside, line, line, line, line, cv2.BORDER_CONSTANT, value=1)
    return np.asarray(framed, np.float32)


def stamp(image: Image, sign: Image, row: int, column: int, brightness: float) -> None:
    """Burn ``sign`` into ``image`` in place, its upper left corner at ``row`` and ``column``."""
    window = image[row : row + sign.shape[0], column : column + sign.shape[1]]
    np.maximum(window, brightness * sign, out=window)
