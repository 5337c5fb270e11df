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

SIDE_PX = 192
CELL_PX = 32
COMPONENTS = 60


def texture_features(image: NDArray[Any], inside: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Texture of one image.

    Args:
        image: ``(H, W)`` in [0, 1], chest wall to the left; any size, squashed to 192 x 192 pixels.
        inside: ``(H, W)``, where binary patterns are counted; None for pixels above 0.08.

    Returns:
        ``(910,)``: 900 of gradients and 10 of binary patterns.
    """
    small = cv2.resize(np.asarray(image, np.float32), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    if inside is None:
        counted = small > 0.08
    else:
        shrunk = cv2.resize(inside.astype(np.uint8), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_NEAREST)
        counted = shrunk > 0
    gradients = hog(small, orientations=9, pixels_per_cell=(CELL_PX, CELL_PX), cells_per_block=(2, 2))
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
