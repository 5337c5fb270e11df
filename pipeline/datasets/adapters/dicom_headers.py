"""Headers of many DICOM mammograms, read side by side; no pixel is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from joblib import Parallel, delayed

from ....transforms.dicom_file import MAMMOGRAPHY_MODALITIES, check_header, open_dicom
from ....transforms.errors import MammogramError
from ....transforms.header import describe_header

__all__ = ["read_headers"]

MAX_PIXELS = 1 << 26
"""As for the reader of pixels."""


def read_headers(paths: Sequence[str], workers: int) -> list[dict[str, Any] | str]:
    """What each file's header says, as :func:`~mammo.transforms.header.describe_header` gives it.

    Args:
        paths: of DICOM files.
        workers: files read at a time.

    Returns:
        For each path the description, or in words why the file is not a usable mammogram.
    """
    return list(Parallel(n_jobs=max(1, workers), prefer="threads")(delayed(_describe)(path) for path in paths))


def _describe(path: str) -> dict[str, Any] | str:
    try:
        header = open_dicom(path, MAX_PIXELS)
        check_header(header, path, MAX_PIXELS, MAMMOGRAPHY_MODALITIES)
        return describe_header(header, path)
    except MammogramError as error:
        return error.message
    except (ValueError, TypeError, AttributeError) as error:  # a value that contradicts its own type
        return f"the header holds a value that cannot be read ({error})"
