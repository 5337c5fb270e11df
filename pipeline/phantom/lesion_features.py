"""What a reader would measure inside a lesion's true box: edge, outline and spicules, or the specks of a cluster."""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks
from skimage.measure import label, regionprops
from sklearn.metrics import pairwise_distances

from .strokes import Image
from .views import View

Features = NDArray[np.float64]

_MASS_FEATURES, _CLUSTER_FEATURES = 18, 13
_RADII, _ANGLES = 48, 180
_EDGE = _RADII / 1.3  # radial index of the edge of a mass, whose box is 1.3 times as large


def _unrolled(view: View) -> Image:
    """The box in elliptical coordinates around its centre, ``(angles, radii)``: nothing outside it is looked at."""
    assert view.lesion is not None
    row0, column0, row1, column1 = view.lesion.box
    box = cv2.GaussianBlur(view.image[row0:row1, column0:column1], (0, 0), 0.7)
    half = np.array(box.shape) / 2
    angles = np.arange(_ANGLES)[:, None] * 2 * np.pi / _ANGLES
    radii = (np.arange(_RADII)[None] + 0.5) / _RADII
    rows = half[0] - 0.5 + radii * half[0] * np.sin(angles)
    columns = half[1] - 0.5 + radii * half[1] * np.cos(angles)
    places = columns.astype(np.float32), rows.astype(np.float32)
    polar = cv2.remap(box, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(polar, np.float32)


def _part(polar: Image, first: float, last: float) -> Image:
    """The ring between two radii, in radii of the mass."""
    return polar[:, round(first * _EDGE) : round(last * _EDGE)]


def _high_pass(ring: Image) -> Image:
    """Take away what changes slowly around the ring (over 42 degrees)."""
    around = cv2.copyMakeBorder(ring, 10, 10, 0, 0, cv2.BORDER_WRAP)
    return ring - cv2.blur(around, (1, 21))[10:-10]


def _ring(ring: Image) -> list[float]:
    """Of one ring: how uneven around, how much of that runs outwards, and the direction of its edges."""
    fine = _high_pass(ring)
    outwards, uneven = float(fine.mean(axis=1).var()), float(fine.var())
    across, along = np.abs(np.diff(ring, axis=1)).mean(), np.abs(np.diff(ring, axis=0)).mean()
    return [
        np.log(uneven + 1e-5),
        np.log((outwards + 1e-5) / (uneven + 1e-5)),
        np.log((along + 1e-4) / (across + 1e-4)),
    ]


def _mass(view: View) -> Features:
    polar = _unrolled(view)
    inside, outside = float(_part(polar, 0.3, 0.65).mean()), float(_part(polar, 1.1, 1.3).mean())
    polar = (polar - outside) / max(inside - outside, 0.05)
    rings = [value for ends in ((0.7, 0.9), (0.9, 1.08), (1.08, 1.3)) for value in _ring(_part(polar, *ends))]
    outline = np.abs(np.fft.rfft((_part(polar, 0.4, 1.3) > 0.45).sum(axis=1))) / _ANGLES
    waves = [np.log(outline[first:last].sum() + 0.1) for first, last in ((2, 5), (5, 12), (12, 30))]
    spikes = _high_pass(_part(polar, 1.0, 1.3).mean(axis=1, keepdims=True))[:, 0]
    peaks, _ = find_peaks(spikes, height=0.05)
    edge = -np.diff(_part(polar, 0.7, 1.3).mean(axis=0))
    ends = [np.log(spikes.std() + 1e-3), spikes.max(), len(peaks), edge.max(), edge.argmax(), inside - outside]
    return np.array([*rings, *waves, *ends])


def _cluster(view: View) -> Features:
    assert view.lesion is not None
    row0, column0, row1, column1 = view.lesion.box
    box = view.image[row0:row1, column0:column1]
    bright = box - cv2.GaussianBlur(box, (0, 0), 2.2)
    level = max(6 * float(np.median(np.abs(bright))), 0.3 * float(np.quantile(bright, 0.998)), 0.05)
    specks = regionprops(label(bright > level), bright)
    if len(specks) < 3:
        return np.zeros(_CLUSTER_FEATURES)
    places = np.array([speck.centroid_weighted for speck in specks])
    sizes = np.array([speck.area for speck in specks], float)
    peaks = np.array([speck.intensity_max for speck in specks])
    longish = np.array([speck.eccentricity for speck in specks])
    gaps = np.sort(pairwise_distances(places), axis=1)[:, 1]
    return np.array(
        [
            np.log(len(specks)),
            sizes.mean(),
            sizes.std() / sizes.mean(),
            np.log(sizes.max()),
            np.log(sizes.sum()),
            longish.mean(),
            np.average(longish, weights=sizes),
            _narrowness(places, np.ones(len(places))),
            _narrowness(np.argwhere(bright > level).astype(float), bright[bright > level]),
            np.median(gaps),
            gaps.std() / max(float(np.median(gaps)), 0.1),
            peaks.mean(),
            peaks.std() / peaks.mean(),
        ]
    )


def _narrowness(places: NDArray[np.floating], weights: NDArray[np.floating]) -> float:
    """Short by long axis of ``(n, 2)`` places: 1 is round, 0 a line."""
    short, long = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(places.T, aweights=weights)), 0))
    return float(short / max(long, 1e-3))


def lesion_features(view: View) -> Features:
    """Measurements of a view's lesion, ``(d,)``; those of the other kind of lesion are 0.

    Raises:
        ValueError: the view has no lesion.
    """
    if view.lesion is None:
        raise ValueError(
            f"the {view.laterality} {view.view} view of patient {view.case.index} has no lesion to measure"
        )
    mass = view.case.abnormality == "mass"
    empty_mass, empty_cluster = np.zeros(_MASS_FEATURES), np.zeros(_CLUSTER_FEATURES)
    parts = (_mass(view), empty_cluster) if mass else (empty_mass, _cluster(view))
    return np.concatenate([[float(mass)], *parts])
