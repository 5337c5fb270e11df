"""A breast without a lesion: outline, pectoral muscle, fat, glandular tissue, ducts and ligaments.

Everything is drawn with the chest wall on the left; a right breast is mirrored at the end. Parenchyma is a power-law
field with spectrum 1/f^3 (Burgess et al., Med Phys 28:419, 2001): it is what hides lesions in real mammograms.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.special import expit

from .case import Case
from .strokes import Image, Stroke, bend, blurred, draw_strokes

FIELD_MM = (240.0, 180.0)
"""Height and width of the detector (18 x 24 cm)."""

_GLAND_FRACTION = {1: 0.1, 2: 0.3, 3: 0.52, 4: 0.75}


@dataclass(frozen=True)
class Anatomy:
    """One view of a breast, chest wall on the left.

    Attributes:
        view: ``CC`` or ``MLO``.
        pixel_mm: side of a pixel.
        tissue: ``(H, W)`` float32, brightness of the tissue without lesion, noise and film curve.
        breast: ``(H, W)`` bool, inside the skin.
        muscle: ``(H, W)`` bool, the pectoral muscle.
        nipple: row and column in pixels.
        clearance_mm: ``(H, W)`` float32, distance to the nearest skin, muscle or image border.
    """

    view: str
    pixel_mm: float
    tissue: Image
    breast: NDArray[np.bool_]
    muscle: NDArray[np.bool_]
    nipple: tuple[float, float]
    clearance_mm: Image


@lru_cache(maxsize=8)
def _filter(shape: tuple[int, int], pixel_mm: float, kind: str) -> Image:
    rows, columns = (np.fft.fftfreq(n, pixel_mm) for n in shape)
    frequency = np.hypot(rows[:, None], columns[None]).astype(np.float32)  # cycles / mm
    if kind == "power_law":
        gain = (frequency**2 + (1 / 70) ** 2) ** np.float32(-0.75)
    else:  # band: a net of cells about 12 mm wide
        gain = np.exp(-(((frequency - 0.08) / 0.05) ** 2)) + 0.25 * np.exp(-(((frequency - 0.2) / 0.1) ** 2))
    gain[0, 0] = 0
    return (gain / np.sqrt(np.mean(gain**2))).astype(np.float32)


def noise_pair(shape: tuple[int, int], pixel_mm: float, kind: str, rng: np.random.Generator) -> tuple[Image, Image]:
    """Two independent ``(H, W)`` Gaussian fields of mean 0 and variance 1.

    ``kind`` is ``power_law`` (spectrum 1/f^3) or ``band``, whose zero crossings make the net of ligaments.
    """
    spectrum = rng.standard_normal((*shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    spectrum *= _filter(shape, pixel_mm, kind)
    field = scipy.fft.ifft2(spectrum, overwrite_x=True) * np.float32(np.sqrt(shape[0] * shape[1]))
    return field.real, field.imag


def _outline(case: Case, view: str, y: NDArray[np.float64], rng: np.random.Generator) -> tuple[Image, float]:
    """Distance of the skin from the chest wall for each row, and the row of the nipple, in mm."""
    depth, half = case.depth_mm, case.half_height_mm
    power, root = rng.uniform(2.0, 2.5), rng.uniform(0.45, 0.58)
    if view == "CC":
        nipple = FIELD_MM[0] / 2 + rng.normal(0, 4)
        u = np.abs(y - nipple) / half
        edge = np.clip(1 - u**power, 0, None) ** root
    else:
        nipple = FIELD_MM[0] * rng.uniform(0.54, 0.62)
        lower = np.clip((y - nipple) / (half * rng.uniform(0.8, 0.95)), 0, None)
        upper = np.clip((nipple - y) / nipple, 0, 1)
        armpit = rng.uniform(0.5, 0.68)
        taper = armpit + (1 - armpit) * np.cos(np.pi / 2 * upper**1.15) ** 1.4
        edge = np.where(y > nipple, np.clip(1 - lower**power, 0, None) ** root, taper)
    waves = sum(rng.normal(0, 0.008) * np.sin(k * np.pi * y / FIELD_MM[0] + rng.uniform(0, 6.28)) for k in (2, 3, 5))
    bump = rng.uniform(2.5, 5) * np.exp(-(((y - nipple) / rng.uniform(3, 4.5)) ** 2))
    return (depth * edge * (1 + waves) + bump * (edge > 0)).astype(np.float32), nipple


def _muscle_edge(y: NDArray[np.float64], skin: Image, rng: np.random.Generator) -> Image:
    """Distance of the pectoral muscle's border from the chest wall for each row, in mm."""
    top = min(rng.uniform(42, 68), 0.85 * float(skin[0]))
    length = rng.uniform(105, 160)
    along = np.clip(1 - y / length, 0, 1)
    return (top * along ** rng.uniform(0.8, 1.05) + 1.2 * np.sin(y / rng.uniform(14, 22)) * along).astype(np.float32)


def _lines(
    case: Case, nipple_mm: tuple[float, float], pixel_mm: float, shape: tuple[int, int], rng: np.random.Generator
) -> Image:
    """Ducts and ligaments that run to the nipple, and a few vessels that do not."""
    nipple = np.array(nipple_mm)
    strokes = []
    for _ in range(int(rng.integers(25, 61))):
        angle = rng.normal(0, 0.55)
        direction = np.array([np.sin(angle), -np.cos(angle)])
        start, end = np.sort(rng.uniform(0.08, 1.0, 2)) * case.depth_mm
        points = bend(nipple + start * direction, nipple + end * direction, rng.normal(0, 0.08))
        strength = rng.uniform(0.25, 0.8)
        strokes.append(Stroke(points / pixel_mm, (rng.uniform(0.4, 1.3) / pixel_mm, 1), (strength, 0.4 * strength)))
    for _ in range(int(rng.integers(4, 10))):
        start = nipple + np.array([rng.normal(0, 45), -rng.uniform(0.1, 0.9) * case.depth_mm])
        angle = rng.uniform(0, 2 * np.pi)
        end = start + rng.uniform(20, 60) * np.array([np.sin(angle), np.cos(angle)])
        width, strength = rng.uniform(0.6, 1.6) / pixel_mm, rng.uniform(0.25, 0.6)
        strokes.append(
            Stroke(bend(start, end, rng.normal(0, 0.08)) / pixel_mm, (width, width), (strength, 0.7 * strength))
        )
    return blurred(draw_strokes(strokes, shape), 0.25 / pixel_mm + 0.3)


def _distance_mm(inside: NDArray[np.bool_], pixel_mm: float) -> Image:
    return np.asarray(cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5) * pixel_mm, np.float32)


def _gland(
    case: Case, field: Image, skin_mm: Image, x: Image, y: Image, nipple_mm: tuple[float, float], pixel_mm: float
) -> Image:
    """Amount of glandular tissue in [0, 1]: a cone behind the nipple, away from the skin, as the density grade says."""
    dy, dx = y - nipple_mm[0], nipple_mm[1] - x
    angle = np.arctan2(dy, np.maximum(dx, 0) + 12)
    bias = -1.6 * (angle / 0.9) ** 2
    bias -= 2.2 * np.clip(1 - skin_mm / 16, 0, 1) ** 2
    bias -= 1.5 * np.clip(dx / case.depth_mm - 0.7, 0, 1) / 0.3
    score = blurred(field, 1.6 / pixel_mm) + bias
    inside = score[::4, ::4][skin_mm[::4, ::4] > 0]
    threshold = np.quantile(inside, 1 - _GLAND_FRACTION[case.density])
    return expit((score - np.float32(threshold)) / np.float32(0.5))


def draw_anatomy(case: Case, view: str, pixel_mm: float, rng: np.random.Generator) -> Anatomy:
    """Draw one view (``CC`` or ``MLO``) of a patient's breast."""
    shape = (round(FIELD_MM[0] / pixel_mm), round(FIELD_MM[1] / pixel_mm))
    y_mm, x_mm = (np.arange(n, dtype=np.float64) * pixel_mm + 0.5 * pixel_mm for n in shape)
    skin, nipple_row = _outline(case, view, y_mm, rng)
    y, x = y_mm.astype(np.float32)[:, None], x_mm.astype(np.float32)[None]
    breast = x < skin[:, None]
    # The breast goes on behind the chest wall (and above an MLO's upper border): no skin there.
    padded = cv2.copyMakeBorder(breast.astype(np.uint8), 40 if view == "MLO" else 0, 0, 40, 0, cv2.BORDER_REPLICATE)
    skin_mm = _distance_mm(padded > 0, pixel_mm)[-shape[0] :, 40:]
    nipple_mm = (nipple_row, float(skin[int(nipple_row / pixel_mm)]))

    parenchyma, texture = noise_pair(shape, pixel_mm, "power_law", rng)
    net_a, net_b = noise_pair(shape, pixel_mm, "band", rng)
    net = np.exp(-((net_a / 0.22) ** 2)) + np.exp(-((net_b / 0.22) ** 2))
    gland = _gland(case, parenchyma, skin_mm, x, y, nipple_mm, pixel_mm)
    lines = _lines(case, nipple_mm, pixel_mm, shape, rng)
    structure = 0.29 * gland * (1 + 0.07 * texture + 0.07 * parenchyma) + 0.02 * texture
    structure += (0.018 + 0.022 * gland) * net + 0.16 * lines
    tissue = 0.22 + case.clutter * structure
    muscle = np.zeros(shape, bool)
    if view == "MLO":
        border = _muscle_edge(y_mm, skin, rng)[:, None]
        muscle = x < border
        soft = expit((border - x) / np.float32(0.8))
        tissue += soft * (rng.uniform(0.6, 0.68) + 0.03 * texture - 0.85 * tissue)
    thickness = np.sqrt(1 - (1 - np.clip(skin_mm / case.edge_mm, 0, 1)) ** 2)
    line = 0.10 * np.exp(-(((skin_mm - 1.0) / 0.9) ** 2))
    tissue = (tissue * thickness + line) * breast
    free = breast & ~muscle
    free[[0, -1]] = False
    free[:, [0, -1]] = False
    return Anatomy(
        view=view,
        pixel_mm=pixel_mm,
        tissue=tissue.astype(np.float32),
        breast=breast,
        muscle=muscle,
        nipple=(nipple_mm[0] / pixel_mm, nipple_mm[1] / pixel_mm),
        clearance_mm=_distance_mm(free, pixel_mm),
    )
