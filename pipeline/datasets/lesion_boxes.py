"""Lesions of a record as boxes on the network's grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from ...transforms.geometry import to_grid_box
from .located_records import ANY_LESION, lesion_label

__all__ = ["LesionBoxesd"]


class LesionBoxesd(MapTransform):
    """Write ``boxes`` ``(N, 4)`` float32 and ``box_labels`` ``(N,)`` int64 of the findings of an item.

    Boxes are ``row0, col0, row1, col1`` in pixels of the present grid, half-open: MONAI's standard mode, whose first
    axis is the row. They may reach beyond the grid, see MONAI's ``ClipBoxToImaged``. N is 0 where nothing is found.

    Args:
        keys: key of the findings, each with ``box`` in original pixels, such as
            :class:`~mammo.pipeline.datasets.LocatedRecords` gives them.
        classes: see :func:`~mammo.pipeline.datasets.located_records.lesion_label`; findings of none are left out.
        matrix_key: key of the matrix from the grid to original pixels, ``(3, 3)``.
        box_key: where the boxes go.
        label_key: where their class indices go.
        allow_missing_keys: see :class:`monai.transforms.MapTransform`.
    """

    def __init__(
        self,
        keys: KeysCollection = "findings",
        *,
        classes: Sequence[str] = (ANY_LESION,),
        matrix_key: str = "to_original",
        box_key: str = "boxes",
        label_key: str = "box_labels",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.classes = list(classes)
        self.matrix_key, self.box_key, self.label_key = matrix_key, box_key, label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            sought = [(f["box"], label) for f in d[key] if (label := lesion_label(f, self.classes)) >= 0]
            matrix = np.asarray(d[self.matrix_key])
            boxes = [to_grid_box(tuple(box), matrix) for box, _ in sought]
            d[self.box_key] = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
            d[self.label_key] = torch.tensor([label for _, label in sought], dtype=torch.int64)
        return d
