"""Masses: benign ones are smooth, malignant ones rough and spiculated, at the same area, contrast and place."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .case import Case
from .finding import Words
from .strokes import Image, Stroke, bend, blurred, draw_strokes

_ELLIPSE = {"ROUND": 0.03, "OVAL": 0.17, "LOBULATED": 0.08, "IRREGULAR": 0.1}
_OUTLINED = 1.3  # a radiologist outlines a mass generously
_ANGLES = np.linspace(-np.pi, np.pi, 361)


def _roughness(case: Case) -> float:
    if case.ambiguous:
        return 0.05
    return 0.12 if case.malignant else 0.0


def _outline(case: Case, words: Words, rng: np.random.Generator) -> NDArray[np.float64]:
    """Radius for each of 361 angles, in units that make the enclosed area pi."""
    shape = words.first.split("-")[0]
    wave = _ELLIPSE[shape] * np.cos(2 * _ANGLES + rng.uniform(0, 6.28))
    if shape == "LOBULATED":
        wave += 0.1 * np.cos(rng.integers(3, 5) * _ANGLES + rng.uniform(0, 6.28))
    if "MICROLOBULATED" in words.second:
        wave += 0.07 * np.cos(rng.integers(9, 13) * _ANGLES + rng.uniform(0, 6.28))
    for k in range(3, 15):
        amplitude = _roughness(case) * rng.normal() / np.sqrt(k - 2)
        wave += amplitude * np.cos(k * _ANGLES + rng.uniform(0, 6.28))
    radius = np.maximum(1 + wave, 0.4)
    return radius / np.sqrt(np.mean(radius**2))


def _softness_mm(radius_mm: float, case: Case, words: Words) -> float:
    if "ILL_DEFINED" in words.second:
        return 0.2 * radius_mm
    return 0.09 * radius_mm if case.ambiguous else 0.5


def _spicules(
    case: Case, words: Words, radius_px: float, longest: float, pixel_mm: float, rng: np.random.Generator
) -> list[Stroke]:
    """Strokes outwards from the centre of the window, at most ``longest`` radii beyond the outline."""
    if not (case.malignant or case.ambiguous):
        return []
    spiculated = "SPICULATED" in words.second
    count = int(rng.integers(3, 7) if case.ambiguous else rng.integers(14, 23) if spiculated else rng.integers(10, 15))
    angles = 2 * np.pi * (np.arange(count) + rng.uniform(-0.5, 0.5, count)) / count
    strokes = []
    for angle in angles:
        length = min(rng.uniform(0.6, 1.5) if spiculated else rng.uniform(0.5, 0.9), longest)
        direction = np.array([np.sin(angle), np.cos(angle)])
        points = bend(0.7 * radius_px * direction, (1 + length) * radius_px * direction, rng.normal(0, 0.09))
        width = rng.uniform(0.5, 0.9) / pixel_mm + rng.uniform(0.03, 0.08) * radius_px
        strength = rng.uniform(0.75, 1.0) if spiculated else rng.uniform(0.6, 0.9)
        strokes.append(Stroke(points, (width, max(0.4 / pixel_mm, 1)), (strength, 0.3 * strength)))
    return strokes


def draw_mass(
    case: Case, words: Words, radius_mm: float, clearance_mm: float, pixel_mm: float, rng: np.random.Generator
) -> tuple[Image, NDArray[np.bool_]]:
    """Draw a mass in the middle of a square window of odd side.

    Args:
        case: the patient.
        words: shape and margins.
        radius_mm: of the disc of equal area.
        clearance_mm: free space around the centre; nothing is drawn beyond it.
        pixel_mm: side of a pixel.
        rng: source of randomness.

    Returns:
        Brightness relative to the lesion's contrast (its mean inside the outline is 1), and the region that a
        radiologist would outline, both ``(S, S)``.
    """
    half = int(clearance_mm / pixel_mm)
    radius_px = radius_mm / pixel_mm
    offset = np.arange(-half, half + 1)
    distance = np.hypot(offset[:, None], offset[None])
    angle = np.arctan2(offset[:, None], offset[None])
    relative = distance / (radius_px * np.interp(angle, _ANGLES, _outline(case, words, rng)))
    body = np.clip(1 - relative**2, 0, None).astype(np.float32) ** np.float32(0.35)
    blur = _softness_mm(radius_mm, case, words) / pixel_mm
    body = cv2.GaussianBlur(body, (0, 0), blur, borderType=cv2.BORDER_CONSTANT).astype(np.float32, copy=False)
    if "OBSCURED" in words.second:
        hidden = 0.5 + 0.5 * np.cos(angle - rng.uniform(-np.pi, np.pi))
        veil = cv2.GaussianBlur(body, (0, 0), 0.3 * radius_px, borderType=cv2.BORDER_CONSTANT)
        body += (veil - body) * hidden.astype(np.float32) ** 2
    body /= body[relative < 1].mean()
    shifted = [
        Stroke(s.points + half, s.width_px, s.strength)
        for s in _spicules(case, words, radius_px, clearance_mm / radius_mm - 1.15, pixel_mm, rng)
    ]
    spicules = blurred(draw_strokes(shifted, (len(offset), len(offset))), 0.3 / pixel_mm + 0.2)
    fade = np.clip((clearance_mm / pixel_mm - distance) / 3, 0, 1).astype(np.float32)
    return (body + 1.3 * spicules * np.clip(1 - body, 0, 1)) * fade, relative < _OUTLINED
