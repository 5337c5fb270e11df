"""How costs grow: with the image's pixels, the batch, the number of images, and worker processes.

    python benchmarks/growth.py [--quick] [--plot FILE.png]

For preparing (film scan to the network's grid), a pretraining step (Swin, forward and backward pass, AdamW) and a
study (four views to results) one quantity grows while all else stays. Points take turns, on one core; only workers
have both, and are timed an image once all have started. An exponent is the slope of log seconds over log quantity, by
least squares over all rounds, with its 95 % interval (Student's t): 1 is proportional, below 1 there is a fixed part,
-1 is perfect sharing among workers. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and torch start their threads

import cv2
import numpy as np
import pydicom
import torch
from films import copies, write_film
from growth_fit import Growth, fit, plot
from mammo.networks import SwinEncoder, SwinMIM
from mammo.networks.losses import MaskedReconstructionLoss
from mammo.pipeline.datasets import Record, scan
from mammo.pipeline.hospital.decode import here
from mammo.pipeline.hospital.process import process_files
from mammo.pipeline.hospital.study import StudyEngine
from mammo.pipeline.phantom import write_study
from mammo.transforms import BlockMasking, PrepareMammogramd
from measuring import finish, timings
from prepare import seconds_an_image
from study import random_model

Works = dict[float, Callable[[], object]]
"""What is timed, by the quantity that grows."""
SIDES = (0.25, 0.5, 1.0)
"""Of a film scan of 5416 x 3000 pixels."""


def resized_film(folder: Path, side: float) -> Path:
    """The film of the benchmarks with fewer pixels."""
    path = write_film(folder / f"film_{side}.dcm")
    dataset = pydicom.dcmread(path)
    small = cv2.resize(dataset.pixel_array, None, fx=side, fy=side, interpolation=cv2.INTER_AREA)
    dataset.Rows, dataset.Columns = small.shape
    dataset.PixelData = small.tobytes()
    dataset.save_as(path)
    return path


def prepare_pixels(folder: Path) -> Works:
    """One film of several sizes, from the file to 224 x 224."""
    transform = PrepareMammogramd("image", spatial_size=(224, 224))
    works: Works = {}
    for side in SIDES:
        path = resized_film(folder, side)
        works[16.248 * side**2] = partial(transform, {"image": str(path)})
    return works


def records_of(folder: Path, count: int) -> list[Record]:
    """Small films, each of other content."""
    (folder / str(count)).mkdir()
    files = copies(resized_film(folder, 0.25), folder / str(count), count)
    return [Record(image=str(file), patient_id=file.stem, image_id=file.stem, dataset="films") for file in files]


def fill_store(records: Sequence[Record], folder: Path) -> None:
    """Prepare all records into a new store, in this process."""
    with tempfile.TemporaryDirectory(dir=folder) as store:
        scan(records, [PrepareMammogramd()], store, 1)


def prepare_images(folder: Path, counts: Sequence[int]) -> Works:
    """Several numbers of images into a store."""
    return {count: partial(fill_store, records_of(folder, count), folder) for count in counts}


def worker_seconds(folder: Path, images: int, rounds: int) -> dict[float, list[float]]:
    """Seconds an image by one and by two worker processes once all have started, taking turns."""
    records = records_of(folder, images)
    taken: dict[float, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for workers, seconds in taken.items():
            with tempfile.TemporaryDirectory(dir=folder) as store:
                scan(records, [PrepareMammogramd()], store, int(workers), processes=True)
                seconds.append(seconds_an_image(Path(store)))
    return taken


def pretraining_step(size: str, pixels: int, batch: int) -> Callable[[], None]:
    """A step of masked image modelling on noise inside a round breast."""
    torch.manual_seed(0)
    network = SwinMIM(SwinEncoder(size=size))
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, fused=True)
    rows, columns = torch.meshgrid(torch.arange(pixels), torch.arange(pixels), indexing="ij")
    mask = ((rows - pixels / 2) ** 2 + columns**2 < (0.45 * pixels) ** 2).float().expand(batch, 1, -1, -1)
    image = torch.rand(batch, 1, pixels, pixels)

    def step() -> None:
        hidden = BlockMasking()(mask)
        optimizer.zero_grad()
        prediction = network(torch.cat([image, mask], dim=1), hidden)
        MaskedReconstructionLoss()(prediction, torch.cat([image, mask, hidden], dim=1)).backward()
        optimizer.step()

    return step


def study_pixels(folder: Path) -> Works:
    """A study of four views with several pixel sizes, to results on disk."""
    engine = engine_of()
    works: Works = {}
    for pixel_mm in (0.8, 0.4, 0.2):
        paths = [path for path, _ in write_study(folder / f"study_{pixel_mm}", index=1, seed=77, pixel_mm=pixel_mm)]
        header = pydicom.dcmread(paths[0], stop_before_pixels=True)
        works[header.Rows * header.Columns / 1e6] = partial(process_files, paths, engine, folder / "results")
    return works


def studies(folder: Path, counts: Sequence[int]) -> Works:
    """Several numbers of small studies, one after another."""
    engine = engine_of()
    paths = [path for path, _ in write_study(folder / "small", index=2, seed=77, preset="demo")]

    def process(count: int) -> None:
        for _ in range(count):
            process_files(paths, engine, folder / "many")

    return {count: partial(process, count) for count in counts}


def engine_of() -> StudyEngine:
    """A micro Swin with random weights: time does not depend on them."""
    model = random_model("micro")
    return StudyEngine(model, decode=here(model.transform))


def campaigns(folder: Path, quick: bool) -> dict[tuple[str, str], Works]:
    """All that is timed, by work and quantity."""
    size = "micro" if quick else "tiny"
    batches, pixels = (1, 2, 4, 8), (112, 160, 224, 320)
    images = (4, 8, 16) if quick else (8, 32, 128)
    return {
        ("reading and preparing", "megapixels"): prepare_pixels(folder),
        ("reading and preparing", "images"): prepare_images(folder, images),
        (f"pretraining step, Swin-{size}", "pixels"): {n * n: pretraining_step(size, n, 2) for n in pixels},
        (f"pretraining step, Swin-{size}", "batch"): {n: pretraining_step(size, 224, n) for n in batches},
        ("a study of four views", "megapixels a view"): study_pixels(folder),
        ("a study of four views", "studies"): studies(folder, (1, 2, 4) if quick else (1, 4, 16)),
    }


def measure(quick: bool, rounds: int) -> list[Growth]:
    """Time all and fit; a table row each is printed."""
    print(f"{'work':32}{'quantity':>20}{'from':>10}{'to':>10}{'seconds':>20}{'exponent':>26}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        taken = {what: timings(works, rounds) for what, works in campaigns(folder, quick).items()}
        taken["reading and preparing", "workers"] = worker_seconds(folder, 64 if quick else 256, rounds)
    return [shown(Growth(work, quantity, seconds, *fit(seconds))) for (work, quantity), seconds in taken.items()]


def shown(growth: Growth) -> Growth:
    """Print a row of the table."""
    ends = min(growth.seconds), max(growth.seconds)
    seconds = " to ".join(f"{float(np.median(growth.seconds[end])):.3g}" for end in ends)
    interval = f"{growth.exponent:.2f} ({growth.low:.2f} to {growth.high:.2f})"
    print(f"{growth.work:32}{growth.quantity:>20}{ends[0]:10.3g}{ends[1]:10.3g}{seconds:>20}{interval:>26}")
    return growth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small quantities, three rounds")
    parser.add_argument("--plot", type=Path, help="write the figure to this file")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    found = measure(arguments.quick, 3 if arguments.quick else 7)
    if arguments.plot:
        plot(found, arguments.plot)
    finish({"growth": [growth._asdict() for growth in found]})


if __name__ == "__main__":
    main()
