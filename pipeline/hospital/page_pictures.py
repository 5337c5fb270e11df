"""The pictures of a scored view as the page shows them: small image, heat map as a layer, and how both hang."""

from __future__ import annotations

import base64
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ...transforms.laterality import wall_is_right
from ...transforms.segmentation import chest_wall
from .result import Pictures

__all__ = ["AS_STORED", "Turn", "embed_heat", "embed_image", "turn_of"]

HEAT_SIDE_PX = 256
"""Longest side of the layer: the map comes from a coarse grid, and browsers enlarge it smoothly."""

_LEVELS = (0.0, 0.35, 0.7, 1.0)
_COLOURS = ((255, 235, 60), (255, 170, 20), (255, 80, 20), (255, 0, 60))  # yellow to red, for each level
_FULL_ALPHA = 0.6  # of the map's peak; from here on the layer is opaque


class Turn(NamedTuple):
    """What has to be done to a stored picture so that it hangs as usual.

    Attributes:
        mirrored: left and right are exchanged.
        upside_down: top and bottom are exchanged.
    """

    mirrored: bool = False
    upside_down: bool = False


AS_STORED = Turn()


def turn_of(pictures: Pictures, laterality: str | None, view: str | None) -> Turn:
    """How a picture must be turned: chest wall of the right breast on the right, of the left on the left; feet down.

    The side of the chest wall is told by the pixels, as everywhere in this package, and only where these do not tell by
    Patient Orientation (0020,0020). Top and bottom are told by that attribute alone: its second value names where
    columns run to, towards the feet in oblique views and from lateral to medial in CC views (PS3.3 C.7.6.1.1.1).

    Args:
        pictures: of the view.
        laterality: L or R; without it nothing is turned.
        view: such as CC or MLO.
    """
    if laterality not in ("L", "R"):
        return AS_STORED
    values = (pictures.orientation or "").upper().split("\\")
    down = values[1][:1] if len(values) == 2 else ""
    wrong_end = laterality if view == "CC" else "H"  # of a right breast, R is lateral: that belongs on top
    right = wall_is_right(chest_wall(pictures.image), laterality, pictures.orientation)
    return Turn(right != (laterality == "R"), down == wrong_end)


def embed_image(image: NDArray[np.float32]) -> str:
    """A picture ``(h, w)`` in [0, 1] as a data URI: 8 bits, without loss, lest artefacts be taken for findings."""
    return _data_uri(_bytes(image))


def embed_heat(heat: NDArray[np.float32]) -> str | None:
    """A map ``(h, w)`` in [0, 1] as a PNG data URI; transparent where it is cold, None where it is zero everywhere."""
    if not float(heat.max()) > 0:
        return None
    rows, columns = heat.shape
    scale = min(1.0, HEAT_SIDE_PX / max(rows, columns))
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    small = np.clip(cv2.resize(heat.astype(np.float32), size, interpolation=cv2.INTER_AREA), 0, 1)
    colours = [np.interp(small, _LEVELS, [colour[c] / 255 for colour in _COLOURS]) for c in range(3)]
    alpha = np.clip(small / _FULL_ALPHA, 0, 1)
    return _data_uri(_bytes(np.stack([*reversed(colours), alpha], axis=-1)))  # cv2 has blue first


def _bytes(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.round(np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8)


def _data_uri(pixels: NDArray[np.uint8]) -> str:
    encoded = cv2.imencode(".png", pixels)[1]
    return f"data:image/png;base64,{base64.b64encode(encoded.tobytes()).decode('ascii')}"
