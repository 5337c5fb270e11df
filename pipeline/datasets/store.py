"""Prepared images: decode and segment each mammogram once, keep the result on disk, train from that."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from monai.data import MetaTensor, PersistentDataset, get_track_meta, set_track_meta
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
from xxhash import xxh3_128

from ... import __version__
from ...transforms.errors import MammogramError, ReadFailure
from ..files import link_atomically, write_atomically
from .entry import DamagedEntryError, encode, plain, quantised, read_entry
from .fingerprint import transform_fingerprint
from .remote import is_url, local_copy, remote_identity
from .schema import RECORD_FIELDS

__all__ = ["Prepared", "PreparedDataset"]

logger = logging.getLogger(__name__)

ALWAYS_READ = ("image", "laterality", "view", "frame", "crop")
"""Fields of a record that preparing may always read: the image, what places it, and which part of it is meant."""

IMAGE_FIELDS = (*ALWAYS_READ, "roi_masks", "boxes")
"""With annotations in the image's geometry, which are read where a transform names them."""

LATE_FIELDS = frozenset(RECORD_FIELDS) - frozenset(IMAGE_FIELDS)
"""Fields that preparing never reads, so that a corrected label does not touch a prepared image."""

NOT_KEPT = ("original_channel_dim", "space", "filename_or_obj", "path", "patient_id", "study_id", "image_id")
"""Metadata that is not kept beside a prepared image: a store tells nobody's name."""

ASSEMBLY = (ConcatItemsd, CopyItemsd, DeleteItemsd, EnsureTyped, SelectItemsd, ToTensord)
"""Transforms that assemble a batch. They cost nothing, so keeping stops before them: datasets that assemble
differently share what is kept."""


class Prepared(NamedTuple):
    """What :meth:`PreparedDataset.prepare` gives.

    Attributes:
        item: the tensors and plain values that the kept transforms made.
        facts: what the file's header and the pixels told beside them, plain values.
        reused: whether it was in the folder already.
    """

    item: dict[str, Any]
    facts: dict[str, Any]
    reused: bool


class PreparedDataset(PersistentDataset):
    """Records through transforms, of which the first, deterministic ones are kept on disk.

    Kept is what the transforms give up to the first that is random (MONAI's rule), that only assembles the
    batch (:data:`ASSEMBLY`) or that reads a label. An entry is a safetensors file (see ``entry.py``), known by
    the content of the image file, its side, view, frame and crop, and the settings of these transforms; never by
    labels. A second name leads to it from the path, size and time of change of the image file, so that a file that
    is where it was need not be read again, and one that was moved or copied is found by its content. Datasets,
    stages and processes that prepare alike therefore share one folder. Items are plain tensors without metadata; the
    record's other fields are put beside them before the later transforms run.

    Images may be URLs of any file system that fsspec knows.

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
            if self.cache_dir is not None and (is_url(record["image"]) or Path(record["image"]).exists()):
                self.entry(record).unlink(missing_ok=True)
                self.entry(record, by_content=True).unlink(missing_ok=True)

    def entry(self, record: Mapping[str, Any], *, by_content: bool = False) -> Path:
        """Where the prepared image of a record is kept.

        Args:
            record: whose ``image`` exists.
            by_content: the name that the content of the image file gives, for which it is read as a whole;
                otherwise the one that its path, size and time of change give.

        Raises:
            ValueError: without a ``cache_dir``.
            MammogramError: if the image does not exist.
        """
        if self.cache_dir is None:
            raise ValueError("this dataset has no cache_dir")
        identify = _content if by_content else _file_identity
        read = {name: _identity(name, record[name], identify) for name in self.read_fields if name in record}
        key = json.dumps([__version__, self.transform_hash, read], sort_keys=True)
        name = hashlib.sha256(key.encode()).hexdigest()
        return Path(self.cache_dir, "contents" if by_content else "sources", name[:2], f"{name}.safetensors")

    def refuse(self, record: Mapping[str, Any], error: MammogramError) -> None:
        """Remember that preparing this image kills or holds up the process that does it."""
        if self.cache_dir is not None:
            write_atomically(self._refusal(self.entry(record)), f"{error.reason}\n{error.message}".encode())

    def prepare(self, record: Mapping[str, Any], *, retry: bool = False) -> Prepared:
        """The kept part of one item.

        Args:
            record: whose image is meant.
            retry: prepare also what was refused (:meth:`refuse`), in a process that may be lost.

        Raises:
            MammogramError: for an image that cannot be used.
            OSError: for a full disk, naming the folder.
        """
        if self.cache_dir is None:
            _file_identity(record["image"])
            item, facts = self._compute(record)
            self.computed += 1
            return Prepared(quantised(item), facts, reused=False)
        source = self.entry(record)
        if retry:  # even where the image is whole: a process may die between writing it and saying so
            self._refusal(source).unlink(missing_ok=True)
        found = self._read(source)
        if found is None:
            content = self.entry(record, by_content=True)
            # Two names of one file: a damaged one is not looked at twice.
            same = source.exists() and content.exists() and source.samefile(content)
            found = None if same else self._read(content)
            if found is None:
                self._check_refusal(record, source)
                return self._make(record, content, source)
            link_atomically(content, source)
        self.reused += 1
        return Prepared(*found, reused=True)

    def _refusal(self, source: Path) -> Path:
        assert self.cache_dir is not None
        return Path(self.cache_dir, "refused", f"{source.stem}.txt")

    def _check_refusal(self, record: Mapping[str, Any], source: Path) -> None:
        refusal = self._refusal(source)
        if refusal.exists():
            reason, _, message = refusal.read_text().partition("\n")
            raise MammogramError(record["image"], reason, f"{message} (found before: {refusal})")

    def _transform(self, index: int) -> Any:
        record = self.data[index]
        item = self.prepare(record).item
        item |= {name: value for name, value in record.items() if name not in self.read_fields}
        if self.kept_steps == len(self.transform.transforms):
            return item
        with _plain_tensors():
            return self.transform(item, start=self.kept_steps)

    def _make(self, record: Mapping[str, Any], content: Path, source: Path) -> Prepared:
        item, facts = self._compute(record)
        self.computed += 1
        try:
            write_atomically(content, encode(item, facts))
            link_atomically(content, source)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            message = "no space left for prepared images; free some, give another cache_dir, or none to keep nothing"
            raise OSError(error.errno, message, str(self.cache_dir)) from error
        return Prepared(quantised(item), facts, reused=False)

    def _compute(self, record: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        # Only what the key covers goes in: a transform that reads more fails at once instead of keeping
        # stale values.
        read = {name: deepcopy(record[name]) for name in self.read_fields if name in record}
        image = read["image"]
        with local_copy(image) if is_url(image) else nullcontext(image) as path:
            try:
                item = self.transform({**read, "image": path}, end=self.kept_steps, threading=True)
            except RuntimeError as error:  # MONAI wraps whatever a transform raises
                unusable = _find_mammogram_error(error)
                if unusable is None:
                    raise
                named = MammogramError(image, unusable.reason, unusable.message)
                raise named from unusable.__cause__
        return cast(dict[str, Any], plain(item)), _facts(item)

    def _read(self, path: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
        try:
            return read_entry(path)
        except FileNotFoundError:
            return None
        except DamagedEntryError as error:
            self.corrupt += 1
            logger.warning("%s; it is prepared again", error)
            return None


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


def _identity(name: str, value: Any, identify: Callable[[str], Any]) -> Any:
    """What tells a field's content from another one: for files what ``identify`` says of them."""
    if name == "image":
        return identify(value)
    if name == "roi_masks":
        return [identify(path) for path in value]
    return value


def _file_identity(path: str) -> list[Any]:
    """Place, size and times of change: that of the content can be set, that of the file's entry cannot."""
    if is_url(path):
        return remote_identity(path)
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise MammogramError(path, ReadFailure.MISSING, "the file does not exist; check the dataset's root") from None
    except (OSError, ValueError) as error:  # a name too long, of a folder that is a file, with a zero byte
        raise MammogramError(path, ReadFailure.MISSING, f"the file cannot be looked at: {error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise MammogramError(path, ReadFailure.MISSING, "not a file")
    return [os.path.abspath(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _content(path: str) -> str:
    """XXH3 of all bytes of a file: 128 bits tell any two images of an archive apart, at the speed of memory."""
    digest = xxh3_128()
    with local_copy(path) if is_url(path) else nullcontext(path) as local, open(local, "rb", buffering=0) as file:
        while block := file.read(1 << 18):  # stays in a core's cache
            digest.update(block)
    return digest.hexdigest()


def _facts(item: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of the image, without its geometry, which the item has, and without whose it is and where it lay."""
    image = item.get("image")
    meta = image.meta if isinstance(image, MetaTensor) else {}
    facts = {str(name): plain(value) for name, value in meta.items() if name not in NOT_KEPT}
    return {name: value for name, value in facts.items() if not isinstance(value, (torch.Tensor, np.ndarray))}


def _find_mammogram_error(error: BaseException) -> MammogramError | None:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, MammogramError):
        cause = cause.__cause__
    return cause
