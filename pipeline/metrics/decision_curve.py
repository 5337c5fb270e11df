"""Would acting on the model do more good than acting on everybody, or on nobody?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .intervals import bootstrap_draws
from .weighted import net_benefit_on_grid

GRID = np.linspace(0.02, 0.98, 49)
"""Threshold probabilities at which the curve is told."""


def decision_curve(
    labels: ArrayLike, probabilities: ArrayLike, patients: ArrayLike, *, draws: int = 2000, seed: int = 0
) -> dict[str, Any]:
    r"""Net benefit over threshold probabilities (Vickers and Elkin 2006), with 95 % patient-bootstrap bands.

    .. math:: \frac{TP}{n} - \frac{FP}{n} \cdot \frac{t}{1 - t}

    A reader who acts at a probability of ``t`` holds one case found to be worth ``(1 - t) / t`` needless
    actions. It speaks of the share of positives in these very rows: in a set rich in cancers that is not the
    share in screening. Give it calibrated probabilities.

    Args:
        labels: ``(n,)`` of 0 and 1.
        probabilities: ``(n,)`` in [0, 1].
        patients: ``(n,)``, the patient of each row.
        draws: bootstrap draws.
        seed: of the draws.

    Returns:
        Lists over ``threshold``: ``model`` with ``low`` and ``high``, and ``treat_all``; ``treat_none`` is 0.
    """
    truth = np.asarray(labels)
    statistic = net_benefit_on_grid(truth, probabilities, GRID)
    low, high = np.quantile(bootstrap_draws(statistic, patients, draws=draws, seed=seed), [0.025, 0.975], axis=0)
    share = float(truth.mean())
    return {
        "threshold": GRID.tolist(),
        "model": statistic(np.ones((1, truth.size)))[0].tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "treat_all": (share - (1 - share) * GRID / (1 - GRID)).tolist(),
        "treat_none": 0.0,
    }
