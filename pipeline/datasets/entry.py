"""One prepared image as the bytes of a safetensors file: 16 bits a pixel, one bit of mask, plain values, a checksum."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from xxhash import xxh3_128

__all__ = ["DamagedEntryError", "encode", "plain", "quantised", "read_entry", "read_facts"]

FORMAT = "mammo-prepared-1"
_LEVELS = 65535


class DamagedEntryError(ValueError):
    """A file that is no whole entry."""


def encode(item: Mapping[str, Any], facts: Mapping[str, Any]) -> bytes:
    """Bytes of a safetensors file that holds an item; equal items give equal bytes.

    A channel-first float32 picture in [0, 1] becomes 16 bits a pixel; a mask of 0 and 1 becomes one; other tensors
    stay as they are, and plain values become JSON.

    Args:
        item: tensors, numbers, texts, None, and lists and mappings of these.
        facts: what is known of the file and of its pixels beside the item, plain values.

    Raises:
        ValueError: for a value of another kind.
    """
    arrays: dict[str, np.ndarray] = {}
    how: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for name, value in item.items():
        if isinstance(value, (torch.Tensor, np.ndarray)):
            arrays[name], how[name] = _pack(np.asarray(value))
        else:
            values[name] = value
    try:
        about = json.dumps({"how": how, "values": values, "facts": facts}, allow_nan=True)
    except (TypeError, ValueError) as error:
        kinds = {name: type(value).__name__ for name, value in values.items()}
        raise ValueError(f"prepared items must hold tensors, numbers and texts only, got {kinds} ({error})") from error
    # One key only: the library writes metadata in the order of a hash table, which differs between processes.
    head = json.dumps({"format": FORMAT, "xxh3_128": _checksum(about, arrays), "about": about})
    return save(arrays, metadata={"mammo": head})


def read_entry(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The item and the facts of an entry, its checksum verified.

    Raises:
        DamagedEntryError: for a file that is cut, altered or not an entry.
        FileNotFoundError: where there is none.
    """
    about, arrays = _read(path)
    tensors = {name: torch.from_numpy(_unpack(arrays[name], how)) for name, how in about["how"].items()}
    return {**tensors, **about["values"]}, about["facts"]


def read_facts(path: str | Path, *, verify: bool = False) -> dict[str, Any]:
    """The facts of an entry, with its plain values and the shapes of its tensors, without the pixels.

    Args:
        path: of the entry.
        verify: read the pixels too and compare the checksum.

    Raises:
        DamagedEntryError: as :func:`read_entry`.
    """
    about = _read(path)[0] if verify else _about(path)
    shapes = {name: how["shape"] for name, how in about["how"].items()}
    return {**about["facts"], **about["values"], "shapes": shapes}


def quantised(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item as it will be read back: what is kept and what is not must train alike."""
    result = dict(item)
    for name, value in item.items():
        if isinstance(value, torch.Tensor):
            array, how = _pack(np.asarray(value))
            result[name] = torch.from_numpy(_unpack(array, how))
    return result


def plain(value: Any) -> Any:
    """Enumerations, paths and numpy numbers as plain values; tensors without metadata."""
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, PathLike):
        return fspath(value)
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, torch.Tensor):
        return value.as_subclass(torch.Tensor)
    return value


def _pack(array: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    how = {"shape": list(array.shape), "as": "raw"}
    if array.dtype != np.float32 or array.ndim != 3 or not array.size:
        return np.ascontiguousarray(array), how
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # also for NaN
        return np.ascontiguousarray(array), how
    inside = array > 0
    if np.array_equal(inside, array):
        return np.packbits(inside), how | {"as": "bits"}
    levels = np.rint(array * np.float32(_LEVELS)).astype(np.uint16)
    return levels, how | {"as": "unit16"}


def _unpack(array: np.ndarray, how: Mapping[str, Any]) -> np.ndarray:
    count = math.prod(how["shape"])
    if array.size != (-(-count // 8) if how["as"] == "bits" else count):
        raise DamagedEntryError(f"{array.size} elements do not make a tensor of shape {how['shape']}")
    if how["as"] == "raw":
        return array.reshape(how["shape"])
    if how["as"] == "bits":
        return np.unpackbits(array, count=count).astype(np.float32).reshape(how["shape"])
    image = array.astype(np.float32)
    return np.divide(image, np.float32(_LEVELS), out=image).reshape(how["shape"])


def _read(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with _opened(path) as file:
        head, about = _parse(file.metadata())
        arrays = {name: file.get_tensor(name) for name in about["how"]}
        if _checksum(head["about"], arrays) != head["xxh3_128"]:
            raise DamagedEntryError(f"{path}: the checksum does not fit the content")
    return about, arrays


def _about(path: str | Path) -> dict[str, Any]:
    with _opened(path) as file:
        return _parse(file.metadata())[1]


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    """Safetensors checks sizes and places before it gives anything away, and runs nothing."""
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DamagedEntryError):
            raise
        raise DamagedEntryError(f"{path}: not a whole entry ({type(error).__name__}: {error})") from error


def _parse(metadata: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    head = json.loads(metadata["mammo"])
    if head["format"] != FORMAT:
        raise ValueError(f"format {head['format']!r}, expected {FORMAT!r}")
    return head, json.loads(head["about"])


def _checksum(about: str, arrays: Mapping[str, np.ndarray]) -> str:
    digest = xxh3_128(about.encode())
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
