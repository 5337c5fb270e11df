"""Clusters of microcalcifications: benign ones round and alike, malignant ones small and along a branching line."""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from .case import Case
from .finding import Words
from .strokes import Image, bend

Points = NDArray[np.float64]

_FINE_MM = 0.1  # calcifications are drawn on this grid and averaged down to the detector's pixels


def _scattered(count: int, narrowest: float, rng: np.random.Generator) -> tuple[Points, NDArray[np.float64]]:
    """Points in an ellipse, its axes at least ``narrowest`` to 1, and a random direction for each."""
    angle, radius = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.random(count))
    points = np.stack([radius * np.sin(angle), rng.uniform(narrowest, 1) * radius * np.cos(angle)], axis=1)
    return points, rng.uniform(0, np.pi, count)


def _branching(count: int, rng: np.random.Generator) -> tuple[Points, NDArray[np.float64]]:
    """Points along a bent line with one to three branches, and the direction of the line at each."""
    stem = bend(np.array([0.0, -1.0]), np.array([0.0, 1.0]), rng.normal(0, 0.12), segments=60)
    lines = [stem]
    for _ in range(int(rng.integers(1, 4))):
        origin = stem[rng.integers(10, 45)]
        angle = rng.uniform(0.4, 0.9) * rng.choice([-1, 1])
        tip = origin + rng.uniform(0.4, 0.9) * np.array([np.sin(angle), np.cos(angle)])
        lines.append(bend(origin, tip, rng.normal(0, 0.1), segments=25))
    track = np.concatenate(lines)
    direction = np.concatenate([np.arctan2(*np.gradient(line, axis=0).T) for line in lines])
    picked = rng.choice(len(track), count, replace=False)
    return track[picked] + rng.normal(0, 0.03, (count, 2)), direction[picked]


def _rotated(points: Points, angles: NDArray[np.float64], turn: float) -> tuple[Points, NDArray[np.float64]]:
    c, s = np.cos(turn), np.sin(turn)
    return points @ np.array([[c, -s], [s, c]]), angles + turn


def _specks(case: Case, words: Words, rng: np.random.Generator) -> tuple[Points, NDArray[np.float64], Points]:
    """Places, directions (rad) and ``(N, 2)`` length and width (mm) of the calcifications."""
    if case.ambiguous:
        count = int(rng.integers(9, 17))
        points, angles = _scattered(count, 0.2, rng)
        length = rng.uniform(0.3, 0.8, count)
        return *_rotated(points, angles, rng.uniform(0, 6.28)), np.stack([length, length * 0.7], axis=1)
    if case.malignant:
        count = int(rng.integers(12, 31))
        points, angles = _branching(count, rng)
        width = rng.uniform(0.2, 0.6, count)
        stretch = rng.uniform(2, 4, count) if "LINEAR" in words.first else rng.uniform(1, 2, count)
        return *_rotated(points, angles, rng.uniform(0, 6.28)), np.stack([width * stretch, width], axis=1)
    count = int(rng.integers(6, 15))
    points, angles = _scattered(count, 0.5, rng)
    size = rng.uniform(0.5, 1.0) * rng.uniform(0.93, 1.07, count)
    return *_rotated(points, angles, rng.uniform(0, 6.28)), np.stack([size, size], axis=1)


def draw_cluster(
    case: Case,
    words: Words,
    radius_mm: float,
    clearance_mm: float,
    pixel_mm: float,
    rng: np.random.Generator,
    *,
    coarseness: float = 1.0,
) -> tuple[Image, NDArray[np.bool_]]:
    """Draw a cluster whose two farthest calcifications are ``2 * radius_mm`` apart, each ``coarseness`` times as large.

    Arguments and results are those of :func:`.mass.draw_mass`; a calcification that fills its pixels has brightness 1.
    """
    half = int(clearance_mm / pixel_mm)
    fine = max(1, round(pixel_mm / _FINE_MM))
    side = 2 * half + 1
    points, angles, sizes = _specks(case, words, rng)
    points -= (points.max(axis=0) + points.min(axis=0)) / 2
    points *= 2 * radius_mm / pdist(points).max()
    places = (points / pixel_mm + half + 0.5) * fine
    canvas = np.zeros((side * fine, side * fine), np.uint8)
    for (row, column), angle, (length, width) in zip(places, angles, coarseness * sizes, strict=True):
        axes = (length / pixel_mm * fine, width / pixel_mm * fine)
        cv2.ellipse(canvas, ((column, row), axes, float(np.degrees(angle))), 255, -1, cv2.LINE_AA)
    specks = cv2.resize(canvas.astype(np.float32) / 255, (side, side), interpolation=cv2.INTER_AREA)
    hull = cv2.convexHull(np.rint(places[:, ::-1] / fine).astype(np.int32))
    region = cv2.fillConvexPoly(np.zeros((side, side), np.uint8), hull, 1)
    reach = round(2.0 / pixel_mm)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(specks, np.float32), cv2.dilate(region, disc) > 0
