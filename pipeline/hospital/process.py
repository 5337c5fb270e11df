"""A study's files in, a folder of results out: the contract that every front and every orchestrator uses."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ...transforms.dicom_file import open_dicom
from ...transforms.errors import MammogramError
from ..evidence.hashes import sha256_of
from ..files import write_atomically
from ..sole_owner import sole_owner
from .decode import Limits
from .naming import is_ours, kind_of
from .page import write_page
from .result import StudyResult, StudyStatus
from .results import DEFAULT, WRITERS, write_objects
from .study import StudyEngine

__all__ = ["EXIT_STATUS", "RESULT", "process_files", "studies_of"]

RESULT = "result.json"
"""Written last: where it is, everything else is there and whole."""

PAGE = "page.html"

_PARTIAL = ".partial-"

EXIT_STATUS: Mapping[StudyStatus, int] = {
    StudyStatus.ANALYSED: 0,
    StudyStatus.NOT_ANALYSED: 3,
    StudyStatus.FAILED: 4,
}
"""Of `mammo process`, the worst of its studies; 1 is an error of the input as a whole, 2 misuse."""


def process_files(
    paths: Iterable[str | Path],
    engine: StudyEngine,
    folder: str | Path,
    kinds: Sequence[str] = DEFAULT,
    predecessor: Path | None = None,
    absent: Sequence[str] = (),
) -> StudyResult:
    """Process one study and write what it gave into ``folder``.

    There are then the DICOM objects, ``page.html`` for people and, written last, ``result.json``: all that is known,
    with the SHA-256 of the other files. An earlier result there is replaced.

    Args:
        paths: all files of the study.
        engine: what processes it.
        folder: made where missing.
        kinds: of DICOM objects, see :data:`~mammo.pipeline.hospital.results.WRITERS`.
        predecessor: the report that an earlier process gave of the same study, which the new one then names.
        absent: codes of why further images of the study could not be had, one for each.

    Raises:
        ValueError: an unknown kind, or another process is writing into the folder.
        OSError: as the file system raises it; a full disk with the folder and the way out.
    """
    folder = Path(folder)
    with sole_owner(folder, "folder for the results"):
        result = engine.process(paths, absent)
        try:
            _write(result, folder, kinds, predecessor)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            message = "no space left for the results; free some, or write them to another folder"
            raise OSError(error.errno, message, str(folder)) from error
    return result


def _write(result: StudyResult, folder: Path, kinds: Sequence[str], predecessor: Path | None) -> None:
    (folder / RESULT).unlink(missing_ok=True)
    for left in folder.glob(f"{_PARTIAL}*"):  # by a killed process: the folder is ours
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=_PARTIAL, dir=folder) as temporary:
        written = [*write_objects(result, Path(temporary) / "objects", kinds, predecessor=predecessor)]
        written.append(write_page(result, Path(temporary) / PAGE))
        files = {path.name: sha256_of(path) for path in written}
        for earlier in _objects(folder):  # else those of another study would be taken for this one's
            earlier.unlink()
        for path in written:
            os.replace(path, folder / path.name)
    record = {**result.record(), "files": files}
    write_atomically(folder / RESULT, json.dumps(record, indent=2).encode())


def _objects(folder: Path) -> list[Path]:
    """DICOM objects of ours, whatever study they are of."""
    return [path for path in folder.glob("*.dcm") if kind_of(path.name) in WRITERS]


def studies_of(paths: Iterable[Path]) -> list[list[Path]]:
    """Files by Study Instance UID (0020,000D), in the order in which studies appear.

    What tells no study joins the only one there is; among several it is a study of its own, which cannot be analysed
    but is answered. Results of ours are left out: they would make another job of the same images.
    """
    studies: dict[str, list[Path]] = {}
    lost = []
    for path in paths:
        try:
            header = open_dicom(path, Limits().max_pixels)
            if is_ours(str(header.get("Manufacturer") or ""), str(header.get("SeriesDescription") or "")):
                continue
            uid = str(header.get("StudyInstanceUID") or "")
        except MammogramError:
            uid = ""
        if uid:
            studies.setdefault(uid, []).append(path)
        else:
            lost.append(path)
    if lost and len(studies) == 1:
        next(iter(studies.values())).extend(lost)
    elif lost:
        studies[""] = lost
    return list(studies.values())
