"""A picture as it is stored, with the table that makes [0, 1] of it when it is needed."""

from typing import Any, NamedTuple

import cv2
import numpy as np

__all__ = ["Picture"]


class Picture(NamedTuple):
    """Stored values ``(rows, columns)`` and how to show them.

    Attributes:
        stored: unsigned bit patterns of 8 or 16 bits, or float32 that is in [0, 1] already.
        table: float32 in [0, 1] for each bit pattern; None for float32.
        meta: plain metadata.
    """

    stored: np.ndarray
    table: np.ndarray | None
    meta: dict[str, Any]

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.stored.shape
        return rows, columns

    def pixels(self) -> np.ndarray:
        """Return the whole picture, float32 in [0, 1]."""
        return self.rows(slice(None))

    def rows(self, rows: slice, columns: slice = slice(None), mirrored: bool = False) -> np.ndarray:
        """Return some rows as float32 in [0, 1]; ``columns`` are counted in the mirrored picture if ``mirrored``."""
        if mirrored:
            first, last, _ = columns.indices(self.stored.shape[1])
            columns = slice(self.stored.shape[1] - last, self.stored.shape[1] - first)
        part = self.stored[rows, columns]
        part = cv2.flip(part, 1) if mirrored else part
        return part if self.table is None else cv2.LUT(part, self.table)
