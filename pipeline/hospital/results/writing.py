"""From a result to a folder of DICOM files that is there whole or not at all."""

from __future__ import annotations

import importlib
import io
import itertools
import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from ..naming import file_name
from ..result import StudyResult
from .kinds import DEFAULT, WRITERS, check_kinds

__all__ = ["write_objects"]

_NUMBERS = itertools.count()


def write_objects(
    result: StudyResult,
    folder: str | Path,
    kinds: Iterable[str] = DEFAULT,
    now: datetime | None = None,
    predecessor: Path | None = None,
) -> list[Path]:
    """Write a result as DICOM files into a new folder.

    The same result and time give the same bytes. Files are named by kind and number, never by what a header says. The
    folder appears whole, by a move within its parent; where it is there already with these very files, it is left as
    it is.

    Args:
        result: of a study, however it ended, with its pictures.
        folder: to be made; there may be an empty one.
        kinds: of objects, see :data:`~mammo.pipeline.hospital.results.WRITERS`.
        now: content date and time, the present by default; whoever may have to write again keeps it.
        predecessor: the report of an earlier result of the same study, which the new report names; images may have come
            late, or the model may be another.

    Returns:
        The files by kind and number. None, and no folder, where no header of the study can be read: then nobody knows
        which patient an object would belong to, and the caller's own record has to tell.

    Raises:
        ValueError: an unknown kind, or a result without the pictures that a kind draws.
        MammogramError: an image is no longer where it was.
        FileExistsError: the folder is there and holds anything else.
        ModuleNotFoundError: highdicom is not installed.
        OSError: as the file system raises it.
    """
    asked = check_kinds(kinds)
    if not any(view.sop_instance_uid for view in result.views):
        return []
    files = _contents(result, asked, now, predecessor)
    return _place(files, Path(folder)) if files else []


def _contents(
    result: StudyResult, kinds: Iterable[str], now: datetime | None, predecessor: Path | None
) -> dict[str, bytes]:
    """The bytes of each file by its name."""
    for name in ("highdicom", "pydicom"):  # below that they log UIDs and values
        logging.getLogger(name).setLevel(logging.WARNING)
    context = _module("common").ObjectContext.of(result, now, predecessor)
    made = {kind: getattr(_module(WRITERS[kind]), WRITERS[kind])(context) for kind in kinds}
    return {
        file_name(kind, number): _encoded(ds) for kind, objects in made.items() for number, ds in enumerate(objects, 1)
    }


def _module(name: str) -> Any:
    try:
        return importlib.import_module(f".{name}", __package__)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "highdicom":
            raise
        message = "DICOM results need highdicom, which is not installed; pip install 'mammo[hospital]'"
        raise ModuleNotFoundError(message) from error


def _encoded(ds: Dataset) -> bytes:
    buffer = io.BytesIO()
    with disable_value_validation():  # the patient is written as the images have it, valid or not
        ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _place(files: Mapping[str, bytes], folder: Path) -> list[Path]:
    paths = [folder / name for name in files]
    if folder.exists() and any(folder.iterdir()):
        if sorted(folder.iterdir()) == sorted(paths) and all(p.read_bytes() == files[p.name] for p in paths):
            return paths
        raise FileExistsError(f"{folder} holds other files; give a new or an empty folder for the results")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name[:40]}.partial-{os.getpid()}-{next(_NUMBERS)}")
    try:
        partial.mkdir()
        for name, content in files.items():
            _write(partial / name, content)
        _sync(partial)
        os.rename(partial, folder)
    except BaseException:  # Ctrl-C too must leave nothing behind
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _sync(folder.parent)
    return paths


def _write(path: Path, content: bytes) -> None:
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make names in a folder survive a loss of power."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
