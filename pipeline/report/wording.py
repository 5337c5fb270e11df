"""Numbers in words that a reader need not decode."""

from collections.abc import Mapping
from typing import Any

UNKNOWN = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
NAMES = {
    "background_ratio": "Share of the map outside the breast",
    "pointing_hit": "Hottest pixel lies in the lesion",
    "energy_in_roi": "Share of the map inside the lesion",
    "iou": "Overlap (IoU), hottest 5 %",
    "hit_iou_25": "Overlap (IoU) at least 0.25",
    "hit_iou_50": "Overlap (IoU) at least 0.50",
    "rollout": "Attention roll-out",
    "attention": "Attention",
    "attention_gradient": "Gradient-weighted attention",
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "occlusion": "Occlusion sensitivity",
    "auc": "AUC",
    "reconstruction_l1": "reconstruction error (L1)",
    "reconstruction": "reconstruction error",
    "feature_rank": "effective rank of the features",
    "feature_std": "spread of the features",
}
LOWER_IS_BETTER = frozenset({"background_ratio"})


def name_of(key: str) -> str:
    """What readers call a column of ours; a column we do not know keeps its name."""
    return NAMES.get(key, key.replace("_", " "))


def number(value: float | None, digits: int = 3) -> str:
    """A number with fixed digits, a dash for none."""
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def interval(result: Mapping[str, Any], digits: int = 3, signed: bool = False) -> str:
    """``value (low to high)``, or the value, or a dash with the reason."""
    if result.get("value") is None:
        return f"{UNKNOWN} ({result.get('reason', 'not known')})"
    form = f"{'+' if signed else ''}.{digits}f"
    if result.get("low") is None:
        return f"{result['value']:{form}} ({result.get('reason', 'no interval')})"
    return f"{result['value']:{form}} ({result['low']:{form}} to {result['high']:{form}})"


def verdict(result: Mapping[str, Any], above: str, below: str, neither: str) -> str:
    """Which side of zero an interval lies on, in the words given."""
    if result.get("low") is None:
        return UNKNOWN
    if result["low"] > 0:
        return above
    return below if result["high"] < 0 else neither


def plural(count: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
