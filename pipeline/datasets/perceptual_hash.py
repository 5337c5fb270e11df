"""A perceptual hash of mammograms, and the search for pictures that look the same.

The hash is the sign of low-frequency cosine coefficients (Zauner 2010, "Implementation and benchmarking of
perceptual image hash functions"), here of the breast alone and made to outlast what copies of one mammogram
differ in:

1. the picture is averaged down, padding gives way to a frame, and the tone is made canonical, so that the breast is
   found alike at any gamma;
2. pixels become their rank inside the breast: any contrast curve that only rises leaves ranks as they are;
3. a window is laid by the mean and the spread of the breast, which a shift of the skin line hardly moves, and
   cut to 64 x 64, so that size and padding drop out;
4. local mean and contrast are levelled, else all breasts would share the sign of their overall shape.

Mirroring a picture turns the sign of the coefficients of odd column frequency and leaves the others. Half of the
bits are of each kind, so that the distance to a copy and to its mirror image come from one hash.

Measured by ``MAMMO_REAL_DATA=... python benchmarks/perceptual_hash.py`` on 214 films of mini-MIAS and 677 subtracted
images of CDD-CESM. Of 149 of them, all copies in fewer bits, as JPEG 75, with gamma 0.8 or 1.25, 5 % smaller or
larger, at half size, padded, mirrored, mirrored with three of these, or with the brightest 3 % of the breast cut off
lie within 24 bits of the original; with the darkest 1 % cut off too, 97 % do, turned by 1 degree 99 %, and with 3 %
of the rows trimmed above and below 57 %. Of 395 520 pairs of different patients none is within 24 bits: the nearest
are 39 apart among subtracted images, which show little but the outline, and 74 among films; the median is 120.
Different pictures of one patient are 68 apart or more. Ten times as many pairs come about 10 bits nearer. If that
goes on, the first pair by chance is due among 10 000 subtracted images, or 100 000 films: look at what is found.

Not found are copies with a hard window, such as a sigmoid that lifts the air (60 bits), and crops that lose tissue.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike

import cv2
import numpy as np
from scipy.fft import dctn

from ...transforms.dicom import MammogramReader
from ...transforms.segmentation import reduce_rows, reduction, segment_reduced

__all__ = [
    "BITS",
    "THRESHOLD",
    "check_threshold",
    "hash_distance",
    "hash_file",
    "near_duplicates",
    "perceptual_hash",
]

BITS = 256
"""Bits of a hash: 128 of even column frequency in words 0 and 1, 128 of odd frequency in words 2 and 3."""

THRESHOLD = 24
"""Largest distance at which two pictures are taken for the same; see the measurements above."""

_HALF = BITS // 2
_SIDE = 64  # of the levelled picture
_FAINT = 0.25  # ranks below count less and less: the skin line comes and goes with the window
_SPREADS = 2.0  # the window reaches this many standard deviations from the middle of the breast
_LEVELLING = 8.0  # standard deviation in pixels of the levelled picture
_LEAST_CONTRAST = 0.02  # of ranks in [0, 1]; flat tissue is not blown up beyond it
_BLACK_AND_WHITE = 1, 99.5  # percent of the frame
_FLAT = 0.02  # of the range from black to white: what JPEG leaves of one value
_LEAST_SIDE = 16
_FRAME = 0.15  # of the longer side
_TONE_STEPS = 6
_TONE_ENOUGH = 0.01
_MEDIANS = 1 / 64, 0.98  # of the brightest; what lies outside tells no gamma
_RANKS = 4096
_TINY = float(np.finfo(np.float32).tiny)
_BLOCK = 512  # hashes compared with as many at a time: the result stays in a core's cache


def _frequencies() -> np.ndarray:
    """Row and column frequency of each bit, ``(BITS, 2)``: the lowest of each parity, without the mean."""
    rows, columns = np.mgrid[:_SIDE, :_SIDE].reshape(2, -1)
    order = np.lexsort((columns, rows, rows**2 + columns**2))[1:]
    halves = [order[columns[order] % 2 == parity][:_HALF] for parity in (0, 1)]
    chosen = np.concatenate(halves)
    return np.stack([rows[chosen], columns[chosen]], axis=1)


_FREQUENCIES = _frequencies()


def hash_file(path: str | PathLike[str], frame: int | str | None = None) -> np.ndarray:
    """Hash a mammogram in any format that :class:`~mammo.transforms.MammogramReader` reads.

    Args:
        path: the file.
        frame: of a multi-frame object, or ``"max"``.

    Returns:
        ``(4,)`` uint64, see :data:`BITS`.

    Raises:
        MammogramError: for a file that cannot be used.
    """
    picture = MammogramReader(frame=frame).read(path)
    return _hash_reduced(reduce_rows(picture.rows, picture.shape, reduction(picture.shape)))


def perceptual_hash(image: np.ndarray) -> np.ndarray:
    """Hash a float32 picture ``(H, W)`` with values from 0, air, upwards; see :func:`hash_file`."""
    shape = image.shape[0], image.shape[1]
    return _hash_reduced(reduce_rows(lambda rows: image[rows], shape, reduction(shape)))


def hash_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Bits in which hashes differ, 0 to 192, in the orientation, as it is or mirrored, in which they differ less.

    Args:
        first: ``(..., 4)`` uint64.
        second: the same, broadcast against ``first``.

    Returns:
        int64, without the last axis.
    """
    differing = np.bitwise_count(first ^ second).astype(np.int64)
    even, odd = differing[..., :2].sum(axis=-1), differing[..., 2:].sum(axis=-1)
    return even + np.minimum(odd, _HALF - odd)


def near_duplicates(hashes: np.ndarray, threshold: int = THRESHOLD) -> tuple[np.ndarray, np.ndarray]:
    """Find all pairs of hashes at most ``threshold`` apart, mirrored or not.

    The bits are cut into ``threshold + 1`` bands: hashes that differ in at most ``threshold`` bits are equal in
    one band at least, so only pairs that share a band are compared, and none is missed. Half a million hashes
    drawn with the correlations of real ones take 100 s of one core (``--search 500000`` of the benchmark).

    Args:
        hashes: ``(N, 4)`` uint64, as :func:`hash_file` gives them.
        threshold: from 0 up to 64, a quarter of the bits; unrelated pictures are about 118 apart.

    Returns:
        Pairs ``(P, 2)`` int64, the smaller index first, in ascending order, and their distances ``(P,)``.

    Raises:
        ValueError: for a threshold out of range or hashes of another shape.
    """
    check_threshold(threshold)
    if hashes.ndim != 2 or hashes.shape[1] != BITS // 64 or hashes.dtype != np.uint64:
        raise ValueError(f"hashes must be (N, {BITS // 64}) uint64, got {hashes.shape} {hashes.dtype}")
    bits = np.unpackbits(np.ascontiguousarray(hashes).view(np.uint8), axis=1)
    found = np.empty(0, np.int64)
    for keys in _band_keys(bits, threshold + 1):
        found = np.union1d(found, _pairs_with_equal_keys(hashes, keys, threshold))
    first, second = np.divmod(found, max(len(hashes), 1))
    pairs = np.stack([first, second], axis=1)
    return pairs, hash_distance(hashes[first], hashes[second])


def check_threshold(threshold: int) -> None:
    """Refuse a distance at which unrelated pictures would be taken for the same."""
    if not 0 <= threshold <= BITS // 4:
        raise ValueError(f"threshold must be from 0 to {BITS // 4} of the {BITS} bits, got {threshold}")


def _band_keys(bits: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """For each of ``count`` bands a uint64 key of each hash, equal where the hashes agree in the band.

    A band lies in one half. In the odd one a hash and its complement get the same key, for mirror images; of a
    band of more than 64 bits the first 64 do.
    """
    for half, bands in enumerate(((count + 1) // 2, count // 2)):
        of_half = bits[:, half * _HALF : (half + 1) * _HALF]
        for band in range(bands):
            part = of_half[:, band::bands][:, :64]
            if half:
                part = part ^ part[:, :1]
            padded = np.zeros((len(bits), 64), np.uint8)
            padded[:, : part.shape[1]] = part
            yield np.packbits(padded, axis=1).view(np.uint64)[:, 0]


def _pairs_with_equal_keys(hashes: np.ndarray, keys: np.ndarray, threshold: int) -> np.ndarray:
    """Pairs of close hashes as ``smaller * N + larger``, int64, among those of equal keys."""
    order = np.argsort(keys, kind="stable")
    edges = np.flatnonzero(np.diff(keys[order])) + 1
    starts, ends = np.append(0, edges), np.append(edges, len(order))
    pairs = [np.empty(0, np.int64)]
    for start, end in zip(starts[ends - starts > 1], ends[ends - starts > 1], strict=True):
        members = order[start:end]  # ascending, since the sort is stable
        blocks = [members[first : first + _BLOCK] for first in range(0, len(members), _BLOCK)]
        for number, left in enumerate(blocks):
            pairs += [_close_pairs(hashes, left, right, threshold) for right in blocks[number:]]
    return np.concatenate(pairs)


def _close_pairs(hashes: np.ndarray, left: np.ndarray, right: np.ndarray, threshold: int) -> np.ndarray:
    # One word of the even half alone rules nearly all pairs out.
    near = np.bitwise_count(hashes[left, 1][:, None] ^ hashes[right, 1]) <= threshold
    first, second = (members[index] for members, index in zip((left, right), np.nonzero(near), strict=True))
    close = (first < second) & (hash_distance(hashes[first], hashes[second]) <= threshold)
    return first[close] * len(hashes) + second[close]


def _hash_reduced(small: np.ndarray) -> np.ndarray:
    small = _framed(small)
    mask = segment_reduced(_canonical_tone(small), 1).mask > 0
    if not mask.any():  # no breast was found: the whole picture is compared
        mask = np.ones_like(mask)
    coefficients = dctn(_levelled(_ranks(small, mask)), norm="ortho")
    bits = coefficients[_FREQUENCIES[:, 0], _FREQUENCIES[:, 1]] > 0
    return np.packbits(bits).view(np.uint64)


def _framed(small: np.ndarray) -> np.ndarray:
    """Cut off rows and columns at the edges that hold one value, padding or air, and lay a black frame around.

    A film's air is gray: whether black lies beside it decides what is found to be breast.
    """
    darkest, brightest = np.percentile(small, _BLACK_AND_WHITE)
    parts = []
    for axis in (0, 1):
        kept = np.flatnonzero(np.ptp(small, axis=1 - axis) > _FLAT * (brightest - darkest))
        parts.append(slice(kept[0], kept[-1] + 1) if len(kept) > _LEAST_SIDE else slice(None))
    inner = small[parts[0], parts[1]]
    width = round(_FRAME * max(inner.shape))
    return cv2.copyMakeBorder(inner, width, width, width, width, cv2.BORDER_CONSTANT, value=0)


def _canonical_tone(small: np.ndarray) -> np.ndarray:
    """The picture at the gamma that takes the median of its tissue to a half of the brightest.

    Tissue is what passes Otsu's threshold; the steps are repeated until they change nothing, and end at the
    same picture whatever the gamma was.
    """
    brightest = max(float(np.percentile(small, _BLACK_AND_WHITE[1])), _TINY)
    shown = np.clip(small / brightest, 0, 1).astype(np.float32)
    for _ in range(_TONE_STEPS):
        level = np.rint(255 * np.cbrt(shown)).astype(np.uint8)
        threshold = cv2.threshold(level, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0]
        tissue = shown[level > threshold]
        if not tissue.size:
            break
        gamma = np.log(0.5) / np.log(np.clip(np.median(tissue), *_MEDIANS))
        shown **= np.float32(gamma)
        if abs(gamma - 1) < _TONE_ENOUGH:
            break
    return shown


def _ranks(small: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The share of the breast that is darker than each of its pixels, float32; 0 outside."""
    inside = small[mask]
    low, high = float(inside.min()), float(inside.max())
    level = ((inside - low) / max(high - low, _TINY) * (_RANKS - 1)).astype(np.int64)
    counts = np.bincount(level, minlength=_RANKS)
    ranks = np.zeros(small.shape, np.float32)
    ranks[mask] = ((np.cumsum(counts) - counts / 2) / inside.size)[level]
    return ranks


def _levelled(ranks: np.ndarray) -> np.ndarray:
    """Cut the breast to ``(_SIDE, _SIDE)`` and level its local mean and contrast; 0 outside."""
    weight = np.clip(ranks / _FAINT, 0, 1)
    window = [_span(weight.sum(axis=1 - axis)) for axis in (0, 1)]
    weight, values = _cut(weight, window), _cut(ranks * weight, window)
    near = np.maximum(_smooth(weight), 1e-3)
    values = values - weight * (_smooth(values) / near)
    return values / (np.sqrt(_smooth(values**2) / near) + _LEAST_CONTRAST)


def _span(profile: np.ndarray) -> tuple[float, float]:
    """First and last edge in pixels around the middle of a profile; it may reach beyond the picture."""
    places = np.arange(len(profile)) + 0.5
    middle = float(np.average(places, weights=profile))
    spread = float(np.sqrt(np.average((places - middle) ** 2, weights=profile)))
    reach = _SPREADS * max(spread, 0.5)
    return middle - reach, middle + reach


def _cut(picture: np.ndarray, window: list[tuple[float, float]]) -> np.ndarray:
    (top, bottom), (left, right) = window
    rows, columns = (bottom - top) / _SIDE, (right - left) / _SIDE  # pixels for one of the result
    matrix = np.array([[columns, 0, left + columns / 2 - 0.5], [0, rows, top + rows / 2 - 0.5]])
    soft = cv2.GaussianBlur(picture, (0, 0), sigmaX=max(columns / 2, 0.3), sigmaY=max(rows / 2, 0.3))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(soft, matrix, (_SIDE, _SIDE), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=0)


def _smooth(picture: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), _LEVELLING, borderType=cv2.BORDER_REFLECT)
