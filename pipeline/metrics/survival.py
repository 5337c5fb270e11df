"""Measures of risk models: concordance index, and area under the ROC curve of each year, with patient bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from .discrimination import missing_class
from .intervals import Statistic, bootstrap_all, restricted
from .predictions import patient_keys
from .weighted import ratio, weighted_auc

BLOCK_ELEMENTS = 20_000_000
"""Pairs that are compared at once: 40 MB of float16, whatever the number of images."""


def evaluate_risk(table: pd.DataFrame, years: int = 5, *, draws: int = 2000, seed: int = 0) -> dict[str, Any]:
    """What ``metrics.json`` says about a risk model, from its predictions alone.

    Args:
        table: a row an image: ``image_id, patient_id``, ``risk_1`` to ``risk_K`` in [0, 1], ``years_to_cancer`` (NaN
            without a cancer) and ``years_to_last_followup`` (NaN where not known).
        years: K.
        draws: patient-bootstrap draws.
        seed: of the draws.

    Returns:
        JSON-safe: ``counts``, ``concordance`` (Harrell's index of the risk of year K) and ``auc`` of each year, of the
        images whose outcome by then is known. What is undefined is ``None`` beside a ``reason``.

    Raises:
        ValueError: a column is missing, or a risk outside [0, 1], or the table is empty.
    """
    columns = [f"risk_{year}" for year in range(1, years + 1)]
    _check(table, columns)
    times, events = follow_up_of(table)
    statistics = {"concordance": weighted_concordance(times, events, table[columns[-1]])}
    reasons = {"concordance": "no two images of which one is known to be first with a cancer"}
    counts: dict[str, Any] = {}
    for year, column in enumerate(columns, start=1):
        outcome = outcomes_by(times, events, year)
        known = outcome >= 0
        counts[str(year)] = {"cancer": int((outcome == 1).sum()), "no_cancer": int((outcome == 0).sum())}
        statistics[str(year)] = restricted(weighted_auc(outcome[known], table[column].to_numpy()[known]), known)
        reasons[str(year)] = missing_class(outcome[known]) or ""
        if reasons[str(year)]:
            statistics[str(year)] = _undefined
    patients = patient_keys(table)
    found = bootstrap_all(statistics, patients, draws=draws, seed=seed, reasons=reasons)
    return {
        "bootstrap": {"unit": "patient", "level": 0.95, "draws": draws, "seed": seed},
        "counts": {"images": len(table), "patients": int(np.unique(patients).size), "cancers": int(events.sum())},
        "concordance": found["concordance"].as_dict(),
        "auc": {year: counts[year] | found[year].as_dict() for year in counts},
    }


def weighted_concordance(times: ArrayLike, events: ArrayLike, risks: ArrayLike) -> Statistic:
    """Harrell's concordance index: of the pairs whose order is known, the share in which the earlier cancer had the
    higher risk; equal risks count half.

    A pair is known where one had a cancer and the other was free of it for longer, or was last seen, without one, at
    the same time. Chance is 0.5; NaN where a draw holds no such pair.

    Args:
        times: ``(n,)`` years until the cancer, or until the end of follow-up.
        events: ``(n,)`` bool, whether the time ends with a cancer.
        risks: ``(n,)``, higher is sooner.
    """
    time, event, risk = np.asarray(times, float), np.asarray(events, bool), np.asarray(risks, float)
    first = np.flatnonzero(event)
    block = max(1, BLOCK_ELEMENTS // max(1, time.size))

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        right, known = np.zeros(len(weights)), np.zeros(len(weights))
        for start in range(0, first.size, block):
            own = first[start : start + block]
            later = (time[:, None] > time[own]) | ((time[:, None] == time[own]) & ~event[:, None])  # (n, events)
            wins = later * ((risk[:, None] < risk[own]) + 0.5 * (risk[:, None] == risk[own]))
            right += ((weights @ wins) * weights[:, own]).sum(axis=1)
            known += ((weights @ later.astype(np.float64)) * weights[:, own]).sum(axis=1)
        return ratio(right, known)

    return statistic


def outcomes_by(times: ArrayLike, events: ArrayLike, year: float) -> NDArray[np.intp]:
    """Of each image ``(n,)``: 1 for a cancer less than ``year`` years after it, 0 for none by then, -1 if unknown."""
    time, event = np.asarray(times, float), np.asarray(events, bool)
    return np.where(event & (time < year), 1, np.where(time >= year, 0, -1)).astype(np.intp)


def follow_up_of(table: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Time and event of each row, ``(n,)``: years until the cancer, else until the last follow-up, 0 where unknown."""
    cancer = table["years_to_cancer"].to_numpy(float)
    event = np.isfinite(cancer)
    followed = np.nan_to_num(table["years_to_last_followup"].to_numpy(float))
    return np.where(event, np.nan_to_num(cancer), followed), event


def mean_yearly_auc(log_odds: Tensor, labels: Tensor) -> float:
    """Mean over years of the area under the ROC curve, of the years in which both outcomes occur: ``compute_fn``.

    Args:
        log_odds: ``(N, K)``.
        labels: ``(N, K)``, 0 or 1, -1 where unknown.

    Raises:
        ValueError: no year has both outcomes.
    """
    scores, truth = log_odds.cpu().numpy(), labels.cpu().numpy()
    areas = [
        roc_auc_score(outcome[outcome >= 0], score[outcome >= 0])
        for score, outcome in zip(scores.T, truth.T, strict=True)
        if {0, 1} <= set(outcome.tolist())
    ]
    if not areas:
        raise ValueError("no year has images with and images without a cancer by then, so no epoch can be chosen")
    return float(np.mean(areas))


def paired_log_odds(output: Sequence[dict[str, Any]]) -> tuple[Tensor, Tensor]:
    """Log-odds and labels ``(N, K)`` of a decollated batch of a risk model: an ``output_transform``."""
    pairs = torch.stack([item["pred"] for item in output]).unflatten(1, (-1, 2))  # (N, K, 2)
    return pairs[..., 1] - pairs[..., 0], torch.stack([item["label"] for item in output])


def _undefined(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.full(len(weights), np.nan)


def _check(table: pd.DataFrame, columns: Sequence[str]) -> None:
    wanted = ["image_id", "patient_id", "years_to_cancer", "years_to_last_followup", *columns]
    absent = [name for name in wanted if name not in table]
    if absent or table.empty:
        raise ValueError(f"risk predictions: column {', '.join(absent)} is missing" if absent else "no predictions")
    wrong = ~table[list(columns)].apply(lambda column: column.between(0, 1)).all(axis=1)
    if wrong.any():
        raise ValueError(f"image {table['image_id'][wrong].iloc[0]!r} has a risk outside [0, 1] or none")
