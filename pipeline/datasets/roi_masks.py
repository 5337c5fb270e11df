"""Where a finding lies whose place is told by a mask file, also where mask and image differ in size.

A few dozen masks of CBIS-DDSM have not the size of their film, some with another aspect ratio
(github.com/fjeg/ddsm_tools issue 5): what such a mask means is a decision, :class:`MaskPolicy`, and it is counted.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import pydicom
from joblib import Parallel, delayed
from monai.utils import StrEnum, look_up_option
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ...transforms.dicom import MammogramReader
from ...transforms.errors import MammogramError, ReadFailure
from .crop_registration import register_box
from .import_report import ImportReport
from .regions import finding_box
from .schema import Finding, Record

__all__ = ["MaskPolicy", "Placement", "image_shape", "locate_findings", "mask_box", "place_roi", "read_mask"]

_BLUR = 1 / 6  # of the range: JPEG moves a mask's black and white by up to 40 of 255
_BINARY_SHARE = 0.99


class MaskPolicy(StrEnum):
    """What becomes of a finding whose mask has another size than its image."""

    SKIP = "skip"
    """It has no region (the MIRAM author's choice)."""
    RESIZE = "resize"
    """Rows and columns are scaled by the two ratios of the sizes."""
    REGISTER = "register"
    """The finding's cropped image is sought in the mammogram, and the mask goes where it is found."""


class Placement(NamedTuple):
    """Box of a finding in original pixels, from its mask.

    Attributes:
        box: None where it has none.
        outcome: the name that it is counted under.
        reason: what is wrong, or empty.
        swapped: the file of the crop is the mask, and the other way round.
        fits: the mask has the size of the image.
    """

    box: list[float] | None
    outcome: str
    reason: str = ""
    swapped: bool = False
    fits: bool = False


def locate_findings(
    records: Sequence[Record], mask_policy: str, workers: int, report: ImportReport
) -> list[list[Finding]]:
    """The findings of each record, with their ``box`` where one is known: as told, else from the mask file.

    A mask of another size than its image is no ``roi_mask`` any more: its pixels are not those of the image. Masks
    are read in threads; each holds one mask at a time and, to register, the image as float32.

    Args:
        records: with absolute paths; left alone.
        mask_policy: one of :class:`MaskPolicy`.
        workers: masks at a time.
        report: gets the number of each outcome, and each finding without a box with the reason.

    Raises:
        ValueError: for an unknown policy.
    """
    policy = look_up_option(mask_policy, MaskPolicy)
    located = [[_with_box(finding, finding_box(finding)) for finding in r.get("findings", ())] for r in records]
    missing = [(r, f) for r, found in enumerate(located) for f, finding in enumerate(found) if "box" not in finding]
    findings = sum(map(len, located))
    report.counts |= {"findings": findings, "places told": findings - len(missing)}
    asked = []
    for r, f in missing:
        if "roi_mask" in located[r][f]:
            asked.append((r, f))
        else:
            report.add("roi", "no box, outline or mask says where the finding lies", item=_name(records[r], f))
    jobs = (delayed(place_roi)(records[r]["image"], located[r][f], policy) for r, f in asked)
    results = Parallel(n_jobs=max(1, workers), prefer="threads", return_as="generator")(jobs)
    for (r, f), placement in zip(asked, tqdm(results, "masks", len(asked), disable=None), strict=True):
        report.counts[placement.outcome] = report.counts.get(placement.outcome, 0) + 1
        if placement.reason:
            report.add("roi", placement.reason, item=_name(records[r], f))
        located[r][f] = _placed(located[r][f], placement)
    return located


def place_roi(image: str, finding: Finding, policy: MaskPolicy) -> Placement:
    """Box of one finding from its ``roi_mask``.

    A mask and a ``crop`` that change places, as some of CBIS-DDSM do, are told apart by their grey values.

    Args:
        image: file of the mammogram.
        finding: with ``roi_mask``; ``register`` needs its ``crop``, too.
        policy: for a mask of another size.
    """
    mask, crop = finding["roi_mask"], finding.get("crop")
    try:
        pixels, swapped = _read_either(mask, crop)
        shape = image_shape(image)
    except MammogramError as error:
        return Placement(None, "masks not usable", f"{error.message}: {os.path.basename(error.path)}")
    box, sizes = mask_box(pixels), f"mask and image differ in size: {pixels.shape} and {shape}"
    note = "mask and crop change places" if swapped else ""
    if pixels.shape == shape:
        return Placement(box, "masks of the image's size", note, swapped, fits=True)
    if policy == MaskPolicy.SKIP:
        return Placement(None, "masks of another size, left out", sizes, swapped)
    if policy == MaskPolicy.RESIZE:
        return Placement(_resized(box, pixels.shape, shape), "masks of another size, resized", note, swapped)
    registered, reason = _registered(image, mask if swapped else crop, box, pixels.shape)
    if registered is None:
        return Placement(None, "masks of another size, not registered", f"{reason}; {sizes}", swapped)
    return Placement(registered, "masks of another size, registered", note, swapped)


def image_shape(path: str) -> tuple[int, int]:
    """Rows and columns of an image file, from its header where the format has one.

    Raises:
        MammogramError: for a file that is missing or no image.
    """
    try:
        with open(path, "rb") as file:
            is_dicom = file.read(132)[128:] == b"DICM"
        if is_dicom:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
            return int(header.Rows), int(header.Columns)
        if not path.lower().endswith((".nii", ".nii.gz")):
            with Image.open(path) as picture:  # lazy: only the header is read
                return picture.height, picture.width
    except FileNotFoundError as error:
        raise MammogramError(path, ReadFailure.MISSING, "no such file") from error
    except Exception as error:  # hostile input: pydicom and Pillow raise errors of many kinds
        raise MammogramError(path, ReadFailure.NOT_AN_IMAGE, "the image's header cannot be read") from error
    return MammogramReader().read(path).shape


def read_mask(path: str) -> NDArray[np.bool_]:
    """Read a mask ``(rows, columns)``: the brighter of its two grey values, as a viewer shows it, is the finding.

    Raises:
        MammogramError: for a file that cannot be read, holds one value only, or is a picture and no mask.
    """
    picture = MammogramReader(voi="none").read(path)
    stored = picture.stored
    low, high, _, _ = cv2.minMaxLoc(stored)
    near = (high - low) * _BLUR
    if ((stored <= low + near) | (stored >= high - near)).mean() < _BINARY_SHARE:
        raise MammogramError(path, ReadFailure.UNSUPPORTED_PIXEL_FORMAT, "a picture, not a mask of two grey values")
    bright = stored > (low + high) / 2
    return ~bright if picture.meta["photometric"] == "MONOCHROME1" else bright


def mask_box(mask: NDArray[np.bool_]) -> list[float]:
    """Box around all pixels of a mask that has one at least."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return [float(edge) for edge in (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)]


def _read_either(mask: str, crop: str | None) -> tuple[NDArray[np.bool_], bool]:
    """The pixels of the mask, and whether they are in the file of the crop."""
    try:
        return read_mask(mask), False
    except MammogramError as error:
        if crop is None or error.reason != ReadFailure.UNSUPPORTED_PIXEL_FORMAT:
            raise
        try:
            return read_mask(crop), True
        except MammogramError:
            raise error from None


def _resized(box: list[float], old: tuple[int, ...], new: tuple[int, ...]) -> list[float]:
    edges = np.asarray(box) * np.tile(np.divide(new, old), 2)
    # What the division leaves of rounding must not add a row.
    return [float(edge) for edge in (*np.floor(edges[:2] + 1e-6), *np.ceil(edges[2:] - 1e-6))]


def _registered(
    image: str, crop: str | None, box: list[float], mask_shape: tuple[int, ...]
) -> tuple[list[float] | None, str]:
    if crop is None:
        return None, "no cropped image to place the mask by"
    reader = MammogramReader(voi="none")
    try:
        pictures = [reader.read(path).stored.astype(np.float32) for path in (image, crop)]
    except MammogramError as error:
        return None, error.message
    return register_box(pictures[0], pictures[1], box, mask_shape)


def _with_box(finding: Finding, box: list[float] | None) -> Finding:
    changed = finding.copy()
    if box is not None:
        changed["box"] = box
    return changed


def _placed(finding: Finding, placement: Placement) -> Finding:
    changed = _with_box(finding, placement.box)
    if placement.swapped:
        changed["roi_mask"], changed["crop"] = finding["crop"], finding["roi_mask"]
    if not placement.fits:
        del changed["roi_mask"]
    return changed


def _name(record: Record, index: int) -> str:
    return f"{record['image_id']}#{record['findings'][index].get('id', index + 1)}"
