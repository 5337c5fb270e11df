"""What the measures of explanations and of behaviour are called, and what would be good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from monai.utils import StrEnum

from .wording import UNKNOWN, name_of, verdict


class Good(StrEnum):
    """Where a good model's measure lies."""

    HIGH = "high"
    LOW = "low"
    CHANCE = "chance"


class Words(NamedTuple):
    """How a measure is told.

    Attributes:
        name: what it is.
        wanted: what would be good, in words.
        good: where that lies; None where the measure only describes.
    """

    name: str
    wanted: str
    good: Good | None


BEHAVIOUR_WORDS = {
    "auc": Words("AUC, images as they are", "high", Good.HIGH),
    "auc_background_erased": Words("AUC, background erased", "high", Good.HIGH),
    "auc_breast_erased": Words("AUC, breast erased", "0.5", Good.CHANCE),
    "flip_marker_swapped": Words("Decisions changed by another patient's marker", "0", Good.LOW),
    "flip_background_swapped": Words("Decisions changed by another patient's background", "0", Good.LOW),
    "change_breast_erased": Words("Change of probability by erasing the breast", "large", None),
    "change_background_erased": Words("Change of probability by erasing the background", "0", None),
    "change_marker_swapped": Words("Change of probability by swapping the marker", "0", None),
    "change_background_swapped": Words("Change of probability by swapping the background", "0", None),
}

MAP_WORDS = {
    "background_ratio": Words(name_of("background_ratio"), "low", Good.LOW),
    "energy_in_roi": Words(name_of("energy_in_roi"), "high", Good.HIGH),
    "pointing_hit": Words(name_of("pointing_hit"), "high", Good.HIGH),
    "pointing_hit_token": Words("Hottest pixel lies within one token of the lesion", "high", Good.HIGH),
    "detected_pointing_hit_token": Words("Hottest pixel lies within one token, of detected cancers", "high", Good.HIGH),
    "iou": Words(name_of("iou"), "high", Good.HIGH),
    "hit_iou_25": Words(name_of("hit_iou_25"), "high", Good.HIGH),
    "hit_iou_50": Words(name_of("hit_iou_50"), "high", Good.HIGH),
    "heat_auc": Words("Malignant images get more heat than all others (AUC)", "high", Good.HIGH),
    "insertion": Words("Probability while the hottest pixels appear first (insertion)", "high", Good.HIGH),
    "deletion": Words("Probability while the hottest pixels go first (deletion)", "low", Good.LOW),
    "randomised_correlation": Words("Rank correlation with the map of random weights", "0", Good.CHANCE),
    "randomised_pointing_hit": Words("Hottest pixel lies in the lesion, random weights", "chance", Good.CHANCE),
    "degenerate": Words("Maps that are blank", "0", None),
}
"""The measures that a report tells, in this order; others stay in the tables of the run folder."""

OWN_LEVEL = frozenset({"insertion", "deletion"})
"""Measures that follow the level of a model's own probabilities: fair beside chance, but not beside another model."""

MAP_NAMES = {"gradcam++": "Grad-CAM++", "occlusion": "Occlusion sensitivity"}


def map_name(kind: str) -> str:
    """What readers call a kind of map."""
    return MAP_NAMES.get(kind) or name_of(kind)


def hardest(measure: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The difference to the chance that is hardest to beat: that of the breast, else of the image, else none."""
    gaps = list(measure["above_chance"].values())
    return gaps[-1] if gaps else None


def reading(name: str, measure: Mapping[str, Any]) -> str:
    """On which side of chance a measure lies, in words."""
    gap, good = hardest(measure), good_of(name)
    if gap is None or good is None:
        return UNKNOWN
    if good is Good.CHANCE:
        return verdict(gap, "above", "below", "not told from chance")
    return verdict(gap, *_sides(good), "no difference")


def reading_of_twin(name: str, difference: Mapping[str, Any]) -> str:
    """Whether the model is better or worse than its twin, in words; nothing where neither is good in itself."""
    good = good_of(name)
    if good is None or good is Good.CHANCE or name in OWN_LEVEL:
        return UNKNOWN
    return verdict(difference, *_sides(good), "no difference")


def good_of(name: str) -> Good | None:
    """Where a good model's measure lies."""
    words = (BEHAVIOUR_WORDS | MAP_WORDS).get(name)
    return None if words is None else words.good


def _sides(good: Good) -> tuple[str, str]:
    return ("better", "worse") if good is Good.HIGH else ("worse", "better")
