"""Epochs of training data: from the store, against decoding at every epoch and against MONAI's PersistentDataset.

A few film scans of 16 megapixels, copied so that each file has content of its own, are read again and again. Compared
are: the published recipe at every epoch; our transforms at every epoch; MONAI's PersistentDataset over our transforms;
our store, alone, with the augmentation of the bundles, and in a loader. Whole epochs are compared to a training step of
the tiny Swin on the same batch. All ways take turns on one core; medians. ``python benchmarks/loader.py [--quick]``;
the last line is one JSON object.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and torch start their threads

import cv2
import torch
from films import copies, write_film
from mammo.networks import MammogramClassifier, SwinEncoder
from mammo.pipeline.datasets import PreparedDataset
from mammo.transforms import PrepareMammogramd
from measuring import PUBLISHED, compared, finish, middle, timings, valued
from monai.data import DataLoader, PersistentDataset
from monai.transforms import (
    ConcatItemsd,
    EnsureTyped,
    RandFlipd,
    RandGaussianNoised,
    RandRotated,
    RandZoomd,
    SelectItemsd,
)
from published import published_prepare

BOTH = ["image", "mask"]
BATCH = 4


def augmentation() -> list[Any]:
    """That of the bundle's finetune.yaml, with its rotation switched on."""
    return [
        RandFlipd(BOTH, prob=0.5, spatial_axis=0),
        RandZoomd(BOTH, prob=0.3, min_zoom=0.9, max_zoom=1.1, mode=["bilinear", "nearest"], padding_mode="constant"),
        RandRotated(BOTH, prob=0.3, range_x=0.2618, mode=["bilinear", "nearest"], padding_mode="zeros"),
        RandGaussianNoised("image", prob=0.2, std=0.01),
    ]


def collection() -> list[Any]:
    """Image and mask as the network's two channels."""
    return [ConcatItemsd(BOTH, name="image"), EnsureTyped("image", track_meta=False), SelectItemsd(["image"])]


def epochs(records: Sequence[dict[str, str]], folder: Path) -> dict[str, Callable[[], Any]]:
    """One epoch of each way, by name."""
    prepare = [PrepareMammogramd()]
    persistent = PersistentDataset(records, prepare, folder / "persistent")  # plain tensors, no pickle
    store = PreparedDataset(records, prepare, folder / "store")
    augmented = PreparedDataset(records, [*prepare, *augmentation(), *collection()], folder / "store")
    loader = DataLoader(augmented, batch_size=BATCH)
    return {
        "published": lambda: [published_prepare(Path(record["image"])) for record in records],
        "ours_decoding": lambda: [prepare[0]({"image": record["image"]}) for record in records],
        "persistent": lambda: [persistent[n] for n in range(len(records))],
        "store": lambda: [store[n] for n in range(len(records))],
        "store_augmented": lambda: [augmented[n] for n in range(len(records))],
        "loader_augmented": lambda: list(loader),
    }


def training_step() -> Callable[[], None]:
    """A step of the tiny Swin with AdamW on a batch of 224 x 224."""
    torch.manual_seed(0)
    network = MammogramClassifier(SwinEncoder(size="tiny"), {"pathology": 2})
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4)
    images = torch.rand(BATCH, 2, 224, 224)
    images[:, 1] = images[:, 1].round()

    def step() -> None:
        optimizer.zero_grad()
        network(images).square().mean().backward()
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 rounds of 4 images")
    quick = parser.parse_args().quick
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    images, rounds = (4, 3) if quick else (16, 7)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = copies(write_film(folder / "film.dcm"), folder, images)
        records = [{"image": str(file)} for file in files]
        taken = timings({**epochs(records, folder), "step": training_step()}, rounds)
        seconds = middle(taken)
        sizes = {kind: _megabytes(folder / kind) / images for kind in ("persistent", "store")}
    step = seconds.pop("step")
    print(f"{images} images, one core, load {os.getloadavg()[0]:.1f}; a tiny Swin step on {BATCH} images {step:.3f} s")
    print(f"{'epoch from':20}{'ms an image':>12}{'x published':>13}")
    for name, each in seconds.items():
        print(f"{name:20}{each / images * 1e3:12.3f}{seconds['published'] / each:13.1f}")
    print(f"MB an image on disk: PersistentDataset {sizes['persistent']:.3f}, store {sizes['store']:.3f}")
    ratios = {
        "persistent_per_store": seconds["persistent"] / seconds["store"],
        "published_per_store_epoch": seconds["published"] / seconds["loader_augmented"],
        "loader_share_of_step": seconds["loader_augmented"] / images * BATCH / step,
        "persistent_bytes_per_store": sizes["persistent"] / sizes["store"],
    }
    libraries = "opencv-python-headless", "scikit-image", "pydicom"
    rows = [
        compared("an epoch from the store, augmented, in a loader", taken, "loader_augmented", "published", PUBLISHED,
                 *libraries),
        compared("an epoch from the store", taken, "store", "persistent", "MONAI's PersistentDataset", "monai"),
        valued("a prepared image on disk", "MB", sizes["store"], sizes["persistent"], "MONAI's PersistentDataset",
               "monai"),
    ]  # fmt: skip
    finish({name: round(value, 4) for name, value in ratios.items()}, rows)


def _megabytes(folder: Path) -> float:
    """What a folder takes on disk, each file once, however many names it has."""
    files = {path.stat().st_ino: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    return sum(files.values()) / 1e6


if __name__ == "__main__":
    main()
