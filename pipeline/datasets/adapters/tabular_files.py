"""Tables of datasets as they come: CSV files and workbooks, every cell as text."""

from __future__ import annotations

import csv
import re
import warnings
import zipfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from openpyxl.utils.exceptions import InvalidFileException

__all__ = ["column_names", "find_table", "locate_table", "numbered_rows", "read_table", "whole_number"]

MISSING = frozenset({"", "na", "n/a", "nan", "none", "null"})
"""Ways a missing cell is written, in small letters."""

WORKBOOKS = (".xlsx", ".xlsm")

LARGE = 1 << 26
"""Bytes from which only the columns asked for are read."""

_WHOLE = re.compile(r"([0-9]+)(?:\.0+)?Y?")


def find_table(root: Path, *names: str) -> Path | None:
    """The first of some file names in a folder or up to two folders below it, the shallowest copy; None if there is
    none.
    """
    for level in ("", "*/", "*/*/"):
        for name in names:
            found = sorted(path for path in root.glob(level + name) if path.is_file())
            if found:
                return found[0]
    return None


def locate_table(root: Path, *names: str) -> Path:
    """As :func:`find_table`.

    Raises:
        ValueError: naming the folder and what was looked for.
    """
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder")
    if (found := find_table(root, *names)) is not None:
        return found
    raise ValueError(
        f"{root}: {' or '.join(names)} not found here or up to two folders below; "
        "give the folder that the dataset was downloaded to, its tables included"
    )


def column_names(path: Path) -> list[str]:
    """The columns of a CSV file or of the first sheet of a workbook, as they are spelled there."""
    return [str(name) for name in _parse(path, 0, rows=0).columns]


def read_table(
    path: Path, columns: Sequence[str], optional: Collection[str] = (), *, sheet: str | int = 0
) -> pd.DataFrame:
    """Read columns of a CSV file or workbook as text without blanks around it.

    A missing cell (empty, NA, N/A, NaN, None, null) is the empty text. Names of columns are found whatever their
    case. Rows without any cell are left out; the index is the number of the row, 1 for the first below the header.

    Args:
        path: the file; a CSV file may be separated by comma, semicolon or tab.
        columns: what must be there.
        optional: what is read where it is there.
        sheet: name or number of the sheet of a workbook.

    Raises:
        ValueError: naming the file and a column that is missing, or why the file cannot be read.
    """
    present = [str(name) for name in _parse(path, sheet, rows=0).columns]
    loosely = {name.strip().lower(): name for name in reversed(present)}
    spelled = {
        name: name if name in present else loosely.get(name.strip().lower(), "") for name in (*columns, *optional)
    }
    missing = [name for name in columns if not spelled[name]]
    if missing:
        raise ValueError(
            f"{path}: the column {missing[0]!r} is missing; expected {', '.join(columns)}, found {', '.join(present)}"
        )
    wanted = {there: name for name, there in spelled.items() if there}
    frame = _parse(path, sheet, keep=list(wanted))[list(wanted)].rename(columns=wanted)
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    frame = frame.apply(_clean)
    return frame[(frame != "").any(axis=1)]


def numbered_rows(frame: pd.DataFrame) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row of :func:`read_table` with its number, one at a time."""
    names = list(frame.columns)
    for number, *cells in frame.itertuples(name=None):
        yield number, dict(zip(names, cells, strict=True))


def whole_number(text: str, low: int, high: int) -> int | None:
    """The number that a cell such as ``64``, ``64.0`` or (DICOM ages) ``064Y`` holds; None if it is not from ``low``
    to ``high``.
    """
    match = _WHOLE.fullmatch(text.strip())
    return int(match[1]) if match and low <= int(match[1]) <= high else None


def _parse(path: Path, sheet: str | int, *, rows: int | None = None, keep: list[str] | None = None) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            # Styles and extensions that openpyxl does not know say nothing about the cells.
            warnings.filterwarnings("ignore", module="openpyxl")
            # pandas cuts rows that are longer than the header, whose cells may be shifted.
            warnings.filterwarnings("error", category=pd.errors.ParserWarning)
            if path.suffix.lower() in WORKBOOKS:
                return pd.read_excel(path, sheet_name=sheet, dtype=str, keep_default_na=False, nrows=rows, usecols=keep)
            # Told the columns, pandas is faster but does not see rows with too many cells.
            whole = path.stat().st_size < LARGE
            return pd.read_csv(
                path,
                sep=_separator(path),
                dtype=str,
                keep_default_na=False,
                encoding="utf-8-sig",
                skip_blank_lines=False,
                index_col=False,
                nrows=rows,
                usecols=None if whole else keep,
            )
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not in UTF-8 ({error}); save it as CSV in UTF-8") from error
    except (ValueError, KeyError, pd.errors.ParserWarning, zipfile.BadZipFile, InvalidFileException) as error:
        raise ValueError(
            f"{path}: cannot be read as a table ({' '.join(str(error).split())}); save it as CSV in UTF-8, "
            "with texts that hold the separator in quotes"
        ) from error


def _separator(path: Path) -> str:
    with open(path, encoding="utf-8-sig", newline="") as file:
        header = file.readline()
    return max(",;\t", key=lambda mark: len(next(csv.reader([header], delimiter=mark), [])))


def _clean(cells: pd.Series) -> pd.Series:
    # Most columns repeat few values: each is cleaned once.
    codes, values = pd.factorize(cells.fillna(""))
    texts = [str(value).strip() for value in values]
    cleaned = np.array(["" if text.lower() in MISSING else text for text in texts], dtype=object)
    return pd.Series(cleaned[codes] if len(cleaned) else cells, index=cells.index, dtype=object)
