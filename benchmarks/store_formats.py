"""Which file format prepared images are kept in: time to write and read, size, and what it asks of whoever reads it.

Every format holds the same prepared pictures, in random order, warm. What is read becomes float32 tensors of image and
mask. lmdb, zarr and webdataset are measured where they are installed. ``python benchmarks/store_formats.py [--quick]``;
the last line is one JSON object of read times relative to ours.
"""

import argparse
import io
import os
import random
import tarfile
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and torch start their threads

import cv2
import numpy as np
import torch
from mammo.pipeline.datasets.entry import encode, read_entry
from measuring import Row, finish, valued

Pair = tuple[np.ndarray, np.ndarray]
Format = tuple[Callable[[int, Pair], None], Callable[[int], Pair]]


def pictures(size: tuple[int, int], count: int) -> list[Pair]:
    """Textured half-ellipses in dim noise, and their masks."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: size[0], : size[1]]
    mask = ((rows / size[0] - 0.5) / 0.45) ** 2 + (columns / size[1] / 0.8) ** 2 < 1
    made = []
    for _ in range(count):
        texture = cv2.GaussianBlur(rng.random(size), (0, 0), 4)
        image = mask * (0.3 + 0.3 * texture) + 0.02 + 0.005 * rng.standard_normal(size)
        made.append((image.clip(0, 1).astype(np.float32), mask.astype(np.float32)))
    return made


def levels(pair: Pair) -> Pair:
    """16 bits a pixel and one bit of mask."""
    return np.rint(pair[0] * 65535).astype(np.uint16), np.packbits(pair[1] > 0)


def shown(image: np.ndarray, bits: np.ndarray, size: tuple[int, int]) -> Pair:
    """The pair again, as float32."""
    mask = np.unpackbits(bits, count=size[0] * size[1]).reshape(size)
    return image.reshape(size).astype(np.float32) / 65535, mask.astype(np.float32)


def split(content: bytes, size: tuple[int, int]) -> Pair:
    """The pair from the bytes of :func:`levels`, one after the other."""
    pixels = 2 * size[0] * size[1]
    return shown(np.frombuffer(content[:pixels], np.uint16), np.frombuffer(content[pixels:], np.uint8), size)


def ours(folder: Path, size: tuple[int, int]) -> Format:
    def write(number: int, pair: Pair) -> None:
        item = {"image": torch.from_numpy(pair[0][None]), "mask": torch.from_numpy(pair[1][None])}
        (folder / f"{number}.safetensors").write_bytes(encode(item, {}))

    def read(number: int) -> Pair:
        item = read_entry(folder / f"{number}.safetensors")[0]
        return item["image"], item["mask"]

    return write, read


def torch_save(folder: Path, size: tuple[int, int]) -> Format:
    def write(number: int, pair: Pair) -> None:
        torch.save([torch.from_numpy(part) for part in pair], folder / f"{number}.pt")

    return write, lambda number: torch.load(folder / f"{number}.pt", weights_only=True)


def npz(folder: Path, size: tuple[int, int]) -> Format:
    def write(number: int, pair: Pair) -> None:
        image, bits = levels(pair)
        np.savez(folder / f"{number}.npz", image=image, bits=bits)

    def read(number: int) -> Pair:
        with np.load(folder / f"{number}.npz", allow_pickle=False) as file:
            return shown(file["image"], file["bits"], size)

    return write, read


def png(folder: Path, size: tuple[int, int]) -> Format:
    def write(number: int, pair: Pair) -> None:
        cv2.imwrite(f"{folder}/{number}.png", levels(pair)[0])
        cv2.imwrite(f"{folder}/{number}-mask.png", pair[1].astype(np.uint8))

    def read(number: int) -> Pair:
        names = f"{folder}/{number}.png", f"{folder}/{number}-mask.png"
        image, mask = (np.asarray(cv2.imread(name, cv2.IMREAD_UNCHANGED)) for name in names)
        return image.astype(np.float32) / 65535, mask.astype(np.float32)

    return write, read


def lmdb(folder: Path, size: tuple[int, int]) -> Format:
    import lmdb

    environment: Any = lmdb.open(str(folder), map_size=1 << 33)

    def write(number: int, pair: Pair) -> None:
        with environment.begin(write=True) as transaction:
            transaction.put(str(number).encode(), b"".join(part.tobytes() for part in levels(pair)))

    def read(number: int) -> Pair:
        with environment.begin() as transaction:
            return split(transaction.get(str(number).encode()), size)

    return write, read


def zarr(folder: Path, size: tuple[int, int]) -> Format:
    import zarr

    group: Any = zarr.open_group(str(folder), mode="w")

    def write(number: int, pair: Pair) -> None:
        image, bits = levels(pair)
        group.create_array(f"{number}i", data=image, chunks=size)
        group.create_array(f"{number}m", data=bits)

    return write, lambda number: shown(group[f"{number}i"][:], group[f"{number}m"][:], size)


def shard(folder: Path, size: tuple[int, int]) -> Format:
    places: dict[int, tuple[int, int]] = {}

    def write(number: int, pair: Pair) -> None:
        content = b"".join(part.tobytes() for part in levels(pair))
        with tarfile.open(folder / "shard.tar", "a") as tar:
            entry = tarfile.TarInfo(f"{number}.bin")
            entry.size = len(content)
            places[number] = tar.offset + 512, len(content)
            tar.addfile(entry, io.BytesIO(content))

    def read(number: int) -> Pair:
        with open(folder / "shard.tar", "rb") as file:
            file.seek(places[number][0])
            return split(file.read(places[number][1]), size)

    return write, read


FORMATS: dict[str, Callable[[Path, tuple[int, int]], Format]] = {
    "safetensors, 16 + 1 bits, checksum (ours)": ours,
    "torch.save, float32 (PersistentDataset)": torch_save,
    "npz, 16 + 1 bits": npz,
    "PNG, 16 bits, and PNG of the mask": png,
    "tar shard with an index (webdataset style)": shard,
    "LMDB, 16 + 1 bits": lmdb,
    "Zarr 3, zstd": zarr,
}


LIBRARIES: dict[object, str] = {torch_save: "torch", png: "opencv-python-headless", lmdb: "lmdb", zarr: "zarr"}
"""Distributions that formats rest on; the others on numpy."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="224 x 224 only, 16 pictures")
    quick = parser.parse_args().quick
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    ratios: dict[str, float] = {}
    rows: list[Row] = []
    for size, count in [((224, 224), 16 if quick else 100)] + ([] if quick else [((1024, 512), 24)]):
        made = pictures(size, count)
        print(f"{size[0]} x {size[1]}, {count} pictures")
        print(f"{'format':46}{'write ms':>10}{'read ms':>10}{'KiB':>10}")
        first = 0.0
        for title, make in FORMATS.items():
            if make in (lmdb, zarr) and not find_spec(make.__name__):
                print(f"{title:46}  not installed")
                continue
            written, took, kib = measured(make, size, made)
            first = first or took
            ratios[f"{title} {size[0]}x{size[1]}"] = round(took / first, 2)
            print(f"{title:46}{written * 1e3:10.3f}{took * 1e3:10.3f}{kib:10.1f}")
            if make is not ours:
                what = f"reading a prepared picture, {size[0]} x {size[1]}"
                rows.append(valued(what, "s", first, took, title, LIBRARIES.get(make, "numpy")))
    finish(ratios, rows)


def measured(
    make: Callable[[Path, tuple[int, int]], Format], size: tuple[int, int], made: list[Pair]
) -> tuple[float, float, float]:
    """Seconds to write and to read a picture, and the KiB that it takes."""
    with tempfile.TemporaryDirectory() as name:
        write, read = make(Path(name), size)
        start = time.perf_counter()
        for number, pair in enumerate(made):
            write(number, pair)
        written = (time.perf_counter() - start) / len(made)
        return written, _read_time(read, len(made)), _bytes(name) / len(made) / 1024


def _read_time(read: Callable[[int], Pair], count: int) -> float:
    """Median over rounds of the seconds that one picture takes, in random order."""
    rounds = []
    for number in range(6):
        order = random.Random(number).sample(range(count), count)
        start = time.perf_counter()
        for index in order:
            for part in read(index):
                torch.as_tensor(part, dtype=torch.float32)
        rounds.append((time.perf_counter() - start) / count)
    return float(np.median(rounds[1:]))


def _bytes(folder: str) -> int:
    """Blocks that a folder takes on disk: LMDB's file is sparse."""
    return sum(path.stat().st_blocks * 512 for path in Path(folder).rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
