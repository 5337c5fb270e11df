"""The job table in numbers; no study is named."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .states import STATES
from .table import Table

__all__ = ["figures"]

_HISTORY = 1000
"""Jobs whose turnaround is told."""


def figures(table: Table) -> dict[str, Any]:
    """What a service did.

    Returns:
        ``jobs`` by state; ``outcomes``, results by what they say; ``reasons``, results in which a code of an image
        occurs, with failures and refused images by theirs; ``turnaround_s``, median and 95 % quantile of the seconds
        from the first image to the result in the PACS, of the latest jobs.
    """
    states = dict(table.rows("SELECT state, count(*) FROM job GROUP BY state"))
    turnarounds = sorted(
        seconds
        for (seconds,) in table.rows(
            "SELECT sent - first FROM job WHERE sent IS NOT NULL ORDER BY sent DESC LIMIT ?", _HISTORY
        )
    )
    return {
        "jobs": {state: states.get(state, 0) for state in STATES},
        "outcomes": dict(table.rows("SELECT outcome, count(*) FROM job WHERE outcome != '' GROUP BY outcome")),
        "reasons": _reasons(table),
        "turnaround_s": {
            "jobs": len(turnarounds),
            "p50": _quantile(turnarounds, 0.5),
            "p95": _quantile(turnarounds, 0.95),
        },
    }


def _reasons(table: Table) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for codes, reason in table.rows("SELECT codes, reason FROM job WHERE codes != '' OR reason != ''"):
        counts.update(set(codes.split()) | ({reason} if reason else set()))
    counts.update(dict(table.rows("SELECT refused, count(*) FROM image WHERE refused != '' GROUP BY refused")))
    return dict(sorted(counts.items()))


def _quantile(values: list[float], share: float) -> float | None:
    """The nearest-rank quantile of sorted values, None of none."""
    return round(values[min(len(values) - 1, int(share * len(values)))], 3) if values else None
