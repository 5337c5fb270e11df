"""The region of the breast in a reduced picture: a core that is surely tissue, grown to the skin line.

1. Bars along the frame are cut off: black ones that pad a film to a square, white ones around it.
2. The core is what passes Otsu's threshold, or that of the picture equalised by CLAHE. An opening cuts labels and tape
   off; the largest component stays.
3. The skin is what stands out from the air beside it. Film fog is uneven, and black padding may lie beyond it, so the
   air is measured in a ring around the core, as a root mean square: fog then counts more than black.
4. Where a bright object (an implant, the muscle, a saturated rim) has drawn the threshold up, fat lies below it.
   The lower of the two thresholds of Otsu's method for three classes is above air then, and a second core is made of
   it. It is taken where it is much larger and does not spill over the film.
5. Holes, and gaps in the chest wall, are filled.

All lengths are shares of the long side of the reduced picture, which is about 320 px.
"""

import cv2
import numpy as np
from skimage.filters import threshold_multiotsu

__all__ = ["breast_region", "pixels"]

_OPENING = 0.022  # film borders and label strips are thinner, breasts are not
_AIR_DISTANCE = 0.05  # pixels this far from the core are taken for air
_AIR_REACH = 0.12  # and those further away are not beside the skin
_SKIN_DISTANCE = 0.08  # the skin line is sought no further from the core
_AIR_SMOOTHING = 0.12
_COARSE = 4  # the level of the air is smooth, so it is worked out on every fourth pixel
_LEAST_AIR = 0.02  # of a neighbourhood, to be measured there
_SKIN_LEVEL = 0.2  # skin begins this far up from the air to the core's threshold
_AIR_NOISE_SD = 4.0
_MOST_NOISE = 8.0  # levels; more is uneven fog, not noise
_LARGEST_GAP = 0.15  # of the mask
_MUCH_LARGER = 1.1
_SPILL = 0.15  # of the width of the frame, at its upper and lower border
_BITES = 0.1  # of the convex hull
_BINS = 64
_ALIKE = 18  # levels
_UNIFORM = 0.95  # of a line
_BLUNT = 3  # lines over which the reducing and the median blur the end of a bar
_ABRUPT = 0.5  # of a line
_LEAST_FILM = 0.2  # of a side of the picture


def breast_region(level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the breast in ``level``, uint8 ``(H, W)``, the brightness of a reduced picture.

    Returns:
        The mask, uint8 {0, 1}, zero where nothing is bright and thick enough; and the areas in pixels of all regions
        of the core, ascending.
    """
    window = _film(level)
    if window == (slice(0, level.shape[0]), slice(0, level.shape[1])):
        return _region(level)
    mask = np.zeros_like(level)
    mask[window], areas = breast_region(np.ascontiguousarray(level[window]))  # there may be bars within bars
    return mask, areas


def pixels(image: np.ndarray, share: float) -> int:
    """Return a share of the long side of ``image`` in pixels, 1 at least."""
    return max(1, round(share * max(image.shape)))


def _film(level: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns inside bars along the frame: black ones that pad a film, white ones around it."""
    rows = slice(_bar(level), len(level) - _bar(level[::-1]))
    columns = slice(_bar(level.T), level.shape[1] - _bar(level.T[::-1]))
    if min((rows.stop - rows.start) / level.shape[0], (columns.stop - columns.start) / level.shape[1]) < _LEAST_FILM:
        return slice(0, level.shape[0]), slice(0, level.shape[1])
    return rows, columns


def _bar(lines: np.ndarray) -> int:
    """How many of the first ``lines`` are a bar: alike from end to end, and all at once followed by something else.

    Air is alike, too, but the breast comes into it little by little.
    """
    first = lines[0]
    typical = int(np.median(first))
    if np.count_nonzero(cv2.absdiff(first, np.full_like(first, typical)) > _ALIKE) > (1 - _UNIFORM) * first.size:
        return 0
    other = cv2.inRange(lines, max(typical - _ALIKE, 0), min(typical + _ALIKE, 255)) == 0
    share = other.mean(axis=1)
    ends = np.flatnonzero(share > 1 - _UNIFORM)
    if not ends.size or share[ends[0] : ends[0] + _BLUNT].max() < _ABRUPT:
        return 0
    return int(ends[0])


def _region(level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    threshold = _otsu(level)
    equalised = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(8, 8)).apply(level)
    bright = (level > threshold) | (equalised > _otsu(equalised))
    core, areas = _largest(_open(bright.astype(np.uint8)))
    if not len(areas):
        return core, areas
    mask = _complete(level, core, threshold)
    above_air = (level > _lower_threshold(level)).astype(np.uint8)
    if cv2.countNonZero(above_air) <= _MUCH_LARGER * cv2.countNonZero(mask):
        return mask, areas
    core, wide_areas = _largest(_open(above_air))
    if cv2.countNonZero(core) <= _MUCH_LARGER * cv2.countNonZero(mask):
        return mask, areas
    wide = _complete(level, core, threshold)
    return (mask, areas) if _spills(wide, mask) else (wide, wide_areas)


def _otsu(values: np.ndarray) -> float:
    return cv2.threshold(values.reshape(1, -1), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0]


def _lower_threshold(level: np.ndarray) -> float:
    counts = cv2.calcHist([level], [0], None, [_BINS], [0, 256]).ravel()
    if np.count_nonzero(counts) < 3:  # no three classes
        return _otsu(level)
    return float(threshold_multiotsu(classes=3, hist=(counts, (np.arange(_BINS) + 1) * (256 / _BINS) - 1))[0])


def _complete(level: np.ndarray, core: np.ndarray, threshold: float) -> np.ndarray:
    return _fill_holes(_grow_to_skin(level, core, threshold))


def _open(mask: np.ndarray) -> np.ndarray:
    """Remove what is thinner than the opening, at the borders of the frame too."""
    size = pixels(mask, _OPENING)
    padded = cv2.copyMakeBorder(mask, size, size, size, size, cv2.BORDER_CONSTANT, value=0)
    # A rectangle keeps the corners of a breast that is cut by the frame; the ellipse gives back its curves.
    kept = cv2.morphologyEx(padded, cv2.MORPH_OPEN, np.ones((size, size), np.uint8))
    near = cv2.dilate(kept, _ellipse(size))
    return cv2.bitwise_and(padded, near)[size:-size, size:-size]


def _grow_to_skin(level: np.ndarray, core: np.ndarray, threshold: float) -> np.ndarray:
    away = cv2.distanceTransform(1 - core, cv2.DIST_L2, cv2.DIST_MASK_3)
    beside = (away > pixels(core, _AIR_DISTANCE)) & (away < pixels(core, _AIR_REACH))
    air = beside & (level < threshold)  # labels and tape are no air
    if not air.any():
        return core
    sample = level[air][::4]
    typical = float(np.median(sample))
    noise = 1.4826 * float(np.median(np.abs(sample - typical)))
    local = _local_level(level, air, typical)
    rise = np.maximum(_AIR_NOISE_SD * min(noise, _MOST_NOISE), _SKIN_LEVEL * (threshold - local))
    skin = (level > local + rise) & (away <= pixels(core, _SKIN_DISTANCE))
    return _joined(np.ascontiguousarray(_smooth(_open(skin.astype(np.uint8) | core))), core)


def _local_level(level: np.ndarray, air: np.ndarray, typical: float) -> np.ndarray:
    """Root mean square of the air around each pixel; ``typical`` where there is none near."""
    full = level.shape[::-1]
    coarse = tuple(max(n // _COARSE, 1) for n in full)
    weight = cv2.resize(air.astype(np.float32), coarse, interpolation=cv2.INTER_AREA)
    power = cv2.resize(np.square(level * air, dtype=np.float32), coarse, interpolation=cv2.INTER_AREA)
    size = (2 * pixels(weight, _AIR_SMOOTHING) + 1,) * 2
    weight, power = (cv2.blur(part, size, borderType=cv2.BORDER_REPLICATE) for part in (weight, power))
    mean = np.where(weight > _LEAST_AIR, np.sqrt(power / np.maximum(weight, _LEAST_AIR)), np.float32(typical))
    return cv2.resize(mean, full, interpolation=cv2.INTER_LINEAR)


def _smooth(mask: np.ndarray) -> np.ndarray:
    size = pixels(mask, _OPENING)
    padded = cv2.copyMakeBorder(mask, size, size, size, size, cv2.BORDER_REPLICATE)
    return cv2.morphologyEx(padded, cv2.MORPH_CLOSE, _ellipse(size))[size:-size, size:-size]


def _largest(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest component of ``mask`` and the areas of all, ascending."""
    count, labels = cv2.connectedComponents(mask, connectivity=4, ltype=cv2.CV_16U)
    areas = np.bincount(labels.ravel(), minlength=count)[1:]
    if count < 2:
        return np.zeros_like(mask), areas
    return (labels == 1 + np.argmax(areas)).astype(np.uint8), np.sort(areas)


def _joined(mask: np.ndarray, core: np.ndarray) -> np.ndarray:
    """Return the component of ``mask`` that holds ``core``, which is one piece of it."""
    row, column = divmod(int(core.argmax()), core.shape[1])
    cv2.floodFill(mask, None, (column, row), 2)
    return mask >> 1


def _spills(wide: np.ndarray, mask: np.ndarray) -> bool:
    """Whether ``wide`` runs over the film beside the breast: it follows the frame, and is no rounder than ``mask``."""
    added = sum(float(wide[row].mean() - mask[row].mean()) for row in (0, -1))
    return added > _SPILL and _solidity(wide) < _solidity(mask) + _BITES


def _solidity(mask: np.ndarray) -> float:
    """Share of the convex hull of ``mask`` that it fills."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = cv2.contourArea(cv2.convexHull(np.concatenate(contours)))
    return cv2.countNonZero(mask) / max(hull, 1.0)


def _fill_holes(mask: np.ndarray) -> np.ndarray:
    """Fill holes, and gaps in the chest wall (skin folds, implants) that open to the side of the frame."""
    filled = _fill_enclosed(mask)
    padded = cv2.copyMakeBorder(filled, 0, 0, 1, 1, cv2.BORDER_CONSTANT, value=0)
    for column, inner in ((0, 1), (-1, -2)):
        touching = np.flatnonzero(padded[:, inner])
        if touching.size:
            padded[touching[0] : touching[-1] + 1, column] = 1
    closed = _fill_enclosed(padded)[:, 1:-1]
    return closed if closed.sum() <= (1 + _LARGEST_GAP) * filled.sum() else filled


def _fill_enclosed(mask: np.ndarray) -> np.ndarray:
    outside = cv2.copyMakeBorder(1 - mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    cv2.floodFill(outside, None, (0, 0), 2)
    return (outside[1:-1, 1:-1] != 2).astype(np.uint8)


def _ellipse(size: int) -> np.ndarray:
    odd = size | 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (odd, odd))
