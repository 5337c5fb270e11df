"""A classifier without a network: texture and logistic regression, what every model must at least beat.

Histograms of oriented gradients (Dalal and Triggs, CVPR 2005) and of uniform local binary patterns (Ojala et al., IEEE
TPAMI 24:971, 2002) of the small whole image, principal components, logistic regression.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.feature import hog, local_binary_pattern
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

__all__ = ["texture_classifier", "texture_features"]

COMPONENTS = 60


def texture_features(
    image: NDArray[Any],
    inside: NDArray[np.bool_] | None = None,
    *,
    size: tuple[int, int] = (192, 192),
    cell: int = 32,
    orientations: int = 9,
) -> NDArray[np.float64]:
    """Texture of one image.

    Args:
        image: ``(H, W)`` in [0, 1], chest wall to the left; any size.
        inside: ``(H, W)``, where binary patterns are counted; None for pixels above 0.08.
        size: rows and columns that the image is squashed to.
        cell: side in pixels of a cell of the histograms; blocks are of 2 x 2 cells.
        orientations: of the gradients.

    Returns:
        ``(D,)``: gradients, 900 by default, and 10 of binary patterns.
    """
    small = cv2.resize(np.asarray(image, np.float32), size[::-1], interpolation=cv2.INTER_AREA)
    if inside is None:
        counted = small > 0.08
    else:
        shrunk = cv2.resize(inside.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
        counted = shrunk > 0
    gradients = hog(small, orientations=orientations, pixels_per_cell=(cell, cell), cells_per_block=(2, 2))
    patterns = local_binary_pattern((small * 255).astype(np.uint8), P=8, R=1, method="uniform")[counted]
    histogram = np.histogram(patterns, bins=10, range=(0, 10))[0] / max(1, patterns.size)
    return np.concatenate([gradients, histogram])


def texture_classifier(images: int, seed: int = 0) -> Pipeline:
    """Standardised features, up to 60 principal components, logistic regression; nothing to choose.

    Args:
        images: how many it will be fitted to.
        seed: of the solver of the principal components.
    """
    components = PCA(min(COMPONENTS, images - 1), random_state=seed)
    return make_pipeline(StandardScaler(), components, LogisticRegression(max_iter=2000))
