"""Checkpoints that hold more than tensors, read without running anything of theirs."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import tarfile
import threading
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor
from torch.types import Storage

__all__ = ["LIMIT_BYTES", "InertObject", "read_checkpoint"]

LIMIT_BYTES = 8 * 2**30
"""Bytes that a checkpoint may unpack to, unless told otherwise: a few times the largest that we know."""

PROTOCOL = 2
"""Pickle protocol of ``torch.save``."""

_ZIP_START = b"PK\x03\x04"
_LEGACY_PICKLES = 5  # magic number, version, system, content, names of the storages
_TENSORS = re.compile(
    r"torch\.((cuda\.)?\w*Storage|bool|b?float\w+|u?int\d+|complex\d+|Size|device)"
    r"|torch\._utils\._rebuild_(tensor|tensor_v2|parameter)"
    r"|collections\.(OrderedDict|Counter)|_codecs\.encode|builtins\.(set|complex)"
)
# Settings name types as well as objects; none of them is used.
_INERT = re.compile(
    r"omegaconf(\.\w+)+|typing\.(Any|Union|Optional)|pathlib(\.\w+)+|builtins\.(dict|list|tuple|str|bytes|int|float|bool)"
)
_PLAIN_NUMBERS = re.compile(r"[biufcSU]\d+")
# What is allowed is a setting of the whole process.
_LOCK = threading.Lock()


class InertObject:
    """What stands for an object whose class is not run: it keeps what it was given.

    Attributes:
        arguments: that it was made with.
        state: that it was filled with, or None.
    """

    arguments: tuple[Any, ...]
    state: Any

    def __new__(cls, *arguments: Any) -> InertObject:
        made = super().__new__(cls)
        made.arguments, made.state = arguments, None
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _NumberType:
    """For ``numpy.dtype``: plain numbers and text only, since others hold objects."""

    def __init__(self, code: str, *flags: Any) -> None:
        if not _PLAIN_NUMBERS.fullmatch(code):
            raise ValueError(f"arrays of numpy type {code!r} are not read, only numbers and text")
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.value = self.value.newbyteorder(state[1])


class _Scalar:
    """For numpy's maker of scalars."""

    def __new__(cls, kind: _NumberType, data: bytes) -> Any:
        return np.frombuffer(data, kind.value, count=1)[0]


class _Array(np.ndarray[Any, Any]):
    """For numpy's maker of arrays: one without values, until it is filled."""

    def __new__(cls, *arguments: Any) -> _Array:
        return super().__new__(cls, (0,))

    def __setstate__(self, state: Any) -> None:
        version, shape, kind, fortran, data = state
        super().__setstate__((version, shape, kind.value, fortran, data))


class _Dictionary:
    """For ``collections.defaultdict``: a plain dictionary, which knows no maker of its values."""

    def __new__(cls, *arguments: Any) -> Any:
        return {}


_OURS = {
    "collections.defaultdict": _Dictionary,
    "numpy.dtype": _NumberType,
    "numpy.ndarray": InertObject,
    "numpy.core.multiarray.scalar": _Scalar,
    "numpy._core.multiarray.scalar": _Scalar,
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray._reconstruct": _Array,
}


def read_checkpoint(path: str | Path, *, limit_bytes: int = LIMIT_BYTES) -> dict[str, Any]:
    """What ``torch.save`` wrote, settings and numbers beside the tensors, with no code run for it.

    Read by ``torch.load(weights_only=True)``, in the zip format and in the older one, on the CPU. What that refuses but
    checkpoints of training scripts hold is replaced: objects of omegaconf, paths and types by :class:`InertObject`,
    numpy's numbers and arrays by ours. Every name in the file is looked at before anything is made of it.

    Args:
        path: a ``.tar``, ``.pth`` or ``.pt`` file of torch.
        limit_bytes: that the file may unpack to, and its tensors may cover.

    Raises:
        ValueError: the file is missing, cut off or of another kind, asks for anything else (which is named), unpacks to
            more than the limit, or holds no dictionary.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no checkpoint at {path}; give a .tar, .pth or .pt file that torch.save wrote")
    try:
        with path.open("rb") as file, _LOCK:
            stand_ins = _stand_ins(file, limit_bytes)
            file.seek(0)
            with torch.serialization.safe_globals(stand_ins):
                content = torch.load(file, map_location=_Meter(limit_bytes), weights_only=True)
        _check_limit(_tensor_bytes(content), limit_bytes)
    except pickle.UnpicklingError as error:
        # Torch's message advises to trust the file.
        raise ValueError(f"{path} is not read: torch's reader of weights refuses what its pickle does") from error
    except Exception as error:  # a hostile or broken file can raise anything
        raise ValueError(f"{path} is not read: {error or type(error).__name__}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a dictionary of tensors")
    return content


class _Meter:
    """Leaves each storage on the CPU, and adds up their bytes."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes, self.total = limit_bytes, 0

    def __call__(self, storage: Storage, location: str) -> Storage:
        self.total += storage.nbytes()
        _check_limit(self.total, self.limit_bytes)
        return storage


def _check_limit(size: int, limit_bytes: int) -> None:
    if size > limit_bytes:
        raise ValueError(
            f"it unpacks to {size} bytes or more, above the limit of {limit_bytes}; "
            "raise limit_bytes if you expect as much of it"
        )


def _stand_ins(file: IO[bytes], limit_bytes: int) -> list[Any]:
    """Classes under the names that the file asks for and torch does not allow."""
    names = {name for pickled in _pickles(file, limit_bytes) for name in _names(pickled)}
    return [made for name in sorted(names) if (made := _stand_in(*name)) is not None]


def _pickles(file: IO[bytes], limit_bytes: int) -> Iterator[IO[bytes]]:
    """The file, or part of it, at the start of each of its pickles."""
    if file.read(len(_ZIP_START)) != _ZIP_START:
        file.seek(0)
        if tarfile.is_tarfile(file):
            raise ValueError("it is a tar archive; torch.save writes none, whatever the ending of its files")
        file.seek(0)
        for _ in range(_LEGACY_PICKLES):
            yield file
        return
    with zipfile.ZipFile(file) as archive:
        _check_limit(sum(entry.file_size for entry in archive.infolist()), limit_bytes)
        names = archive.namelist()
        found = [name for name in names if name.endswith("/data.pkl")]
        if len(found) != 1 or any(name.endswith("/constants.pkl") for name in names):
            raise ValueError("it is a zip archive, but not one of torch.save's (TorchScript is not read either)")
        yield io.BytesIO(archive.read(found[0]))


def _names(file: IO[bytes]) -> Iterator[tuple[str, str]]:
    """Module and name of what a pickle asks for, as Python 3 calls it, as they come; refused is what is not allowed."""
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "PROTO" and argument != PROTOCOL:
            raise ValueError(f"it is pickled by protocol {argument}; save it with torch.save's own, {PROTOCOL}")
        if opcode.name in ("GLOBAL", "INST"):
            module, name = str(argument).split(" ", 1)
            module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
            _check_allowed(f"{module}.{name}")
            yield module, name


def _check_allowed(full: str) -> None:
    if full not in _OURS and not _TENSORS.fullmatch(full) and not _INERT.fullmatch(full):
        raise ValueError(
            f"it asks for {full}, which tensors and settings do not need; "
            "nothing of it was run, but take care where the file came from"
        )


def _stand_in(module: str, name: str) -> type | None:
    full = f"{module}.{name}"
    if _TENSORS.fullmatch(full):
        return None
    # Torch knows a class by these two.
    return type(name, (_OURS.get(full, InertObject),), {"__module__": module, "__qualname__": name})


def _tensor_bytes(content: Any) -> int:
    """Bytes of all tensors if each were written out; strides let a small file describe large ones."""
    waiting, seen, total = [content], set[int](), 0
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            total += item.nbytes
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, (list, tuple)):
            waiting.extend(item)
        elif isinstance(item, InertObject):
            waiting.extend((item.arguments, item.state))
    return total
