"""One file, in a process that may die of it: checked, read once, prepared for the network and for people."""

from __future__ import annotations

import logging
import resource
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ...transforms.dicom import MammogramReader
from ...transforms.errors import MammogramError, ReadFailure
from ...transforms.picture import Picture
from ...transforms.pixel_facts import find_breast
from ...transforms.resample import nearest_indices, resample
from ..datasets.entry import plain, quantised
from ..isolated import Lost, call_isolated, pack

__all__ = ["Decode", "Decoded", "Limits", "here", "isolated"]

Transform = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class Limits(NamedTuple):
    """What one file may take.

    Attributes:
        seconds: from asking to the answer.
        memory_mb: that its process may take beyond what it had when it began.
        max_pixels: largest rows x columns that is decoded.
        overview_px: longest side of the picture for people.
    """

    seconds: float = 60.0
    memory_mb: int = 2048
    max_pixels: int = 1 << 26
    overview_px: int = 1024


class Decoded(NamedTuple):
    """One readable image.

    Attributes:
        item: what the network's transforms made of it.
        facts: what header and pixels told, as the input gate takes it.
        image: ``(h, w)`` float32 in [0, 1], the whole frame as it is stored, made small.
        mask: ``(h, w)`` bool, the breast in it.
        shape: rows and columns as stored.
    """

    item: dict[str, Any]
    facts: dict[str, Any]
    image: NDArray[np.float32]
    mask: NDArray[np.bool_]
    shape: tuple[int, int]


Decode = Callable[[Path], Decoded | MammogramError]
"""Reads one file, or says why it cannot."""


def here(transform: Transform, limits: Limits | None = None) -> Decode:
    """Read files in this process: for callers that are themselves one that may die."""

    def decode(path: Path) -> Decoded | MammogramError:
        try:
            return _whole(_read(transform, limits or Limits(), str(path)))
        except MammogramError as error:
            return error

    return decode


def isolated(transform: Transform, limits: Limits | None = None) -> Decode:
    """Read files in a process of their own; what kills or stalls that is the file's error."""
    limits = limits or Limits()
    work = pack(partial(_decode, transform, limits))

    def decode(path: Path) -> Decoded | MammogramError:
        try:
            found = call_isolated(work, str(path), timeout_s=limits.seconds)
        except MammogramError as error:
            return error
        except Exception as error:  # its text may quote the header, which belongs in no log
            return MammogramError(path, ReadFailure.CRASHED, f"{type(error).__name__} while it was read")
        if isinstance(found, Lost):
            reason = ReadFailure.TIMED_OUT if found.timed_out else ReadFailure.CRASHED
            return MammogramError(path, reason, f"reading it: {found.message}")
        return _whole(found)

    return decode


def _whole(found: tuple[Any, ...]) -> Decoded:
    item, *rest = found
    return Decoded({name: _tensor(value) for name, value in item.items()}, *rest)


def _decode(transform: Transform, limits: Limits, path: str) -> tuple[Any, ...]:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    logging.getLogger("pydicom").setLevel(logging.ERROR)  # its warnings quote values of headers
    _limit_memory(limits.memory_mb)
    return _read(transform, limits, path)


def _read(transform: Transform, limits: Limits, path: str) -> tuple[Any, ...]:
    try:
        picture = MammogramReader(max_pixels=limits.max_pixels).read(path)
        item = dict(transform({"image": picture}))
        image, mask = _overview(picture, limits.overview_px)
    except MemoryError:
        message = f"reading it takes more than {limits.memory_mb} MB beyond what the process had"
        raise MammogramError(path, ReadFailure.TOO_LARGE, message) from None
    # Arrays: tensors would travel by a server of shared memory, which this process has no key to.
    arrays = {name: np.asarray(v) if isinstance(v, torch.Tensor) else v for name, v in quantised(plain(item)).items()}
    return arrays, plain(picture.meta), image, mask, picture.shape


def _tensor(value: Any) -> Any:
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


_limited = False


def _limit_memory(megabytes: int) -> None:
    """Once a process: of address space, since Linux has no limit of what is resident."""
    global _limited
    if _limited:
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (megabytes << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    _limited = True


def _overview(picture: Picture, longest: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The whole frame and the breast in it, small, neither of them mirrored."""
    rows, columns = picture.shape
    scale = min(1.0, longest / max(rows, columns))
    size = max(1, round(rows * scale)), max(1, round(columns * scale))
    image = resample(lambda a, b: picture.rows(slice(a, b)), picture.shape, size, unit_range=True)
    _, found, flipped = find_breast(picture, picture.meta["laterality"])
    down, across = nearest_indices(rows, size[0]), nearest_indices(columns, size[1])
    if flipped:  # the mask is of the mirrored picture
        across = columns - 1 - across
    down, across = (
        np.minimum(places // found.factor, limit - 1)
        for places, limit in zip((down, across), found.mask.shape, strict=True)
    )
    return image, found.mask[np.ix_(down, across)].astype(bool)
