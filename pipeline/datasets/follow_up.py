"""What the years after an image say about risk: cancer within one to five of them, or not, or not known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["RISK_TASKS", "cancer_within"]

RISK_TASKS = tuple(f"cancer_within_{years}" for years in range(1, 6))
"""Names of the tasks of a risk model, in the order of its outputs: cancer within one to five years (Yala et al. 2021,
doi 10.1126/scitranslmed.aba4373)."""


def cancer_within(record: Mapping[str, Any], years: float) -> int | None:
    """1 where a cancer was diagnosed less than ``years`` after the image, 0 where it is known that none was, else None.

    A cancer found at the image's own exam has ``years_to_cancer`` 0 and counts from the first year on. Without a
    cancer the answer is known as far as the follow-up reaches: censoring.
    """
    cancer, followed = record.get("years_to_cancer"), record.get("years_to_last_followup", 0)
    if cancer is not None:
        return int(cancer < years)
    return 0 if followed >= years else None
