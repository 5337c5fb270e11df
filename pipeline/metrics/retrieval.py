"""How often an image finds its report, and a report its image, with patient-bootstrap intervals."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import hypergeom

from .intervals import Statistic, bootstrap_all
from .weighted import ratio, weighted_mean

__all__ = ["first_hit_ranks", "retrieval"]

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
        JSON-safe: ``images``, ``texts`` and, both ways, as intervals ``recall_at_K``, ``times_chance_at_K`` (the
        recall over its chance for the same queries), ``median_rank`` and ``mean_reciprocal_rank``; and ``chance``, the
        recalls and the median rank of a random order. ``image_to_text`` has ``blind`` too, the recalls of who gives
        the k commonest reports to every image: where reports repeat, that is the rival, and not chance.

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
        "image_to_text": (first_hit_ranks(scores, own), owner, np.ones(len(pictures)), len(words)),
        "text_to_image": (first_hit_ranks(scores.T, own.T), owner[first], own.sum(axis=0).astype(float), len(pictures)),
    }
    found: dict[str, Any] = {"images": len(pictures), "texts": len(words)}
    for name, (ranks, whose, hits, searched) in ways.items():
        told = bootstrap_all(_statistics(ranks, hits, searched, at), whose, draws=draws, seed=seed)
        found[name] = {key: interval.as_dict() for key, interval in told.items()}
        found[name]["chance"] = {f"recall_at_{k}": float(_chances(hits, searched, k).mean()) for k in at}
        found[name]["chance"]["median_rank"] = _median_by_chance(hits, searched)
    commonest = np.sort(own.sum(axis=0))[::-1].cumsum() / len(pictures)
    found["image_to_text"]["blind"] = {f"recall_at_{k}": float(commonest[min(k, len(words)) - 1]) for k in at}
    return found


def first_hit_ranks(scores: NDArray[np.floating[Any]], own: NDArray[np.bool_]) -> Floats:
    """Rank, from 1, of the best right column of each row ``(N, M)``; a tie with a wrong one is behind it."""
    best = np.where(own, scores, -np.inf).max(axis=1, keepdims=True)
    return 1.0 + ((scores >= best) & ~own).sum(axis=1)


def _statistics(ranks: Floats, hits: Floats, searched: int, at: Sequence[int]) -> dict[str, Statistic]:
    statistics: dict[str, Statistic] = {}
    for k in at:
        found = weighted_mean((ranks <= k).astype(float))
        statistics[f"recall_at_{k}"] = found
        statistics[f"times_chance_at_{k}"] = _quotient(found, weighted_mean(_chances(hits, searched, k)))
    statistics["median_rank"] = _median(ranks)
    statistics["mean_reciprocal_rank"] = weighted_mean(1 / ranks)
    return statistics


def _quotient(above: Statistic, below: Statistic) -> Statistic:
    return lambda weights: ratio(above(weights), below(weights))


def _median(values: Floats) -> Statistic:
    """Median of ``(n,)`` values, the mean of the two in the middle where there are two."""
    order = np.argsort(values)
    ranked = values[order]

    def statistic(weights: Floats) -> Floats:
        total = weights[:, order].cumsum(axis=1)
        half = total[:, -1:] / 2
        low, high = ranked[(total >= half).argmax(axis=1)], ranked[(total > half).argmax(axis=1)]
        middle: Floats = (low + high) / 2
        return middle

    return statistic


def _chances(hits: Floats, searched: int, k: int) -> Floats:
    """Probability of each query that a random order of ``searched`` has one of its hits among the first k."""
    chances: Floats = hypergeom.sf(0, searched, hits, min(k, searched))
    return chances


def _median_by_chance(hits: Floats, searched: int) -> int:
    """The least k whose recall by chance is half or more: the median rank of random orders."""
    return 1 + bisect_left(range(1, searched), 0.5, key=lambda k: float(_chances(hits, searched, k).mean()))
