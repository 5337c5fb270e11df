"""Prepared images: decode and segment each mammogram once, keep the result on disk, train from that."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import logging
import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from enum import Enum
from os import PathLike, fspath
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from monai.data import PersistentDataset, get_track_meta, set_track_meta
from monai.transforms import (
    ConcatItemsd,
    CopyItemsd,
    DeleteItemsd,
    EnsureTyped,
    MapTransform,
    RandomizableTrait,
    SelectItemsd,
    ToTensord,
    Transform,
)
from monai.utils import convert_to_tensor

from ... import __version__
from ...transforms.errors import MammogramError, ReadFailure
from .files import write_atomically
from .fingerprint import transform_fingerprint
from .schema import RECORD_FIELDS

__all__ = ["PreparedDataset"]

logger = logging.getLogger(__name__)

IMAGE_FIELDS = ("image", "laterality", "view", "roi_masks", "boxes")
"""Fields of a record that preparing may read: the image, what places it, and annotations in its geometry."""

ALWAYS_READ = ("image", "laterality", "view")

LATE_FIELDS = frozenset(RECORD_FIELDS) - frozenset(IMAGE_FIELDS)
"""Fields that preparing never reads, so that a corrected label does not touch a prepared image."""

ASSEMBLY = (ConcatItemsd, CopyItemsd, DeleteItemsd, EnsureTyped, SelectItemsd, ToTensord)
"""Transforms that assemble a batch. They cost nothing, so keeping stops before them: datasets that assemble
differently share what is kept."""


class PreparedDataset(PersistentDataset):
    """Records through transforms, of which the first, deterministic ones are kept on disk.

    Kept is what the transforms give up to the first that is random (MONAI's rule), that only assembles the
    batch (:data:`ASSEMBLY`) or that reads a label. An entry is found again by the image (path, size, time of
    change), its side and view, and the settings of these transforms; never by labels. Datasets, stages and
    processes that prepare alike therefore share one folder. Items are plain tensors without metadata; the
    record's other fields are put beside them before the later transforms run.

    Args:
        data: the records; other mappings work too.
        transform: all the transforms, as for any MONAI dataset.
        cache_dir: the folder of the entries, made where missing; None keeps nothing.
        force_recompute: delete the entries of these records first; those of others stay.

    Attributes:
        computed: items prepared by this object. Like the next two, counted in each worker process apart.
        reused: items taken from the folder.
        corrupt: entries that could not be read and were made anew.

    Raises:
        ValueError: where a transform's settings cannot be described, so that entries would be mixed up.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transform: Sequence[Callable[..., Any]] | Callable[..., Any],
        cache_dir: str | PathLike[str] | None = None,
        *,
        force_recompute: bool = False,
    ) -> None:
        folder = None if cache_dir is None else _make_folder(Path(cache_dir))
        super().__init__(data=data, transform=transform, cache_dir=folder, track_meta=False, weights_only=True)
        self.transform = self.transform.flatten()
        self.kept_steps = _count_kept_steps(self.transform.transforms)
        kept = self.transform.transforms[: self.kept_steps]
        touched = {key for step in kept if isinstance(step, MapTransform) for key in step.keys}
        self.read_fields = [name for name in IMAGE_FIELDS if name in ALWAYS_READ or name in touched]
        if self.cache_dir is not None:
            self.transform_hash = transform_fingerprint(kept)
        self.computed = self.reused = self.corrupt = 0
        if force_recompute:
            self.clear()

    def set_data(self, data: Sequence[Mapping[str, Any]]) -> None:
        """Take other records. Unlike MONAI's, it deletes nothing: others may use the folder too."""
        self.data = data

    def clear(self) -> None:
        """Delete the entries of these records, and nothing else in the folder."""
        for record in self.data:
            if self.cache_dir is not None and Path(record["image"]).exists():
                self.entry(record).unlink(missing_ok=True)

    def entry(self, record: Mapping[str, Any]) -> Path:
        """Where the prepared image of a record is kept.

        Raises:
            ValueError: without a ``cache_dir``.
            MammogramError: if the image does not exist.
        """
        if self.cache_dir is None:
            raise ValueError("this dataset has no cache_dir")
        read = {name: _identity(name, record[name]) for name in self.read_fields if name in record}
        key = json.dumps([__version__, self.transform_hash, read], sort_keys=True)
        return Path(self.cache_dir, f"{hashlib.sha256(key.encode()).hexdigest()}.pt")

    def prepare(self, record: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """The kept part of one item, and whether it was taken from the folder.

        Raises:
            MammogramError: for an image that cannot be used.
            OSError: for a full disk, naming the folder.
        """
        _file_identity(record["image"])
        path = None if self.cache_dir is None else self.entry(record)
        item = None if path is None else self._read(path)
        if item is not None:
            self.reused += 1
            return item, True
        item = self._compute(record)
        self.computed += 1
        if path is not None:
            _write(path, item)
        return item, False

    def _transform(self, index: int) -> Any:
        record = self.data[index]
        item, _ = self.prepare(record)
        known = {name: value for name, value in record.items() if name not in self.read_fields}
        with _plain_tensors():
            return self.transform({**item, **known}, start=self.kept_steps)

    def _compute(self, record: Mapping[str, Any]) -> dict[str, Any]:
        # Only what the key covers goes in: a transform that reads more fails at once instead of keeping
        # stale values.
        read = {name: deepcopy(record[name]) for name in self.read_fields if name in record}
        try:
            item = self.transform(read, end=self.kept_steps, threading=True)
        except RuntimeError as error:  # MONAI wraps whatever a transform raises
            unusable = _find_mammogram_error(error)
            if unusable is None:
                raise
            raise unusable from unusable.__cause__
        return cast(dict[str, Any], convert_to_tensor(_plain(item), convert_numeric=False, track_meta=False))

    def _read(self, path: Path) -> dict[str, Any] | None:
        if not path.is_file():
            return None
        try:
            item = torch.load(path, weights_only=True)
            if not isinstance(item, dict):
                raise ValueError(f"holds a {type(item).__name__}")
        except (RuntimeError, EOFError, pickle.UnpicklingError, ValueError, KeyError) as error:
            self.corrupt += 1
            logger.warning("%s is damaged (%s); it is prepared again", path, type(error).__name__)
            return None
        return item


@contextmanager
def _plain_tensors() -> Iterator[None]:
    """Let MONAI's random transforms leave metadata alone: nothing here inverts them, and it halves their time."""
    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)


def _make_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise ValueError(f"cache_dir {folder} is a file; give a folder") from None
    return folder


def _count_kept_steps(steps: Sequence[Any]) -> int:
    for index, step in enumerate(steps):
        late = isinstance(step, MapTransform) and any(key in LATE_FIELDS for key in step.keys)
        if late or isinstance(step, (RandomizableTrait, *ASSEMBLY)) or not isinstance(step, Transform):
            return index
    return len(steps)


def _identity(name: str, value: Any) -> Any:
    """What tells a field's content from another one: for files also size and time of change."""
    if name == "image":
        return _file_identity(value)
    if name == "roi_masks":
        return [_file_identity(path) for path in value]
    return value


def _file_identity(path: str) -> list[Any]:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise MammogramError(path, ReadFailure.MISSING, "the file does not exist; check the dataset's root") from None
    return [os.path.abspath(path), status.st_size, status.st_mtime_ns]


def _write(path: Path, item: dict[str, Any]) -> None:
    content = io.BytesIO()
    torch.save(item, content)
    content.seek(0)
    try:
        # MONAI's dataset would store what it then never can load, and prepare it again at every read.
        torch.load(content, weights_only=True)
    except pickle.UnpicklingError as error:
        kinds = {name: type(value).__name__ for name, value in item.items()}
        raise ValueError(f"prepared items must hold tensors, numbers and texts only, got {kinds}") from error
    try:
        write_atomically(path, content.getvalue())
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        message = "no space left for prepared images; free some, give another cache_dir, or none to keep nothing"
        raise OSError(error.errno, message, str(path.parent)) from error


def _plain(value: Any) -> Any:
    """Enumerations, paths and numpy numbers as plain values; tensors without what they are a view of."""
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, PathLike):
        return fspath(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, torch.Tensor) and value.untyped_storage().nbytes() > value.numel() * value.element_size():
        return value.clone()  # a crop would otherwise be stored with the whole image behind it
    return value


def _find_mammogram_error(error: BaseException) -> MammogramError | None:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, MammogramError):
        cause = cause.__cause__
    return cause
