"""Where the energy of the maps lies, as stacked bars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from .explanation_words import map_name

PARTS = {
    "energy_in_roi": ("lesion", "#009E73"),
    "energy_rest": ("rest of the breast", "#56B4E9"),
    "energy_outside": ("outside the breast", "#D55E00"),
}
"""The parts of an image, what they are called, and colours that colour-blind readers tell apart."""


def energy_figure(maps: Mapping[str, Mapping[str, Any]]) -> Figure | None:
    """Mean shares of each kind of map in lesion, rest of the breast and outside; None where none are known.

    The last bar is that of a map that says nothing: the shares of the image's area. A twin's bar stands below its
    model's.
    """
    bars = _bars(maps)
    if not bars:
        return None
    figure = Figure(figsize=(8.8, 1.0 + 0.38 * len(bars)), layout="constrained")
    axes = figure.subplots()
    for place, (_, shares) in enumerate(bars):
        left = 0.0
        for (label, colour), share in zip(PARTS.values(), shares, strict=True):
            axes.barh(place, share, left=left, color=colour, edgecolor="white", label=label if place == 0 else None)
            if share > 0.04:
                axes.text(left + share / 2, place, f"{share:.2f}", ha="center", va="center", fontsize=8)
            left += share
    axes.set_yticks(range(len(bars)), [name for name, _ in bars], fontsize=9)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the map's energy", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    return figure


def _bars(maps: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[float]]]:
    """Name and three shares of each bar."""
    bars = []
    chance: list[float] = []
    for kind, summary in maps.items():
        measures = [summary["measures"].get(part) for part in PARTS]
        known = [measure for measure in measures if measure is not None and measure["mean"]["value"] is not None]
        if len(known) < len(PARTS):
            continue
        bars.append((map_name(kind), [measure["mean"]["value"] for measure in known]))
        twins = [measure["twin"]["value"] for measure in known if measure.get("twin")]
        if len(twins) == len(PARTS) and None not in twins:
            bars.append((f"{map_name(kind)}, twin", twins))
        first = [next(iter(measure["chance"].values()), None) for measure in known]
        # Maps of all images come before those of a sample: their areas are those of most images.
        chance = chance or [share for share in first if share is not None]
    return [*bars, ("a map that says nothing", chance)] if len(chance) == len(PARTS) else bars
