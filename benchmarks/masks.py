"""How right the breast masks are, ours and the published recipe's, on outlined real images and on phantoms.

A mask is a failure where its IoU (intersection over union) with the truth is below 0.90. "Missed" is the share of the
breast that is left out, "air" the area taken in beside the breast as a share of the breast; "edge" is the mean distance
of the two outlines, in % of the long side of the picture and, where the spacing is known, in mm. Intervals are 95 %
percentile intervals of 2000 bootstrap draws of patients. "Hard" images were chosen because our masks of an earlier
version were wrong on them, so these rows are no estimate of how often masks fail.

Then the quality codes on all real images, the pectoral muscle, and the cost of one segmentation.
``MAMMO_REAL_DATA=/folder python benchmarks/masks.py [--quick]``; without the folder, phantoms only. The last line is
one JSON object.
"""

import argparse
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and torch start their threads

import cv2
import numpy as np
from mammo.pipeline.metrics.intervals import Interval, bootstrap_all
from mammo.transforms import MaskQuality
from mammo.transforms.pectoral import PectoralQuality, pectoral_muscle
from mammo.transforms.segmentation import Segmentation, reduce_picture, segment_reduced
from mask_cases import Case, outlined, phantoms, pixels, real_images, source_of
from measuring import PUBLISHED, Row, finish, valued
from published import published_mask

FAILURE = 0.90
FRAME_RIM = 0.01  # of the long side
MEASURES = ("IoU", "Dice", "missed", "air", "edge", "failed")
Scores = dict[str, float]
Found = tuple[Case, str, Scores, str]
"""Case, method, scores and quality code ("" where the method has none)."""


def full_size(small: np.ndarray, factor: int, shape: tuple[int, ...]) -> np.ndarray:
    """Repeat each element ``factor`` times; the rest of a division belongs to the last one."""
    large = np.repeat(np.repeat(small, factor, axis=0), factor, axis=1)
    return np.pad(large, [(0, n - m) for n, m in zip(shape, large.shape, strict=True)], mode="edge")


def ours(image: np.ndarray) -> tuple[np.ndarray, Segmentation, np.ndarray]:
    """Our mask at full size, the segmentation, and the reduced picture."""
    small, factor = reduce_picture(image)
    found = segment_reduced(small, factor)
    return full_size(found.mask, factor, image.shape), found, small


def published(image: np.ndarray) -> np.ndarray:
    """Mask of the published recipe, which stretches the picture to [0, 1] first."""
    low, high = float(image.min()), float(image.max())
    return published_mask((image - low) / max(high - low, float(np.finfo(np.float32).tiny)))


def edge(mask: np.ndarray) -> np.ndarray:
    """Outline of a mask as bool ``(H, W)``, without what lies along the frame: that is the detector's edge."""
    outline = (mask > 0) & (cv2.erode(mask, np.ones((3, 3), np.uint8)) == 0)
    rim = max(round(FRAME_RIM * max(mask.shape)), 1)
    inside = np.zeros_like(outline)
    inside[rim:-rim, rim:-rim] = True
    return outline & inside


def edge_distance(mask: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance of two outlines in % of the long side, both ways; the long side where one has none."""
    outlines = edge(mask), edge(truth)
    if not (outlines[0].any() and outlines[1].any()):
        return 100.0
    away = [cv2.distanceTransform((~part).astype(np.uint8), cv2.DIST_L2, 5) for part in outlines]
    mean = (away[1][outlines[0]].mean() + away[0][outlines[1]].mean()) / 2
    return 100 * float(mean) / max(mask.shape)


def score(mask: np.ndarray, truth: np.ndarray, spacing_mm: float | None = None) -> Scores:
    """All measures of one mask: shares of 1, the edge in % of the long side and in mm, NaN where nobody knows."""
    both, either = int((mask & truth).sum()), int((mask | truth).sum())
    area, true = int(mask.sum()), int(truth.sum())
    iou, away = both / max(either, 1), edge_distance(mask, truth)
    return {
        "IoU": iou,
        "Dice": 2 * both / max(area + true, 1),
        "missed": 1 - both / max(true, 1),
        "air": (area - both) / max(true, 1),
        "edge": away,
        "mm": away / 100 * max(mask.shape) * (spacing_mm or float("nan")),
        "failed": float(iou < FAILURE),
    }


def mean_of(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Weighted mean as a statistic of row weights ``(D, n)``."""
    return lambda weights: weights @ values / weights.sum(axis=1)


def intervals(found: list[Found]) -> dict[str, Interval]:
    """Mean of each measure with its interval; patients are drawn."""
    statistics = {name: mean_of(np.array([scores[name] for _, _, scores, _ in found])) for name in MEASURES}
    return bootstrap_all(statistics, [case.patient for case, _, _, _ in found])


def shown(interval: Interval, percent: bool = False) -> str:
    scale, digits = (100, 1) if percent else (1, 3)
    ends = (interval.value, interval.low, interval.high)
    value, low, high = ("-" if end is None else f"{scale * end:.{digits}f}" for end in ends)
    return f"{value} ({low} to {high})"


def compare(cases: Iterator[Case]) -> list[Found]:
    """Score both methods on every case whose breast is known."""
    found = []
    for case in cases:
        if case.breast is None:
            continue
        mask, segmentation, _ = ours(case.image)
        bare = case._replace(image=np.empty(0), breast=None, muscle=None)
        for method, made, code in (
            ("ours", mask, segmentation.quality.value),
            ("published", published(case.image), ""),
        ):
            found.append((bare, method, score(made, case.breast, case.spacing_mm), code))
    return found


def print_masks(found: list[Found]) -> dict[str, dict[str, float]]:
    """Print one row a group and method; return the ratios of the failures and the differences of the IoU."""
    columns = ("IoU", "Dice", "missed %", "air %", "edge %", "edge mm", "failed %")
    print(f"{'group':38}{'n':>4} {'method':10}" + "".join(f"{name:>24}" for name in columns))
    rows = defaultdict(list)
    for row in found:
        rows[row[0].group, row[1]].append(row)
    result: dict[str, dict[str, float]] = defaultdict(dict)
    for (group, method), part in rows.items():
        values = intervals(part)
        mm = float(np.mean([scores["mm"] for _, _, scores, _ in part]))
        cells = [shown(values["IoU"]), shown(values["Dice"]), *(shown(values[n], True) for n in ("missed", "air"))]
        cells += [shown(values["edge"]), "-" if np.isnan(mm) else f"{mm:.2f}", shown(values["failed"], True)]
        print(f"{group:38}{len(part):4} {method:10}" + "".join(f"{cell:>24}" for cell in cells))
        result[group][f"{method}_iou"] = round(float(values["IoU"].value or 0), 4)
        result[group][f"{method}_failed"] = round(float(values["failed"].value or 0), 4)
    return dict(result)


def print_confusion(found: list[Found]) -> dict[str, int]:
    """Print how quality ok goes with a right mask, on real images and on phantoms."""
    counts: Counter[str] = Counter()
    for case, method, scores, code in found:
        if method == "ours":
            kind = "phantom" if case.group.startswith("phantom") else "real"
            right = "right" if scores["IoU"] >= FAILURE else "wrong"
            counts[f"{kind}, {'ok' if code == MaskQuality.OK else 'not ok'}, {right}"] += 1
    print(f"\nquality code against the truth (right: IoU >= {FAILURE})")
    for name, count in sorted(counts.items()):
        print(f"{name:38}{count:4}")
    return dict(counts)


def print_codes(root: Path, every: int) -> tuple[dict[str, int], float]:
    """Print each code's rate over all real images; return the counts and the milliseconds of one segmentation."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    odd, seconds = [], []
    for path in real_images(root)[::every]:
        name = str(path.relative_to(root))
        small, factor = reduce_picture(pixels(path))
        start = time.perf_counter()
        found = segment_reduced(small, factor)
        seconds.append(time.perf_counter() - start)
        counts[source_of(name)][found.quality.value] += 1
        if found.quality != MaskQuality.OK:
            odd.append(f"{name}: {found.quality.value}")
    print("\nquality codes of all real images")
    for source, codes in counts.items():
        total = sum(codes.values())
        print(
            f"{source:38}{total:4} " + ", ".join(f"{code} {n} ({100 * n / total:.1f} %)" for code, n in codes.items())
        )
    print("\n".join(odd))
    return dict(sum(counts.values(), Counter())), 1e3 * float(np.median(seconds))


def print_muscles(cases: Iterator[Case], root: Path | None, every: int) -> dict[str, float]:
    """Print how often the pectoral muscle is found where it is visible, how well, and where there is none."""
    rows: dict[str, list[float]] = defaultdict(list)  # IoU, NaN where nothing was found
    for case in cases:
        if case.muscle is not None:
            group = case.group if case.muscle.any() else f"{case.group.split(',')[0]}, no muscle"
            rows[group].append(muscle_iou(case.image, case.muscle))
    for path in real_images(root)[::every] if root else []:
        source, name = source_of(str(path.relative_to(root))), path.stem
        if source == "mini-MIAS" or "CC" in name:
            rows[f"{source}, no muscle"].append(muscle_iou(pixels(path), None))
    print(f"\npectoral muscle{'':23}{'n':>4}{'found':>7}{'mean IoU of found':>19}{'lowest':>8}")
    result = {}
    for group, values in rows.items():
        found = [value for value in values if not np.isnan(value)]
        quality = f"{np.mean(found):19.3f}{min(found):8.3f}" if found and "no muscle" not in group else ""
        print(f"{group:38}{len(values):4}{len(found):7}{quality}")
        result[group] = round(len(found) / len(values), 4)
    return result


def muscle_iou(image: np.ndarray, truth: np.ndarray | None) -> float:
    """IoU of the muscle that was found, NaN where none was; the view is not told."""
    _, found, small = ours(image)
    muscle = pectoral_muscle(small, found.mask, found.wall)
    if muscle.quality != PectoralQuality.FOUND:
        return float("nan")
    return 0.0 if truth is None else score(full_size(muscle.mask, found.factor, image.shape), truth)["IoU"]


def draw(path: Path) -> None:
    """Write a picture of one phantom as hospitals alter it, with the truth (white), ours (green), published (red)."""
    shown = []
    for case in phantoms(1):
        if case.breast is None or case.name != "0 RIGHT MLO":
            continue
        picture = cv2.cvtColor((255 * case.image.clip(0, 1)).astype(np.uint8), cv2.COLOR_GRAY2BGR)
        masks = case.breast, published(case.image), ours(case.image)[0]
        for mask, colour in zip(masks, ((255, 255, 255), (60, 60, 255), (0, 220, 0)), strict=True):
            contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(picture, contours, -1, colour, 3)
        shown.append(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    cv2.imwrite(str(path), np.hstack(shown), [cv2.IMWRITE_PNG_COMPRESSION, 9])


def rows_of(masks: dict[str, dict[str, float]]) -> list[Row]:
    """Overlap with the truth beside that of the published recipe, by group."""
    libraries = "opencv-python-headless", "scikit-image"
    return [
        valued(f"breast mask, {group}", "IoU", values["ours_iou"], values["published_iou"], PUBLISHED, *libraries)
        for group, values in masks.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few phantoms, every 4th outline, every 20th image")
    parser.add_argument("--picture", type=Path, help="only write a picture of a phantom with its masks to this file")
    options = parser.parse_args()
    quick = options.quick
    cv2.setNumThreads(1)
    if options.picture:
        draw(options.picture)
        return
    folder = os.environ.get("MAMMO_REAL_DATA", "")
    root = Path(folder) if Path(folder, "manifest.csv").is_file() else None
    patients, outlines_step, images_step = (2, 4, 20) if quick else (20, 1, 1)

    def cases() -> Iterator[Case]:
        if root:
            yield from outlined(root, outlines_step)
        yield from phantoms(patients)

    found = compare(cases())
    masks = print_masks(found)
    report: dict[str, object] = {"masks": masks, "confusion": print_confusion(found)}
    if root:
        report["codes"], report["segmentation_ms"] = print_codes(root, images_step)
    report["muscle_found"] = print_muscles(cases(), root, images_step)
    finish(report, rows_of(masks))


if __name__ == "__main__":
    main()
