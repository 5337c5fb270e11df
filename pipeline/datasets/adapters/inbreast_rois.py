"""The outlines of INbreast: one XML property list of OsiriX an image."""

from __future__ import annotations

import math
import plistlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..schema import Finding
from .outlines import clip_outline

__all__ = ["Rois", "read_rois"]

MAX_BYTES = 2**24
"""Far above the largest file of the dataset, which lists some hundred calcifications."""

DOT_RADIUS_PX = 3.0
"""Radius given to a finding marked with a dot: 0.2 mm at INbreast's pixels of 0.07 mm, a microcalcification."""

TYPES = {
    "mass": "mass",
    "calcification": "calcification",
    "calcifications": "calcification",
    "cluster": "calcification",
    "distortion": "architectural_distortion",
    "asymmetry": "asymmetry",
    "assymetry": "asymmetry",
    "asimmetry": "asymmetry",
    "spiculated region": "spiculated_region",
    "espiculated region": "spiculated_region",
}
"""Kinds of findings by the name in the file, misspelt ones included, in lower case."""

NAMELESS = ("", "unnamed", "point")
"""Beginnings of names that OsiriX gives by itself (``Point 3``); they say nothing of the finding."""


class Rois(NamedTuple):
    """Findings of one image, and in words what could not be used."""

    findings: list[Finding]
    problems: list[str]


def read_rois(path: Path, shape: tuple[int, int] | None) -> Rois:
    """Read the outlines of one image.

    Points are written ``(x, y)``, column first. Three or more are a polygon; one or two mark a dot, which gets a
    circle. Each has a box, clipped to the image.

    Args:
        path: an XML property list. Binary lists, entity declarations and files above 16 MiB are refused.
        shape: rows and columns of the image, None if unknown.

    Raises:
        ValueError: naming the file and what is wrong with it as a whole.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: larger than {MAX_BYTES} bytes; expected a list of outlines")
    try:
        with open(path, "rb") as file:
            images = plistlib.load(file, fmt=plistlib.FMT_XML)["Images"]
        listed = [roi for image in images for roi in image["ROIs"]]
    except Exception as error:  # hostile input: whatever plistlib stumbles over, it is this file's fault
        raise ValueError(f"{path}: not a list of outlines ({type(error).__name__}: {error})") from error
    rois = Rois([], [])
    for number, roi in enumerate(listed, start=1):
        _add(rois, roi, number, shape)
    return rois


def _add(rois: Rois, roi: Any, number: int, shape: tuple[int, int] | None) -> None:
    name, points = _parse(roi)
    finding = Finding(id=str(number), raw={"name": name})
    kind = " ".join(name.lower().split())
    if kind in TYPES:
        finding["type"] = TYPES[kind]
    elif kind and not kind.startswith(NAMELESS[1:]):
        finding["type"] = "other"
        rois.problems.append(f"unknown kind of finding, taken as other: {name!r}")
    if not points:
        rois.problems.append(f"outline without readable points: number {number}, {name!r}")
    elif not _place(finding, points, shape):
        rois.problems.append(f"outline outside the image: number {number}, {name!r}")
    rois.findings.append(finding)


def _parse(roi: Any) -> tuple[str, list[list[float]]]:
    """Name and [row, column] points; no points if one of them cannot be read."""
    if not isinstance(roi, Mapping):
        return "", []
    listed = roi.get("Point_px")
    points = [_point(text) for text in listed] if isinstance(listed, list) else []
    known = [point for point in points if point is not None]
    return str(roi.get("Name", "")).strip(), known if len(known) == len(points) else []


def _point(text: Any) -> list[float] | None:
    """``"(x, y)"`` as [row, column]."""
    try:
        x, y = (float(part) for part in str(text).strip(" ()").split(",")[:2])
    except ValueError:
        return None
    return [y, x] if math.isfinite(x) and math.isfinite(y) else None


def _place(finding: Finding, points: list[list[float]], shape: tuple[int, int] | None) -> bool:
    """Give the finding its polygon or circle, and its box; False if it lies outside the image."""
    outline = clip_outline(points, shape)
    if outline is None:
        return False
    if len(points) >= 3:
        finding["polygon"], finding["box"] = outline
        return True
    inside = np.asarray(outline.polygon)
    centre = inside.mean(axis=0)
    radius = DOT_RADIUS_PX + float(np.linalg.norm(inside - centre, axis=1).max())
    around = clip_outline([centre - radius, centre + radius], shape)
    finding["circle"] = [*centre.tolist(), radius]
    if around is not None:  # never None: the centre is inside
        finding["box"] = around.box
    return True
