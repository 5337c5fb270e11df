"""Images that lie elsewhere: URLs of any file system that fsspec knows (s3, gs, http, ...)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec

from ...transforms.errors import MammogramError, ReadFailure, refusing

__all__ = ["is_url", "local_copy", "remote_identity"]

_MOST_BYTES = 1 << 30  # of one image; the largest tomosynthesis files have about half of it


def is_url(path: str) -> bool:
    """Whether a path names another file system, such as ``s3://bucket/image.dcm``."""
    return "://" in path


def remote_identity(url: str) -> list[Any]:
    """Size and version of a remote file: what its file system tells of a checksum, an ETag or the time of change.

    Raises:
        MammogramError: ``missing``, also where the file system cannot be reached or needs another package.
    """
    with refusing(url, ReadFailure.MISSING, "cannot be reached"):
        system, path = fsspec.core.url_to_fs(url)
        info = system.info(path)
    version = next((info[name] for name in ("ETag", "md5Hash", "mtime", "LastModified", "created") if name in info), "")
    return [url, info.get("size"), str(version)]


@contextmanager
def local_copy(url: str) -> Iterator[str]:
    """A temporary file with the content of ``url``; decoders of DICOM and NIfTI want a true file.

    Raises:
        MammogramError: ``missing`` where it cannot be fetched, ``too_large`` for more than 1 GiB.
    """
    with tempfile.TemporaryDirectory(prefix="mammo-") as folder:
        path = os.path.join(folder, os.path.basename(url.split("?")[0]) or "image")
        with refusing(url, ReadFailure.MISSING, "cannot be fetched"):
            _fetch(url, path)
        yield path


def _fetch(url: str, path: str) -> None:
    with fsspec.open(url, "rb") as source, open(path, "wb") as copy:
        while block := source.read(1 << 20):
            copy.write(block)
            if copy.tell() > _MOST_BYTES:
                raise MammogramError(url, ReadFailure.TOO_LARGE, f"more than {_MOST_BYTES} bytes")
