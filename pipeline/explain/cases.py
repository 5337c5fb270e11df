"""The test images of an evaluation in pairs of two patients, and the sample for what is expensive to measure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from .interventions import partners_of
from .lesion import lesion_region
from .subject import MALIGNANT, Case


class PairedCases(Dataset[dict[str, Any]]):
    """Images of a dataset, each with that of another patient.

    Args:
        dataset: gives items with ``image`` ``(2, H, W)``, ``label`` and ``to_original``; its ``data`` are records.
        indices: the images to take.
        seed: of the pairs.
        root: folder that the records' paths are relative to.
        sample: how many images the expensive measures are taken of, see :func:`choose_sample`.
    """

    def __init__(self, dataset: Any, indices: Sequence[int], *, root: str | Path, seed: int, sample: int) -> None:
        self.dataset = dataset
        self.indices = list(indices)
        self.root = Path(root)
        self.records = [dataset.data[index] for index in self.indices]
        patients = [f"{record.get('dataset', '')}/{record['patient_id']}" for record in self.records]
        self.partner = partners_of(patients, seed)
        self.sampled = choose_sample([int(record["label"][0]) for record in self.records], sample, seed)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = self.dataset[self.indices[index]]
        partner = int(self.partner[index])
        other = item if partner < 0 else self.dataset[self.indices[partner]]
        image = torch.as_tensor(item["image"])
        region = lesion_region(self.records[index], self.root, np.asarray(item["to_original"]), image.shape[1:])
        lesion = np.zeros(tuple(image.shape[1:]), dtype=bool) if region is None else region
        return {"index": index, "image": image, "partner": torch.as_tensor(other["image"]), "lesion": lesion}

    def batches(self, batch_size: int, num_workers: int, device: torch.device | str) -> Iterator[Case]:
        """All images, in order, a batch at a time."""
        for batch in DataLoader(self, batch_size=batch_size, num_workers=num_workers):
            index = batch["index"].numpy()
            yield Case(
                rows=[self.row(place) for place in index.tolist()],
                images=batch["image"].to(device),
                partners=batch["partner"].to(device),
                paired=self.partner[index] >= 0,
                lesions=batch["lesion"].numpy(),
                sampled=self.sampled[index],
            )

    def row(self, index: int) -> dict[str, Any]:
        """What the tables say of an image before it is examined."""
        record, partner = self.records[index], int(self.partner[index])
        known = {name: record[name] for name in ("dataset", "image_id", "patient_id") if name in record}
        other = {} if partner < 0 else self.records[partner]
        of_partner = {f"partner_{name}": other.get(name) for name in ("dataset", "image_id") if name in record}
        return {**known, "label": int(record["label"][0]), **of_partner}


def choose_sample(labels: Sequence[int], count: int, seed: int) -> NDArray[np.bool_]:
    """Which images the expensive measures are taken of: half of them malignant, as far as there are so many.

    Args:
        labels: of the images: 1 malignant, else not.
        count: how many images are chosen, all where there are no more.
        seed: of the choice.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    malignant = np.asarray(labels)[order] == MALIGNANT
    half = [order[malignant][: (count + 1) // 2], order[~malignant][: count // 2]]
    rest = np.setdiff1d(order, np.concatenate(half), assume_unique=True)
    rest = order[np.isin(order, rest)]
    chosen = np.concatenate([*half, rest])[:count]
    return np.isin(np.arange(len(labels)), chosen)
