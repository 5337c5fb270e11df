"""A hash of transforms by what they are and how they are set, the same in every process."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import partial
from os import PathLike, fspath
from types import MethodType
from typing import Any

import numpy as np
import torch

__all__ = ["transform_fingerprint"]


def transform_fingerprint(transforms: Sequence[Any]) -> str:
    """SHA-256 of the classes and settings of transforms.

    MONAI's ``pickle_hashing`` depends on which equal strings happen to be one object, so the same pipeline
    from a configuration and from code hashes differently; ``json_hashing`` falls back to class names and
    misses settings.

    Raises:
        ValueError: for a setting that has no stable description (a lambda, an open file).
    """
    text = json.dumps([describe(transform) for transform in transforms], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def describe(value: Any) -> Any:
    """A JSON form of a transform or of one of its settings."""
    if isinstance(value, Enum):
        return describe(value.value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.random.RandomState):
        return "random"  # a Compose inside a transform has one; what is kept on disk never draws from it
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, PathLike):
        return fspath(value)
    if isinstance(value, (torch.dtype, torch.device, np.dtype)):
        return str(value)
    if isinstance(value, (np.ndarray, torch.Tensor)):
        array = np.ascontiguousarray(value)
        return [str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
    if isinstance(value, Mapping):
        return [[describe(key), describe(item)] for key, item in value.items()]
    if isinstance(value, (set, frozenset)):
        return sorted(json.dumps(describe(item)) for item in value)
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    return _describe_object(value)


def _describe_object(value: Any) -> Any:
    if isinstance(value, partial):
        return ["partial", describe(value.func), describe(value.args), describe(value.keywords)]
    if isinstance(value, MethodType):
        return [value.__func__.__qualname__, describe(value.__self__)]
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    name = getattr(value, "__qualname__", "<local")  # of a function; an instance has none
    if "<l" not in name:  # <lambda> and <locals> share their names with others
        return f"{value.__module__}.{name}"
    if (callable(value) and hasattr(value, "__code__")) or not hasattr(value, "__dict__"):
        raise ValueError(
            f"{value!r} cannot be told apart from another one of its name, so what it prepares cannot be "
            "kept on disk; use a named function or a transform class, or no cache_dir"
        )
    # MONAI's invertible transforms get a thread-local switch at their first call: it is no setting.
    state = {key: item for key, item in vars(value).items() if not isinstance(item, threading.local)}
    return [describe(type(value)), [[key, describe(item)] for key, item in sorted(state.items())]]
