"""Bringing every breast to the same side."""

from collections.abc import Hashable, Mapping
from typing import Any

import cv2
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, get_track_meta
from monai.transforms import Flip, InvertibleTransform, MapTransform
from monai.utils import TraceKeys, convert_to_tensor

from .segmentation import chest_wall

__all__ = ["ChestWallLeft", "ChestWallLeftd", "wall_is_right"]


class ChestWallLeft(InvertibleTransform):
    """Mirror a mammogram ``(C, H, W)`` whose chest wall is on the right.

    The pixels decide: the chest wall is where the breast ends in a straight, bright edge, wherever labels
    are and whatever the header says; archives hold images that were mirrored without their tags. Only when
    the pixels do not tell, Patient Orientation (0020,0020), then the laterality decides; when nothing
    does, the image stays as it is.

    The step is recorded either way, and :meth:`inverse` undoes it.
    """

    def __call__(
        self, img: torch.Tensor | np.ndarray, laterality: str | None = None, orientation: str | None = None
    ) -> torch.Tensor:
        image = convert_to_tensor(img, track_meta=get_track_meta())
        return self.mirror(image, self.is_right(image, laterality, orientation))

    def is_right(self, image: torch.Tensor, laterality: str | None = None, orientation: str | None = None) -> bool:
        """Whether the chest wall is on the right; the first channel is looked at."""
        pixels = np.asarray(image[0].detach().cpu(), dtype=np.float32)
        return wall_is_right(chest_wall(pixels), laterality, orientation)

    def mirror(self, image: torch.Tensor, flipped: bool) -> torch.Tensor:
        """Mirror ``image`` if ``flipped``, and record it."""
        return self.record(image, _mirrored(image) if flipped else image, flipped)

    def record(self, image: torch.Tensor, mirrored: torch.Tensor, flipped: bool) -> torch.Tensor:
        """Give ``mirrored`` the metadata of ``image`` and the record of this step."""
        shift = torch.eye(4, dtype=torch.float64)
        if flipped:
            shift[1, 1], shift[1, 3] = -1, image.shape[2] - 1
        meta = self.track_transform_meta(
            image,
            sp_size=image.shape[1:],
            affine=shift,
            extra_info={"flipped": flipped},
            orig_size=tuple(image.shape[1:]),
            transform_info=self.get_transform_info(),
        )
        out = convert_to_tensor(mirrored, track_meta=get_track_meta())
        return out.copy_meta_from(meta) if isinstance(out, MetaTensor) else out

    def inverse(self, data: torch.Tensor) -> torch.Tensor:
        if not self.pop_transform(data)[TraceKeys.EXTRA_INFO]["flipped"]:
            return data
        flip = Flip(spatial_axis=1)
        with flip.trace_transform(False):
            return flip(data)


class ChestWallLeftd(MapTransform, InvertibleTransform):
    """Dictionary form of :class:`ChestWallLeft`.

    The first key decides for all, so that masks stay on their image. ``laterality_key`` is read if it is
    there; Patient Orientation comes from the image's metadata.
    """

    def __init__(
        self, keys: KeysCollection = "image", laterality_key: str = "laterality", allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.laterality_key = laterality_key
        self.transform = ChestWallLeft()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        flipped: bool | None = None
        for key in self.key_iterator(d):
            image = convert_to_tensor(d[key], track_meta=get_track_meta())
            if flipped is None:
                orientation = image.meta.get("patient_orientation") if isinstance(image, MetaTensor) else None
                flipped = self.transform.is_right(image, d.get(self.laterality_key), orientation)
            d[key] = self.transform.mirror(image, flipped)
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.transform.inverse(d[key])
        return d


def wall_is_right(wall: str | None, laterality: str | None, orientation: str | None) -> bool:
    """Whether the chest wall is on the right, from pixels (``wall``), Patient Orientation and side, in this order."""
    if wall:
        return wall == "right"
    # P\F: rows run to posterior, so they end at the chest wall. CBIS-DDSM writes the view here instead.
    if orientation and "\\" in orientation and orientation[0] in "AP":
        return orientation[0] == "P"
    return laterality == "R"


def _mirrored(image: torch.Tensor) -> torch.Tensor:
    # OpenCV mirrors a film scan three times as fast as torch.flip, on the same memory layout.
    channels = [cv2.flip(channel, 1) for channel in np.asarray(image.detach().cpu())]
    return torch.from_numpy(np.stack(channels) if len(channels) > 1 else channels[0][None]).to(image.device)
