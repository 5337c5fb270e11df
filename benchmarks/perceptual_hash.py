"""How far the perceptual hash of a mammogram moves in copies of it, and how far apart different mammograms are.

    MAMMO_REAL_DATA=/folder python benchmarks/perceptual_hash.py [--quick]

With MAMMO_REAL_DATA all films of mini-MIAS and all subtracted images of CDD-CESM there are hashed, without it views of
phantom patients. Every few are hashed again after each of the changes below. The tables give distances in bits of
256 and how many copies are found at the threshold of the audit; then how near pictures of different patients, and
different pictures of one patient, come to each other, over all pairs and in the nearer orientation. Last, the search
is timed on hashes drawn with the correlations of these. The last line is one JSON object.
"""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from mammo.pipeline.datasets.perceptual_hash import THRESHOLD, hash_distance, near_duplicates, perceptual_hash
from mammo.pipeline.phantom import patient
from mammo.transforms.dicom import MammogramReader
from mammo.transforms.segmentation import segment_breast
from measuring import finish

Change = Callable[[np.ndarray], np.ndarray]
QUANTILES = (1e-5, 1e-4, 1e-3, 0.5)


class Picture(NamedTuple):
    """One mammogram: its group in the tables, whose it is, and a way to its float32 pixels in [0, 1]."""

    group: str
    owner: str
    read: Callable[[], np.ndarray]


def jpeg(image: np.ndarray) -> np.ndarray:
    coded = cv2.imencode(".jpg", np.rint(image * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_UNCHANGED), np.float32) / np.float32(255)


def resized(image: np.ndarray, factor: float) -> np.ndarray:
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=how)


def windowed(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """Cut off what is darker than ``low`` percent, or brighter than ``high`` percent, of the breast."""
    mask = cv2.resize(segment_breast(image).mask, image.shape[::-1], interpolation=cv2.INTER_NEAREST)
    first, last = np.percentile(image[mask > 0], [low, high]) if mask.any() else (0, 1)
    return np.clip((image - (first if low else 0)) / (last - (first if low else 0)), 0, 1).astype(np.float32)


def padded(image: np.ndarray) -> np.ndarray:
    return cv2.copyMakeBorder(image, 20, 60, 0, 100, cv2.BORDER_CONSTANT, value=0)


def turned(image: np.ndarray) -> np.ndarray:
    rows, columns = image.shape
    matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), 1, 1)
    return cv2.warpAffine(image, matrix, (columns, rows), borderMode=cv2.BORDER_REPLICATE)


def trimmed(image: np.ndarray) -> np.ndarray:
    edge = round(0.03 * len(image))
    return np.ascontiguousarray(image[edge:-edge])


def mirrored(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[:, ::-1])


CHANGES: dict[str, Change] = {
    "12 bits, darker": lambda image: (np.rint(image * 0.9 * 4095) / 4095).astype(np.float32),
    "8 bits": lambda image: (np.rint(image * 255) / 255).astype(np.float32),
    "JPEG 75": jpeg,
    "gamma 0.8": lambda image: image**0.8,
    "gamma 1.25": lambda image: image**1.25,
    "size -5 %": lambda image: resized(image, 0.95),
    "size +5 %": lambda image: resized(image, 1.05),
    "half size": lambda image: resized(image, 0.5),
    "mirrored": mirrored,
    "padded": padded,
    "brightest 3 % of the breast cut": lambda image: windowed(image, 0, 97),
    "and the darkest 1 %": lambda image: windowed(image, 1, 97),
    "mirrored, gamma 0.8, size -5 %, JPEG 75": lambda image: jpeg(resized(mirrored(image) ** 0.8, 0.95)),
    "turned by 1 degree": turned,
    "3 % trimmed above and below": trimmed,
}
NOT_PROMISED = ("turned by 1 degree", "3 % trimmed above and below")


def real_pictures(root: Path) -> list[Picture]:
    reader = MammogramReader()

    def pixels(path: Path) -> np.ndarray:
        return reader.read(path).pixels()

    found = []
    for name in ("mini_mias", "cdd_cesm"):
        # A film with several findings has several rows.
        table = pd.read_csv(root / name / "metadata.csv").drop_duplicates("image")
        found += [
            Picture(name, owner, partial(pixels, root / name / image))
            for image, owner in zip(table["image"], table["patient_id"], strict=True)
        ]
    return found


def phantom_pictures(patients: int) -> list[Picture]:
    views = [view for index in range(patients) for view in patient(index, seed=0, preset="standard")]
    return [Picture("phantom", str(view.case.index), view.image.copy) for view in views]


def copies(pictures: list[Picture], hashes: np.ndarray, step: int) -> dict[str, dict[str, np.ndarray]]:
    """Distances of changed pictures from their originals, by group and change."""
    moved: dict[str, dict[str, list[int]]] = {}
    for picture, original in list(zip(pictures, hashes, strict=True))[::step]:
        image = picture.read()
        for name, change in CHANGES.items():
            distance = hash_distance(perceptual_hash(change(image)), original)
            moved.setdefault(picture.group, {}).setdefault(name, []).append(int(distance))
    return {group: {name: np.array(found) for name, found in of.items()} for group, of in moved.items()}


def others(pictures: list[Picture], hashes: np.ndarray) -> dict[str, np.ndarray]:
    """Distances of all pairs: of different patients by group, and of one patient."""
    owners = np.array([f"{picture.group} {picture.owner}" for picture in pictures])
    groups = np.array([picture.group for picture in pictures])
    first, second = np.triu_indices(len(pictures), 1)
    distances = hash_distance(hashes[first], hashes[second])
    same = owners[first] == owners[second]
    found = {"one patient": distances[same]}
    for group in dict.fromkeys(groups):
        found[f"different patients, {group}"] = distances[~same & (groups[first] == group) & (groups[second] == group)]
    found["different patients, all pairs"] = distances[~same]
    return found


def search_seconds(hashes: np.ndarray, count: int) -> float:
    """Time to find all pairs among ``count`` hashes, drawn so that their bits agree as often as those of ``hashes``."""
    signs = 2.0 * np.unpackbits(hashes.view(np.uint8), axis=1) - 1
    # Bits of correlation c are signs of normal variables of correlation sin(c pi / 2).
    correlation = np.sin(np.corrcoef(signs, rowvar=False) * np.pi / 2)
    values, vectors = np.linalg.eigh(correlation)
    root = (vectors * np.sqrt(np.clip(values, 0, None))).astype(np.float32)
    rng = np.random.default_rng(0)
    parts = [
        rng.standard_normal((min(10_000, count - done), signs.shape[1]), np.float32) for done in range(0, count, 10_000)
    ]
    drawn = np.concatenate([np.packbits(part @ root.T > 0, axis=1) for part in parts]).view(np.uint64)
    start = time.perf_counter()
    near_duplicates(drawn)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer copies and a smaller search")
    parser.add_argument("--search", type=int, help="hashes to time the search on; 50 000 by default")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    root = os.environ.get("MAMMO_REAL_DATA")
    pictures = real_pictures(Path(root)) if root else phantom_pictures(8 if options.quick else 24)
    start = time.perf_counter()
    hashes = np.array([perceptual_hash(picture.read()) for picture in pictures])
    each = (time.perf_counter() - start) / len(pictures)
    step = (20 if options.quick else 6) if root else 4
    moved, apart = copies(pictures, hashes, step), others(pictures, hashes)
    count = options.search or (20_000 if options.quick else 50_000)
    print_tables(moved, apart)
    seconds = search_seconds(hashes, count)
    print(f"{len(pictures)} pictures read and hashed, {1e3 * each:.0f} ms each; {count} searched in {seconds:.1f} s")
    promised = [found for of in moved.values() for name, found in of.items() if name not in NOT_PROMISED]
    strangers = apart["different patients, all pairs"]
    result: dict[str, Any] = {
        "copies_found": round(float((np.concatenate(promised) <= THRESHOLD).mean()), 4),
        "different_patients_flagged": round(float((strangers <= THRESHOLD).mean()), 9),
        "nearest_different_patients_bits": int(strangers.min()),
        "nearest_of_one_patient_bits": int(apart["one patient"].min()),
        "search_us_per_hash": round(1e6 * seconds / count, 1),
    }
    finish(result)


def print_tables(moved: dict[str, dict[str, np.ndarray]], apart: dict[str, np.ndarray]) -> None:
    for group, found in moved.items():
        number = len(next(iter(found.values())))
        print(f"{f'{group}: {number} copies each':42}{'median':>8}{'95 %':>6}{'most':>6}{f'found at {THRESHOLD}':>13}")
        for name, distances in found.items():
            figures = np.median(distances), np.percentile(distances, 95), distances.max()
            print(
                f"  {name:40}{figures[0]:8.0f}{figures[1]:6.0f}{figures[2]:6d}{(distances <= THRESHOLD).mean():13.1%}"
            )
    columns = "".join(f"{f'{q:g}':>8}" for q in QUANTILES)
    print(f"{'distances of different pictures':42}{'pairs':>8}{'least':>8}{columns}{f'within {THRESHOLD}':>12}")
    for name, distances in apart.items():
        tail = "".join(f"{np.quantile(distances, q):8.0f}" for q in QUANTILES)
        print(f"  {name:40}{len(distances):8d}{distances.min():8d}{tail}{int((distances <= THRESHOLD).sum()):12d}")


if __name__ == "__main__":
    main()
