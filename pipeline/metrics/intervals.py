"""Uncertainty by the patient bootstrap: whole patients are drawn, never single images.

Images of one patient are alike, so resampling images would claim more certainty than there is. A statistic
is a function of *row weights*: a draw that holds a patient twice gives each of that patient's rows the
weight 2. This lets all draws be computed at once; :mod:`mammo.pipeline.metrics.weighted` has the usual
statistics in that form.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Maps weights ``(D, n)`` to values ``(D, ...)``, NaN where a draw leaves the statistic undefined."""

CHUNK_ELEMENTS = 2_000_000
"""Weights held in memory at once: 16 MB of float64, whatever the number of images."""


@dataclass(frozen=True)
class Interval:
    """A value with its percentile interval; ``None`` with a reason where there is none.

    Attributes:
        value: the statistic on the data as they are.
        low: lower end of the interval.
        high: upper end of the interval.
        level: coverage, 0.95 by default.
        draws: bootstrap draws on which the statistic was defined.
        skipped: draws on which it was not, one class only for example.
        reason: why ``value`` or the interval is missing.
    """

    value: float | None
    low: float | None
    high: float | None
    level: float
    draws: int
    skipped: int
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe form: no NaN; ``reason`` only where something is missing."""
        return {key: value for key, value in asdict(self).items() if key != "reason" or value is not None}


def patient_weights(
    patients: ArrayLike, draws: int = 2000, seed: int | np.random.Generator = 0
) -> Iterator[NDArray[np.float64]]:
    """Draw patients with replacement, as many as there are; yield row weights in chunks of draws.

    Args:
        patients: ``(n,)``, the patient of each row.
        draws: number of bootstrap draws, at least 1.
        seed: seed, or a generator to draw from. The chunks of one seed are the same whatever their size.

    Yields:
        ``(d, n)`` float64: how often each row counts in each of d draws.

    Raises:
        ValueError: there are no rows, or ``draws`` is less than 1.
    """
    owner = np.unique(np.asarray(patients), return_inverse=True)[1].ravel()
    if owner.size == 0 or draws < 1:
        raise ValueError(f"a bootstrap needs rows and draws, got {owner.size} rows and draws={draws}")
    count, generator = int(owner.max()) + 1, np.random.default_rng(seed)
    chunk = max(1, CHUNK_ELEMENTS // owner.size)
    for first in range(0, draws, chunk):
        size = min(chunk, draws - first)
        drawn = generator.integers(count, size=(size, count)) + count * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        yield times[:, owner].astype(np.float64)


def bootstrap_draws(
    statistic: Statistic, patients: ArrayLike, *, draws: int = 2000, seed: int | np.random.Generator = 0
) -> NDArray[np.float64]:
    """The statistic on every draw, ``(draws, ...)``, NaN where it is undefined."""
    return np.concatenate([statistic(weights) for weights in patient_weights(patients, draws, seed)])


def bootstrap_all(
    statistics: Mapping[str, Statistic],
    patients: ArrayLike,
    *,
    draws: int = 2000,
    seed: int | np.random.Generator = 0,
    level: float = 0.95,
    reasons: Mapping[str, str] | None = None,
) -> dict[str, Interval]:
    """Percentile intervals of several scalar statistics on the same draws of patients.

    Args:
        statistics: by name, each mapping weights ``(D, n)`` to ``(D,)``.
        patients: ``(n,)``, the patient of each row.
        draws: bootstrap draws.
        seed: seed or generator.
        level: coverage of the interval, inside (0, 1).
        reasons: by name, what to say where the statistic is undefined on the data themselves.

    Raises:
        ValueError: no rows, no draws, or a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level} is not inside (0, 1); 0.95 is usual")
    rows = np.asarray(patients)
    chunks: dict[str, list[NDArray[np.float64]]] = {name: [] for name in statistics}
    for weights in patient_weights(rows, draws, seed):
        for name, statistic in statistics.items():
            chunks[name].append(statistic(weights))
    ones, single = np.ones((1, rows.size)), np.unique(rows).size < 2
    return {
        name: _interval(
            float(statistic(ones)[0]),
            np.concatenate(chunks[name]),
            level,
            single,
            (reasons or {}).get(name, "undefined on these data"),
        )
        for name, statistic in statistics.items()
    }


def bootstrap(
    statistic: Statistic,
    patients: ArrayLike,
    *,
    draws: int = 2000,
    seed: int | np.random.Generator = 0,
    level: float = 0.95,
    reason: str = "undefined on these data",
) -> Interval:
    """Percentile interval of one statistic; see :func:`bootstrap_all`."""
    result = bootstrap_all({"it": statistic}, patients, draws=draws, seed=seed, level=level, reasons={"it": reason})
    return result["it"]


def difference(first: Statistic, second: Statistic) -> Statistic:
    """``first - second`` on the same draw: bootstrapping it gives the paired difference."""
    return lambda weights: first(weights) - second(weights)


def restricted(statistic: Statistic, rows: NDArray[np.bool_]) -> Statistic:
    """A statistic of the rows where ``rows`` ``(n,)`` is True; patients are still drawn from everybody."""
    return lambda weights: statistic(weights[:, rows])


def _interval(value: float, values: NDArray[np.float64], level: float, single: bool, reason: str) -> Interval:
    defined = values[np.isfinite(values)]
    skipped = int(values.size - defined.size)
    if not np.isfinite(value):
        return Interval(None, None, None, level, int(defined.size), skipped, reason)
    if single or defined.size == 0:
        why = "one patient only: no interval" if single else "undefined on every bootstrap draw"
        return Interval(value, None, None, level, int(defined.size), skipped, why)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level, int(defined.size), skipped)
