"""The preparation of the two published Swin systems, in our own words: the peer of our masks and of our reading.

Their order of steps is kept: CLAHE on the full picture, Otsu, a second Otsu under the first, morphology, crop, resize.
Source: the papers' published scripts as facts (gap48/mammogram-spectral-regularization,
gap48/mammogram-analysis-mim); none of their code is used.
"""

from pathlib import Path

import cv2
import numpy as np
import pydicom
from skimage.morphology import remove_small_holes, remove_small_objects

__all__ = ["published_mask", "published_prepare"]

_SMALLEST_PX = 1000


def published_mask(image01: np.ndarray) -> np.ndarray:
    """Mask of the breast in a picture ``(H, W)`` of [0, 1]: uint8 {0, 1} of the same shape, by the published order."""
    gray = cv2.createCLAHE(3.0, (8, 8)).apply((image01 * 255).astype(np.uint8))
    first, bright = cv2.threshold(gray, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    second = cv2.threshold(gray[gray <= first], 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0]
    found = (bright > 0) | (gray > second)
    found = remove_small_objects(found, max_size=_SMALLEST_PX - 1)
    found = remove_small_holes(found, max_size=_SMALLEST_PX - 1)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8))
    if count < 2:
        return np.zeros(gray.shape, np.uint8)
    mask = (labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    mask = cv2.erode(cv2.dilate(mask, ellipse, iterations=2), ellipse)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(mask, contours, -1, 1, cv2.FILLED)


def published_prepare(path: Path, size: tuple[int, int] = (224, 224)) -> tuple[np.ndarray, np.ndarray]:
    """Read a DICOM file, mask, crop to the mask and squash to ``size``, each step on the full picture.

    Returns the picture, float32 in [0, 1], and its mask, uint8 {0, 1}.
    """
    stored = pydicom.dcmread(path).pixel_array.astype(np.float32)
    image = (stored - stored.min()) / max(float(stored.max() - stored.min()), np.finfo(np.float32).tiny)
    mask = published_mask(image)
    left, top, width, height = cv2.boundingRect(mask) if mask.any() else (0, 0, *mask.shape[::-1])
    window = slice(top, top + height), slice(left, left + width)
    return (
        cv2.resize(image[window], size[::-1], interpolation=cv2.INTER_AREA),
        cv2.resize(mask[window], size[::-1], interpolation=cv2.INTER_NEAREST),
    )
