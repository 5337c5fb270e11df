"""Hand-drawn regions of CDD-CESM (``Radiology_hand_drawn_segmentations_v2.csv``, as the VIA annotator writes it)."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..import_report import ImportReport
from ..schema import Finding
from .tabular_files import numbered_rows, read_table

__all__ = ["read_regions"]

PATTERN = "Radiology_hand_drawn_segmentations*.csv"
COLUMNS = ("#filename", "region_shape_attributes")
ELLIPSE_POINTS = 64


def read_regions(root: Path, report: ImportReport) -> dict[str, list[Finding]]:
    """Regions by image name, in original pixels: outlines with their boxes, circles; points are reported only.

    Coordinates are those of the published JPEG files. Without the file there are no regions.

    Args:
        root: the dataset's folder; the file lies in it or in a folder of it.
        report: gets the rows without a usable region.
    """
    tables = sorted(root.glob(PATTERN)) or sorted(root.glob(f"*/{PATTERN}"))
    regions: dict[str, list[Finding]] = defaultdict(list)
    if not tables:
        return regions
    for number, row in numbered_rows(read_table(tables[-1], COLUMNS)):
        name = row["#filename"].rpartition(".")[0].strip()
        region = _region(row["region_shape_attributes"], f"region {len(regions[name]) + 1}")
        if isinstance(region, str):
            report.add("roi", region, table=tables[-1].name, row=number, item=name)
        else:
            regions[name].append(region)
    return regions


def _region(text: str, identity: str) -> Finding | str:
    """The finding that a cell describes, or why there is none."""
    try:
        outline, circle = _outline(json.loads(text or "{}"))
    except (ValueError, KeyError, TypeError) as error:
        return f"unreadable region: {error!r}"
    if len(outline) < 3:
        return "no region, or a point or line without an area"
    rows, columns = zip(*outline, strict=True)
    box = [max(min(rows), 0.0), max(min(columns), 0.0), max(rows), max(columns)]
    if not (box[0] < box[2] and box[1] < box[3]):
        return "the region has no area inside the image"
    finding = Finding(id=identity, box=box, polygon=outline)
    if circle:
        finding["circle"] = circle
    return finding


def _outline(shape: Mapping[str, Any]) -> tuple[list[list[float]], list[float] | None]:
    """Points ``[row, column]`` around a VIA shape, and its circle where it is one; no points for other shapes."""
    kind = shape.get("name")
    if kind in ("polygon", "polyline"):
        pairs = zip(shape["all_points_y"], shape["all_points_x"], strict=True)
        return [[float(y), float(x)] for y, x in pairs], None
    if kind not in ("circle", "ellipse"):
        return [], None
    row, column = float(shape["cy"]), float(shape["cx"])
    if kind == "circle":
        radius = float(shape["r"])
        return _ellipse(row, column, radius, radius, 0.0), [row, column, radius]
    return _ellipse(row, column, float(shape["rx"]), float(shape["ry"]), float(shape.get("theta", 0))), None


def _ellipse(row: float, column: float, along: float, across: float, theta: float) -> list[list[float]]:
    """Points of an ellipse whose half axis ``along`` points along the columns, turned by ``theta`` radians from
    columns towards rows.
    """
    turns = [2 * math.pi * step / ELLIPSE_POINTS for step in range(ELLIPSE_POINTS)]
    points = [(along * math.cos(turn), across * math.sin(turn)) for turn in turns]
    cos, sin = math.cos(theta), math.sin(theta)
    return [[row + x * sin + y * cos, column + x * cos - y * sin] for x, y in points]
