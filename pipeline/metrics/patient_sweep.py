"""Right and wrong detections at every threshold that matters, for weights of patients and not of rows.

All rows of a patient weigh the same in a bootstrap of patients. Counted by patient once, hundreds of thousands of
detections, of which none is cut by its score, cost each draw a product of small matrices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["PatientSweep"]

Floats = NDArray[np.float64]


class PatientSweep:
    """Weighted right and wrong detections at every distinct score of a right one, highest first.

    Calling it with weights ``(D, P)`` of P patients gives two ``(D, U)`` arrays, U the number of these scores: those
    that score as much or more. At thresholds between them only wrong ones join, so that neither sensitivity nor
    precision can be better there.

    Args:
        right: ``(R,)`` scores.
        right_of: ``(R,)`` int, the patient of each.
        wrong: ``(W,)`` scores.
        wrong_of: ``(W,)`` int, the patient of each.
        patients: their number, P.
    """

    def __init__(
        self, right: ArrayLike, right_of: ArrayLike, wrong: ArrayLike, wrong_of: ArrayLike, patients: int
    ) -> None:
        self.thresholds = np.unique(np.asarray(right, dtype=np.float64))[::-1]
        self.right = self._reached(right, right_of, patients)  # (P, U)
        self.wrong = self._reached(wrong, wrong_of, patients)
        self._last: tuple[Floats | None, tuple[Floats, Floats]] = None, (np.empty(0), np.empty(0))

    def __call__(self, weights: Floats) -> tuple[Floats, Floats]:
        if weights is not self._last[0]:  # several measures ask about the same draws
            self._last = weights, (weights @ self.right, weights @ self.wrong)
        return self._last[1]

    def _reached(self, scores: ArrayLike, owners: ArrayLike, patients: int) -> Floats:
        first = np.searchsorted(-self.thresholds, -np.asarray(scores, dtype=np.float64))
        counts = np.zeros((patients, len(self.thresholds) + 1))
        np.add.at(counts, (np.asarray(owners, dtype=np.intp), first), 1.0)
        return np.asarray(counts[:, :-1].cumsum(axis=1))
