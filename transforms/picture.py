"""A picture as it is stored, with the table that makes [0, 1] of it when it is needed."""

from typing import Any, NamedTuple

import cv2
import numpy as np

__all__ = ["Picture", "ramp_end"]


class Picture(NamedTuple):
    """Stored values ``(rows, columns)`` and how to show them.

    Attributes:
        stored: unsigned bit patterns of 8 or 16 bits, or float32 that is in [0, 1] already.
        table: float32 in [0, 1] for each bit pattern; None for float32.
        meta: plain metadata.
        ramp_end: see :func:`ramp_end`, for ``table``.
    """

    stored: np.ndarray
    table: np.ndarray | None
    meta: dict[str, Any]
    ramp_end: int | None = None

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
        if self.table is None:
            return part
        if self.ramp_end is None:
            return cv2.LUT(np.ascontiguousarray(part), self.table)
        shown = np.divide(part, np.float32(self.ramp_end), dtype=np.float32)
        return shown if self.ramp_end == len(self.table) - 1 else np.minimum(shown, 1, out=shown)


def ramp_end(table: np.ndarray) -> int | None:
    """Return the n for which ``table`` is ``min(x / n, 1)`` to the last bit, or None.

    Most tables are: no window, or one that spans all bits. Dividing takes a third of the time of looking up.
    """
    end = int((table >= 1).argmax())
    ramp = np.arange(len(table), dtype=np.float32)
    return end if end and np.array_equal(np.minimum(ramp / np.float32(end), 1), table) else None
