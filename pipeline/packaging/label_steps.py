"""Steps of a localisation bundle: from the file of a mammogram to the pixels of it that the classifier looked at."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.inferers import Inferer
from monai.transforms import MapTransform
from torch import Tensor

from ...transforms.errors import MammogramError, ReadFailure
from ...transforms.geometry import Box, to_original_box
from ..datasets.entry import plain, quantised
from ..explain.map_boxes import boxes_of_map

__all__ = ["AsPreparedd", "ExplanationInferer", "MarkRegionsd", "SeriesFiled", "StoredFramed"]


class SeriesFiled(MapTransform):
    """The file of one mammogram: ``d[key]``, a file or the folder of a DICOM series that holds one image.

    MONAI Label names series, and gives the folder into which it downloaded one.

    Raises:
        MammogramError: the folder is empty.
        ValueError: it holds several files.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = str(_only_file(Path(d[key])))
        return d


class StoredFramed(MapTransform):
    """Note the frame that a prepared mammogram comes from, for the mask that goes back to it.

    ``d[shape_key]`` is then rows and columns as stored; ``d["<key>_meta_dict"]`` is what MONAI Label asks when it
    writes a mask: the size as ITK counts it, ``(columns, rows, 1)``, and an affine (RAS, mm) that puts the mask where
    ITK puts the mammogram.

    Args:
        keys: key of the image, with the metadata of :class:`~mammo.transforms.MammogramReader`; one.
        shape_key: where rows and columns go.
        allow_missing_keys: see :class:`monai.transforms.MapTransform`.
    """

    def __init__(
        self, keys: KeysCollection = "image", shape_key: str = "stored_shape", allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.shape_key = shape_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            rows, columns = (int(length) for length in d[key].meta["spatial_shape"])
            row_mm, column_mm = (float(mm) for mm in np.diag(d[key].meta["original_affine"])[:2])
            d[self.shape_key] = [rows, columns]
            # x runs along columns. ITK's axes point left and to the back, an affine's right and to the front.
            affine = np.diag([-column_mm, -row_mm, 1.0, 1.0])
            d[f"{key}_meta_dict"] = {"spatial_shape": (columns, rows, 1), "original_affine": affine}
        return d


class AsPreparedd(MapTransform):
    """Round tensors ``(C, H, W)`` as prepared images are, on which the network was trained: 16 bits a pixel."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = quantised({"only": plain(d[key])})["only"]
        return d


class ExplanationInferer(Inferer):
    """Of an exported classifier's outputs, logits ``(B, K)`` and map ``(B, H, W)``, the map as ``(B, 1, H, W)``."""

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
        heat: Tensor = network(inputs, *args, **kwargs)[1]
        return heat[:, None]


class MarkRegionsd(MapTransform):
    """From a map on the network's grid to a mask of the mammogram as it is stored.

    ``d[key]``, ``(1, H, W)`` >= 0, becomes uint8 ``(1, columns, rows, 1)``, in the order in which MONAI Label's writer
    takes it: 1 where the centre of a stored pixel lies in a region. Regions are the boxes that a hospital's result
    tells, see :func:`~mammo.pipeline.explain.boxes_of_map`.

    Args:
        keys: key of the map; one.
        mask_key: key of the breast mask ``(1, H, W)``.
        matrix_key: key of the matrix from the grid to stored pixels, see :class:`~mammo.transforms.RecordGeometryd`.
        shape_key: key of rows and columns as stored, see :class:`StoredFramed`.
        quantile: of the map within the breast, above which it is a region.
        most_regions: of an image, the hottest.
        allow_missing_keys: see :class:`monai.transforms.MapTransform`.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        mask_key: str = "mask",
        matrix_key: str = "to_original",
        shape_key: str = "stored_shape",
        *,
        quantile: float = 0.95,
        most_regions: int = 3,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mask_key, self.matrix_key, self.shape_key = mask_key, matrix_key, shape_key
        self.quantile, self.most_regions = quantile, most_regions

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            heat = plain(torch.as_tensor(d[key])).detach().cpu()[0]
            mask = d[self.mask_key][0]
            found = boxes_of_map(heat, self.quantile, size=heat.shape, mask=mask, limit=self.most_regions)
            marked = np.zeros(d[self.shape_key], np.uint8)
            for row0, col0, row1, col1, _ in found:
                marked[_pixels_in(to_original_box((row0, col0, row1, col1), d[self.matrix_key]))] = 1
            d[key] = torch.from_numpy(np.ascontiguousarray(marked.T))[None, :, :, None]
        return d


def _only_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = sorted(file for file in path.rglob("*") if file.is_file())
    if not files:
        raise MammogramError(path, ReadFailure.MISSING, "the folder of the series is empty")
    if len(files) > 1:
        raise ValueError(f"{path} holds {len(files)} files; a mask is of one image: send each view in its own series")
    return files[0]


def _pixels_in(box: Box) -> tuple[slice, slice]:
    """Rows and columns whose centres, at half pixels, lie in a half-open box; none before the first."""
    row0, col0, row1, col1 = (max(math.ceil(edge - 0.5), 0) for edge in box)
    return slice(row0, row1), slice(col0, col1)
