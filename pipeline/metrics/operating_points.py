"""Thresholds and temperature: chosen on validation predictions once, then applied to anything as they are."""

from __future__ import annotations

from typing import Any

import pandas as pd

from .calibration import fit_temperature
from .classifier_measures import OPERATING_LEVELS
from .discrimination import ThresholdRule, choose_threshold, missing_class
from .predictions import LEVELS, aggregate, labelled

RULES: dict[str, tuple[ThresholdRule, float | None]] = {
    "youden": (ThresholdRule.YOUDEN, None),
    "f1": (ThresholdRule.F1, None),
    **{f"specificity_{level:.2f}": (ThresholdRule.SPECIFICITY, level) for level in OPERATING_LEVELS},
    **{f"sensitivity_{level:.2f}": (ThresholdRule.SENSITIVITY, level) for level in OPERATING_LEVELS},
}
"""How thresholds are chosen, by the name that ``metrics.json`` and ``operating_points.json`` give them."""


def choose_operating_points(validation: pd.DataFrame | None) -> dict[str, Any]:
    """Choose thresholds for every level and rule, and the temperature per image, on validation predictions.

    Args:
        validation: checked rows as in ``predictions.csv``; rows of unknown label do not count.

    Returns:
        JSON-safe: ``chosen_on``, ``counts``, ``temperature`` and ``thresholds`` (by level, then rule, see
        :data:`RULES`). What cannot be chosen is ``None``; ``reasons`` then says why, by level, and
        ``reason`` why there is no temperature.
    """
    known = None if validation is None else labelled(validation)
    reason = "no validation predictions were given" if known is None else None
    if known is not None and (absent := missing_class(known["label"])):
        reason = f"validation predictions: {absent}"
    found: dict[str, Any] = {"chosen_on": "validation", "counts": _counts(known), "temperature": None}
    if known is None or reason:
        return found | {"reason": reason, "thresholds": {}, "reasons": dict.fromkeys(LEVELS, reason)}
    found["temperature"] = fit_temperature(known["label"], known["probability"])
    found |= {"thresholds": {}, "reasons": {}}
    for name, (level, how) in LEVELS.items():
        try:
            rows = aggregate(known, level, how)
        except ValueError as error:
            found["reasons"][name] = f"validation predictions: {error}"
            continue
        absent = missing_class(rows["label"])
        if absent:
            found["reasons"][name] = f"validation predictions, {name}: {absent}"
            continue
        chosen = {key: choose_threshold(rows["label"], rows["probability"], *rule) for key, rule in RULES.items()}
        found["thresholds"][name] = chosen
    return found


def _counts(known: pd.DataFrame | None) -> dict[str, int]:
    if known is None:
        return {"images": 0, "positive": 0}
    return {"images": len(known), "positive": int(known["label"].sum())}
