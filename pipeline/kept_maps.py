"""Maps of a frozen encoder, computed once for all images, and batches of them."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..networks.frozen_maps import FrozenMaps
from .files import temporary_name

__all__ = ["KeptMaps", "PrepareMaps"]

logger = logging.getLogger(__name__)


class PrepareMaps:
    """The ``prepare_batch`` of FActOR: maps, labels, and as further argument where they show breast.

    Args:
        maps: computes the maps of a batch's images at every step; None where the batch holds them, see
            :class:`KeptMaps`.
    """

    def __init__(self, maps: FrozenMaps | None = None) -> None:
        self.maps = maps

    def __call__(
        self, batch: Mapping[str, Any], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[Tensor, Tensor, tuple[Tensor], dict[str, Any]]:
        def there(tensor: Tensor) -> Tensor:
            return tensor.to(device=device, non_blocking=non_blocking)

        if self.maps is None:
            features, places = there(batch["features"]), there(batch["places"])
        else:
            features, places = self.maps(there(batch["image"]))
        return features, there(batch["label"]), (places,), {}


class KeptMaps(Dataset[dict[str, Any]]):
    """The maps of a dataset's images, computed once when this is made; without augmentation they never change.

    Items have ``features`` ``(K, h, w)`` float32, ``places`` ``(1, h, w)`` bool and what else the dataset gives but
    ``image``.

    Args:
        images: a dataset of items with ``image``, ``(2, H, W)``, all of one size.
        maps: of the frozen encoder.
        batch_size, num_workers: in computing.
        device: that computes; the maps are kept in the memory of the host.
        folder: keeps the features in a file ``NAME.npy`` there instead, for datasets that are larger than memory. It is
            written anew for each run.
        name: of that file.

    Raises:
        ValueError: no image, or maps that take more memory than the machine has, and no folder.
    """

    def __init__(
        self,
        images: Any,
        maps: FrozenMaps,
        *,
        batch_size: int = 16,
        num_workers: int = 0,
        device: torch.device | str = "cpu",
        folder: str | Path | None = None,
        name: str = "maps",
    ) -> None:
        if not len(images):
            raise ValueError("there is no image to compute a map of")
        self.data = images.data
        self.rest: list[dict[str, Any]] = []
        self.features: NDArray[np.float32] | None = None
        self.path = None if folder is None else Path(folder, f"{name}.npy")
        loader = DataLoader(images, batch_size=batch_size, num_workers=num_workers, collate_fn=_listed)
        places = []
        for batch in loader:
            features, seen = maps(torch.stack([torch.as_tensor(item.pop("image")) for item in batch]).to(device))
            first, last = len(self.rest), len(self.rest) + len(batch)
            self._room(len(images), features.shape[1:])[first:last] = features.float().cpu().numpy()
            places.append(seen.cpu())
            self.rest += batch
        self.places = torch.cat(places)
        logger.info("maps of %d images computed, %s each", len(self.rest), tuple(cast(Any, self.features).shape[1:]))

    def __len__(self) -> int:
        return len(self.rest)

    def __getitem__(self, index: int) -> dict[str, Any]:
        features = torch.from_numpy(np.array(cast(Any, self.features)[index]))
        return {**self.rest[index], "features": features, "places": self.places[index]}

    def _room(self, count: int, shape: Iterable[int]) -> NDArray[np.float32]:
        if self.features is not None:
            return self.features
        size = (count, *shape)
        needed = math.prod(size) * 4
        if self.path is None and needed > (memory := os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")):
            raise ValueError(
                f"the maps of {count} images take {needed * 1e-9:.0f} GB, this machine has {memory * 1e-9:.0f} GB of "
                "memory; give --feature_cache, a folder with so much room, or --keep_maps false"
            )
        if self.path is None:
            self.features = np.empty(size, dtype=np.float32)
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = temporary_name(self.path)  # two runs never write one file; the last one keeps the name
            self.features = np.lib.format.open_memmap(temporary, "w+", np.float32, size)
            temporary.replace(self.path)
        logger.info("maps take %.2f GB %s", needed * 1e-9, f"in {self.path}" if self.path else "of memory")
        return self.features


def _listed(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return items
