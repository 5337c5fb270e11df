"""How long a mammogram of 16 megapixels takes from the file to the network's grid, and in how much memory.

Compared are decoding alone (pydicom with its default plugins), ours (read, orient, mask with quality code, crop,
resize), ours step by step, MONAI's stock transforms doing the same, and the published recipe, each from a file that is
uncompressed, JPEG lossless and JPEG 2000. All ways take turns in one process on one core, so that a busy machine slows
all of them alike; the tables give medians. Peak memory is what a fresh process needs beyond its imports. Last, whole
preparing into a store with one worker process and with two. ``python benchmarks/prepare.py [--quick]``; the last line
is one JSON object.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and torch start their threads

import cv2
import numpy as np
import pydicom
import torch
from films import ENCODINGS, SHAPE, copies, write_film
from mammo.pipeline.datasets import Record, scan
from mammo.transforms import (
    BreastMaskd,
    ChestWallLeftd,
    CropToBreastd,
    LoadMammogramd,
    PrepareMammogramd,
    RecordGeometryd,
    ResizeMammogramd,
)
from measuring import PUBLISHED, Row, compared, finish
from monai.transforms import (
    Compose,
    CropForegroundd,
    ForegroundMaskd,
    KeepLargestConnectedComponentd,
    LoadImaged,
    Resized,
    ScaleIntensityd,
)
from published import published_prepare

Way = Callable[[Path], Any]


def chain() -> Compose:
    """Our standard chain, one dictionary transform after another."""
    steps = [LoadMammogramd(), ChestWallLeftd(), BreastMaskd(), CropToBreastd()]
    return Compose([*steps, ResizeMammogramd(spatial_size=(224, 224)), RecordGeometryd()])


def stock() -> Compose:
    """MONAI's own transforms for the same: read, scale, Otsu's mask, largest component, crop, resize."""
    both = ["image", "mask"]
    return Compose(
        [
            LoadImaged("image", reader="PydicomReader", ensure_channel_first=True, swap_ij=False),
            ScaleIntensityd("image"),
            ForegroundMaskd("image", threshold="otsu", invert=True, new_key_prefix="fore_"),
            lambda d: {"image": d["image"], "mask": d["fore_image"]},
            KeepLargestConnectedComponentd("mask"),
            CropForegroundd(both, source_key="mask", allow_smaller=True),
            Resized(both, (224, 224), mode=["area", "nearest"]),
        ]
    )


def ways() -> dict[str, Way]:
    """What is timed, by name; every way starts from a file."""
    small, large = PrepareMammogramd(), PrepareMammogramd(spatial_size=(512, 512))
    steps, stock_steps = chain(), stock()
    return {
        "decode": lambda path: pydicom.dcmread(path).pixel_array,
        "ours": lambda path: small({"image": path}),
        "ours_read": small.reader.read,
        "ours_512": lambda path: large({"image": path}),
        "ours_steps": lambda path: steps({"image": path}),
        "monai_stock": lambda path: stock_steps({"image": path}),
        "published": published_prepare,
    }


def measure(files: dict[str, Path], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each round by file and way; the ways take turns, and the first round only warms up."""
    named = ways()
    seconds: dict[str, dict[str, list[float]]] = {name: {way: [] for way in named} for name in files}
    for number, (name, path), (way, run) in product(range(rounds + 1), files.items(), named.items()):
        start = time.perf_counter()
        run(path)
        if number:
            seconds[name][way].append(time.perf_counter() - start)
    return seconds


def peak_megabytes(way: str, path: Path) -> float:
    """Memory that one image takes in a fresh process, beyond what importing costs (Linux)."""
    command = [sys.executable, __file__, "--peak_of", way, str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(answer.stdout.split()[-1])


def own_peak(way: str, path: Path) -> float:
    """The same, measured inside that process."""
    run = ways()[way]

    def megabytes(field: str) -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))

    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of importing
    before = megabytes("VmRSS")
    run(path)
    return megabytes("VmHWM") - before


def scaling(path: Path, folder: Path, images: int, rounds: int) -> dict[str, float]:
    """Seconds an image of preparing ``images`` files into a store, by worker processes; medians, taking turns."""
    files = copies(path, folder, images)
    records = [Record(image=str(file), patient_id=file.stem, image_id=file.stem, dataset="films") for file in files]
    taken: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for workers, seconds in taken.items():
            with tempfile.TemporaryDirectory(dir=folder) as store:
                scan(records, [PrepareMammogramd()], store, workers, processes=True)
                seconds.append(seconds_an_image(Path(store)))
    return {f"workers_{workers}": float(np.median(seconds)) for workers, seconds in taken.items()}


def seconds_an_image(store: Path) -> float:
    """From the times of the entries, the first ones left out: until then processes are still starting."""
    times = sorted(entry.stat().st_mtime_ns for entry in store.glob("contents/*/*"))[8:]
    return (times[-1] - times[0]) / 1e9 / (len(times) - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 rounds, 24 images for the workers")
    parser.add_argument("--peak_of", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    if arguments.peak_of:
        print(own_peak(arguments.peak_of[0], Path(arguments.peak_of[1])))
        return
    rounds = 2 if arguments.quick else 7
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {encoding: write_film(folder / f"{encoding}.dcm", encoding) for encoding in ENCODINGS}
        files["mirrored_sigmoid"] = write_film(folder / "mirrored.dcm", side="right", windowed=True)
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})  # GDCM starts threads of its own, whatever it is told
        taken = measure(files, rounds)
        seconds = {
            name: {way: float(np.median(each)) for way, each in by_way.items()} for name, by_way in taken.items()
        }
        os.sched_setaffinity(0, cores)
        peak = {way: {name: peak_megabytes(way, path) for name, path in files.items()} for way in ways()}
        workers = {
            name: scaling(files[name], folder, images if not arguments.quick else 24, 1 if arguments.quick else 3)
            for name, images in (("uncompressed", 160), ("jpeg_lossless", 60))
        }
    finish(report(seconds, peak, workers), [row for name, by_way in taken.items() for row in rows_of(name, by_way)])


Table = dict[str, dict[str, float]]


def rows_of(name: str, taken: dict[str, list[float]]) -> list[Row]:
    """Our preparing of one kind of file beside decoding alone, MONAI and the published recipe."""
    what = f"reading and preparing 16 megapixels, {name.replace('_', ' ')}"
    own = "opencv-python-headless", "scikit-image"
    return [
        compared(what, taken, "ours", "decode", "pydicom, decoding alone", "pydicom"),
        compared(what, taken, "ours", "monai_stock", "MONAI's stock transforms", "monai"),
        compared(what, taken, "ours", "published", PUBLISHED, *own, "pydicom"),
    ]


def report(seconds: Table, peak: Table, workers: Table) -> dict[str, float]:
    """Print the tables; return the ratios."""
    print(f"{SHAPE[0]} x {SHAPE[1]}, 12 bit; one core; load {os.getloadavg()[0]:.1f}; ms, (x decode), [MB]")
    print(f"{'way':14}" + "".join(f"{name:>26}" for name in seconds))
    for way in peak:
        cells = [
            f"{by_way[way] * 1e3:9.1f} ({by_way[way] / by_way['decode']:5.2f}) [{peak[way][name]:4.0f}]"
            for name, by_way in seconds.items()
        ]
        print(f"{way:14}" + "".join(f"{cell:>26}" for cell in cells))
    for name, taken in workers.items():
        one, two = (taken[f"workers_{workers}"] * 1e3 for workers in (1, 2))
        print(f"into a store, {name}: 1 worker {one:.1f} ms an image, 2 workers {two:.1f} ms, {one / two:.2f}x")
    ratios = {
        f"{way}_per_decode_{name}": round(by_way[way] / by_way["decode"], 3)
        for name, by_way in seconds.items()
        for way in by_way
        if way != "decode"
    }
    plain = seconds["uncompressed"]  # what follows the decoding is the same for all, and here it is not lost in noise
    after = plain["published"] - plain["decode"], plain["ours"] - plain["ours_read"]
    ratios["published_per_ours_after_decoding"] = round(after[0] / after[1], 1)
    for name, taken in workers.items():
        ratios[f"two_workers_per_one_{name}"] = round(taken["workers_1"] / taken["workers_2"], 2)
    return ratios


if __name__ == "__main__":
    main()
