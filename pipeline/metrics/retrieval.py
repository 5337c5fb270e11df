"""How often an image finds its report, and a report its image, with patient-bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import hypergeom

from .intervals import Statistic, bootstrap_all
from .weighted import weighted_mean

__all__ = ["retrieval"]

Floats = NDArray[np.float64]


def retrieval(
    images: ArrayLike,
    texts: ArrayLike,
    report: ArrayLike,
    patients: ArrayLike,
    *,
    at: Sequence[int] = (1, 5, 10),
    draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Recall at k and median rank, of different reports: equal ones are one, so that any of them counts as found.

    ``image_to_text``: is the report of an image among the k most similar of the M different reports?
    ``text_to_image``: is an image of a report among the k most similar of the N images? Ties count against the model.

    Args:
        images: ``(N, D)`` unit vectors.
        texts: ``(M, D)`` unit vectors of the different reports.
        report: ``(N,)`` int, the report of each image.
        patients: ``(N,)``, whose images they are; a report is its first image's patient's in the bootstrap.
        at: values of k.
        draws: patient-bootstrap draws. The reports and images that are searched stay the same in all.
        seed: of the draws.

    Returns:
        JSON-safe: ``images``, ``texts`` and, both ways, ``recall_at_K`` and ``mean_reciprocal_rank`` as intervals,
        and ``chance`` of each recall for a random order.

    Raises:
        ValueError: shapes that do not fit, or a report that no image has.
    """
    pictures, words, of = np.asarray(images, float), np.asarray(texts, float), np.asarray(report)
    owner = np.asarray(patients)
    if of.shape != pictures.shape[:1] or owner.shape != of.shape or pictures.shape[1:] != words.shape[1:]:
        raise ValueError(
            f"expected images (N, D), texts (M, D), and N reports and patients; got {pictures.shape}, {words.shape}, "
            f"{of.shape} and {owner.shape}"
        )
    if not np.array_equal(np.unique(of), np.arange(len(words))):
        raise ValueError(f"every one of {len(words)} reports needs an image, numbered from 0")
    scores = pictures @ words.T  # (N, M)
    own = of[:, None] == np.arange(len(words))
    first = np.array([np.flatnonzero(own[:, k])[0] for k in range(len(words))])
    ways = {
        "image_to_text": (_ranks(scores, own), owner, np.ones(len(pictures)), len(words)),
        "text_to_image": (_ranks(scores.T, own.T), owner[first], own.sum(axis=0).astype(float), len(pictures)),
    }
    found: dict[str, Any] = {"images": len(pictures), "texts": len(words)}
    for name, (ranks, whose, hits, searched) in ways.items():
        statistics: dict[str, Statistic] = {f"recall_at_{k}": weighted_mean((ranks <= k).astype(float)) for k in at}
        statistics["mean_reciprocal_rank"] = weighted_mean(1 / ranks)
        told = bootstrap_all(statistics, whose, draws=draws, seed=seed)
        found[name] = {key: interval.as_dict() for key, interval in told.items()}
        found[name]["chance"] = {f"recall_at_{k}": _chance(hits, searched, k) for k in at}
    return found


def _ranks(scores: Floats, own: NDArray[np.bool_]) -> Floats:
    """Rank, from 1, of the best right column of each row ``(N, M)``; a tie with a wrong one is behind it."""
    best = np.where(own, scores, -np.inf).max(axis=1, keepdims=True)
    return 1.0 + ((scores >= best) & ~own).sum(axis=1)


def _chance(hits: Floats, searched: int, k: int) -> float:
    """Mean probability that a random order of ``searched`` has one of ``hits`` right ones among its first k."""
    return float(np.mean(hypergeom.sf(0, searched, hits, min(k, searched))))
