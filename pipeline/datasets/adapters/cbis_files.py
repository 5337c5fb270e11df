"""The files of a CBIS-DDSM download in any of its layouts, indexed once by Patient ID and by series."""

from __future__ import annotations

import csv
import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pydicom
from joblib import Parallel, delayed
from PIL import Image, UnidentifiedImageError

from ..import_report import ImportReport
from .cbis_tables import FileReference, ImageName
from .folder_files import list_files

__all__ = ["FileIndex", "ImageFile", "Role", "find_files", "index_files", "read_shapes"]

DICOM_SUFFIXES = (".dcm", ".dicom")
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")

T = TypeVar("T")
Role = str
"""``"full"``, ``"crop"``, ``"mask"``, or ``""`` where nothing tells."""

DESCRIPTIONS = {"full mammogram images": "full", "cropped images": "crop", "roi mask images": "mask"}
"""Series Description (0008,103E), also the middle of NBIA's folder names ``1.000000-cropped
images-96424``."""

_UID = re.compile(r"[0-9]+(\.[0-9]+){5,}")


@dataclass(frozen=True)
class ImageFile:
    """One file: whose it is and what is known of it without decoding.

    ``folder`` is the Patient ID, ``series_uid`` the whole UID; each is empty where the layout does not show
    it.
    """

    path: str
    folder: str = ""
    series_uid: str = ""
    series_tail: str = ""
    """The last five digits of the UID, all that NBIA's descriptive folder names keep."""
    role: Role = ""
    shape: tuple[int, int] | None = None
    """Rows and columns."""


class FileIndex:
    """Files by Patient ID and by series UID."""

    def __init__(self, files: Iterable[ImageFile]) -> None:
        self.by_folder: dict[str, list[ImageFile]] = defaultdict(list)
        self.by_series: dict[str, list[ImageFile]] = defaultdict(list)
        for file in sorted(files, key=lambda file: file.path):
            if file.folder:
                self.by_folder[file.folder].append(file)
            if file.series_uid:
                self.by_series[file.series_uid].append(file)

    def find(self, reference: FileReference) -> list[ImageFile]:
        """Files a table's path means: of that series if it is there, else all of that Patient ID."""
        by_uid = self.by_series.get(reference.series_uid, [])
        if by_uid:
            return by_uid
        files = self.by_folder.get(reference.folder, [])
        by_tail = [file for file in files if file.series_tail and reference.series_uid.endswith(file.series_tail)]
        return by_tail or files


def find_files(root: Path) -> tuple[list[str], list[str]]:
    """Images and tables at or below the dataset's folder, see :func:`list_files`.

    Returns:
        Paths of image files, and of CSV files.
    """
    files = [(os.fspath(path), path.suffix.lower()) for path in list_files(root)]
    images = [path for path, suffix in files if suffix in (*DICOM_SUFFIXES, *PICTURE_SUFFIXES)]
    tables = [path for path, suffix in files if suffix == ".csv"]
    return images, tables


def index_files(
    paths: Sequence[str],
    series_uids: Collection[str],
    dicom_info: Path | None,
    report: ImportReport,
    workers: int,
) -> FileIndex:
    """Find out whose each file is: from the path, from Kaggle's ``dicom_info.csv``, else from its header.

    Args:
        paths: of all image files.
        series_uids: those of the case tables: a folder of such a name needs no header to be read.
        dicom_info: Kaggle's table of headers, where there is one.
        report: gets the files that are of no use.
        workers: headers read at a time.
    """
    told = _read_dicom_info(dicom_info) if dicom_info else {}
    known: list[ImageFile] = []
    unknown: list[str] = []
    for path in paths:
        file = told.get(_last_two(path)) or _from_path(path, series_uids)
        if file is not None:
            known.append(replace(file, path=path))
        elif path.lower().endswith(PICTURE_SUFFIXES):
            continue  # a figure, a thumbnail: a picture has no header to ask
        else:
            unknown.append(path)
    known = _forget_roles_of_shared_series(known)
    for path, answer in zip(unknown, _parallel(_from_header, unknown, workers), strict=True):
        if isinstance(answer, ImageFile):
            known.append(answer)
        else:
            report.add("file", f"unreadable header: {answer}", item=path)
    return FileIndex(known)


def read_shapes(files: Sequence[ImageFile], workers: int) -> dict[str, tuple[int, int]]:
    """Rows and columns of files by path; a file whose header cannot be read is left out."""
    unread = [file.path for file in files if file.shape is None]
    shapes = dict(zip(unread, _parallel(_shape, unread, workers), strict=True))
    shapes |= {file.path: file.shape for file in files if file.shape is not None}
    return {path: shape for path, shape in shapes.items() if shape is not None}


def _from_path(path: str, series_uids: Collection[str]) -> ImageFile | None:
    """Layouts A, B, C and classic names: a folder is called like the Patient ID; E and Kaggle: like the
    series.
    """
    *folders, _ = Path(path).parts
    series = folders[-1] if folders else ""
    name = next((folder for folder in reversed(folders) if ImageName.parse(folder)), "")
    if _UID.fullmatch(series):
        return ImageFile(path, name, series) if name or series in series_uids else None
    if not name:
        return None
    description, _, tail = series.removeprefix("1.000000-").removeprefix("1-").rpartition("-")
    role = DESCRIPTIONS.get(description.strip().lower(), "")
    return ImageFile(path, name, "", tail if tail.isdecimal() else "", role)


def _forget_roles_of_shared_series(files: list[ImageFile]) -> list[ImageFile]:
    """A folder's name speaks for all its files, so it does not tell crop from mask where it holds both."""
    counts: dict[str, int] = defaultdict(int)
    for file in files:
        counts[os.path.dirname(file.path)] += 1
    return [
        replace(file, role="") if file.series_tail and counts[os.path.dirname(file.path)] > 1 else file
        for file in files
    ]


def _read_header(path: str) -> pydicom.Dataset | str:
    tags = ["PatientID", "SeriesInstanceUID", "SeriesDescription", "Rows", "Columns"]
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
        header.decode()
        return header if int(header.Rows) and int(header.Columns) else "no pixels"
    except Exception as error:  # hostile input: whatever pydicom stumbles over, it is this file's fault
        return f"{type(error).__name__}: {error}"


def _from_header(path: str) -> ImageFile | str:
    header = _read_header(path)
    if isinstance(header, str):
        return header
    folder, series = (str(header.get(tag, "")).strip() for tag in ("PatientID", "SeriesInstanceUID"))
    role = DESCRIPTIONS.get(str(header.get("SeriesDescription", "")).strip().lower(), "")
    shape = int(header.Rows), int(header.Columns)
    return ImageFile(path, folder if ImageName.parse(folder) else "", series, "", role, shape)


def _shape(path: str) -> tuple[int, int] | None:
    if path.lower().endswith(PICTURE_SUFFIXES):
        return _picture_shape(path)
    header = _read_header(path)
    return None if isinstance(header, str) else (int(header.Rows), int(header.Columns))


def _picture_shape(path: str) -> tuple[int, int] | None:
    try:
        with Image.open(path) as picture:  # reads the header only
            return picture.height, picture.width
    except (UnidentifiedImageError, OSError):
        return None


def _read_dicom_info(path: Path) -> dict[str, ImageFile]:
    """Kaggle's table of headers, by the last two parts of the picture's path (``<series UID>/1-204.jpg``)."""
    files: dict[str, ImageFile] = {}
    with open(path, newline="", encoding="utf-8-sig") as table:
        for row in csv.DictReader(table):
            key = _last_two(row.get("image_path") or "")
            folder = (row.get("PatientID") or "").strip()
            files[key] = ImageFile(
                path="",
                folder=folder if ImageName.parse(folder) else "",
                series_uid=(row.get("SeriesInstanceUID") or "").strip(),
                role=DESCRIPTIONS.get((row.get("SeriesDescription") or "").strip().lower(), ""),
                shape=_told_shape(row),
            )
    return files


def _told_shape(row: Mapping[str, str]) -> tuple[int, int] | None:
    rows, columns = (row.get(name) or "" for name in ("Rows", "Columns"))
    return (int(rows), int(columns)) if rows.isdecimal() and columns.isdecimal() else None


def _last_two(path: str) -> str:
    return "/".join(path.replace(os.sep, "/").split("/")[-2:])


def _parallel(function: Callable[[str], T], items: Sequence[str], workers: int) -> list[T]:
    return Parallel(n_jobs=workers, prefer="threads")(delayed(function)(item) for item in items)
