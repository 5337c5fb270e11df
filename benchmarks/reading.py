"""How long a film scan takes from the file to the network's grid, against decoding it alone.

Every way is run in turn, again and again, on one core in one process, so that a busy machine slows all of them
alike; the table gives medians. ``python benchmarks/reading.py [--quick]``; the last line is one JSON object.

The peer is the published order of the two Swin systems in our own words: CLAHE on the full picture, Otsu, a second
Otsu under the first, morphology, crop, resize. It is timed for its cost; on real film its mask is wrong.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and torch start their threads

import cv2
import numpy as np
import pydicom
import torch
from mammo.transforms import (
    BreastMaskd,
    ChestWallLeftd,
    CropToBreastd,
    LoadMammogramd,
    PrepareMammogramd,
    RecordGeometryd,
    ResizeMammogramd,
)
from monai.transforms import Compose
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from skimage.morphology import remove_small_holes, remove_small_objects

SHAPE = (5416, 3000)
Way = Callable[[], Any]


def film(side: str, windowed: bool) -> Dataset:
    """A 16-bit film scan with fog, grain, texture and a label; the chest wall is on ``side``."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: SHAPE[0] : 8, : SHAPE[1] : 8].astype(np.float32)
    across = columns if side == "left" else SHAPE[1] - columns
    depth = 1 - ((rows - SHAPE[0] / 2) / 2400) ** 2 - (across / 2100) ** 2
    texture = cv2.GaussianBlur(rng.random(depth.shape, dtype=np.float32), (0, 0), 8)
    small = 0.06 + (depth > 0) * (0.25 + 0.4 * np.sqrt(np.clip(depth, 0, 1)) + 5 * (texture - 0.5))
    small[20:60, 170:240] = 0.95
    values = cv2.resize(small.astype(np.float32), SHAPE[::-1]) + 0.01 * rng.standard_normal(SHAPE, dtype=np.float32)
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = SecondaryCaptureImageStorage, "1.2.3", "MG"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = *SHAPE, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    if windowed:
        ds.WindowCenter, ds.WindowWidth, ds.VOILUTFunction = 30000, 50000, "SIGMOID"
    ds.PixelData = np.rint(np.clip(values, 0, 1) * 65535).astype(np.uint16).tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return ds


def published_order(path: Path, size: tuple[int, int] = (224, 224)) -> tuple[np.ndarray, np.ndarray]:
    """Read, mask, crop and resize in the published order, each step on the full picture."""
    stored = pydicom.dcmread(path).pixel_array.astype(np.float32)
    image = (stored - stored.min()) / (stored.max() - stored.min())
    gray = cv2.createCLAHE(3.0, (8, 8)).apply((image * 255).astype(np.uint8))
    first, mask = cv2.threshold(gray, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    second = cv2.threshold(gray[gray <= first], 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0]
    mask = (mask > 0) | (gray > second)
    mask = remove_small_holes(remove_small_objects(mask, max_size=999), max_size=999).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    mask = (labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    mask = cv2.erode(cv2.dilate(mask, ellipse, iterations=2), ellipse)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(mask, contours, -1, 1, cv2.FILLED)
    left, top, width, height = cv2.boundingRect(mask)
    window = slice(top, top + height), slice(left, left + width)
    return (
        cv2.resize(image[window], size[::-1], interpolation=cv2.INTER_AREA),
        cv2.resize(mask[window], size[::-1], interpolation=cv2.INTER_NEAREST),
    )


def chain(size: int) -> Compose:
    """The standard chain, one dictionary transform after another."""
    steps = [LoadMammogramd(), ChestWallLeftd(), BreastMaskd(), CropToBreastd()]
    return Compose([*steps, ResizeMammogramd(spatial_size=(size, size)), RecordGeometryd()])


def ways(folder: Path, quick: bool) -> dict[str, Way]:
    """Name what is timed; every way starts from a file."""
    paths = {}
    for name, (side, windowed) in {
        "left": ("left", False),
        "right": ("right", False),
        "sigmoid": ("left", True),
    }.items():
        paths[name] = folder / f"{name}.dcm"
        film(side, windowed).save_as(paths[name], enforce_file_format=True)
    small, large, steps = PrepareMammogramd(), PrepareMammogramd(spatial_size=(512, 512)), chain(224)
    found: dict[str, Way] = {
        "decode": lambda: pydicom.dcmread(paths["left"]).pixel_array,
        "load": lambda: LoadMammogramd()({"image": paths["left"]}),
        "prepare_224": lambda: small({"image": paths["left"]}),
        "prepare_512": lambda: large({"image": paths["left"]}),
        "prepare_224_mirrored": lambda: small({"image": paths["right"]}),
        "prepare_512_mirrored": lambda: large({"image": paths["right"]}),
        "prepare_224_sigmoid": lambda: small({"image": paths["sigmoid"]}),
        "chain_224": lambda: steps({"image": paths["left"]}),
        "chain_224_mirrored": lambda: steps({"image": paths["right"]}),
    }
    if not quick:
        found["published_order_224"] = lambda: published_order(paths["left"])
    return found


def measure(ways: dict[str, Way], rounds: int) -> dict[str, float]:
    """Median seconds of each way; the ways take turns, and the first round only warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(times[1:])) for name, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5 rounds, without the slow peer")
    quick = parser.parse_args().quick
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(ways(Path(folder), quick), rounds=5 if quick else 15)
    print(f"{SHAPE[0]} x {SHAPE[1]}, 16 bit, uncompressed; one core; load {os.getloadavg()[0]:.1f}")
    print(f"{'way':24}{'ms':>9}{'x decode':>10}")
    ratios = {name: value / seconds["decode"] for name, value in seconds.items()}
    for name, value in seconds.items():
        print(f"{name:24}{value * 1e3:9.1f}{ratios[name]:10.2f}")
    print(json.dumps({f"{name}_per_decode": round(ratio, 3) for name, ratio in ratios.items() if name != "decode"}))


if __name__ == "__main__":
    main()
