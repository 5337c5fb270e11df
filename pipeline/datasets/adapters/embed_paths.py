"""Where the files of EMBED's ``anon_dicom_path`` lie on this disk."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

__all__ = ["locate_images"]


def locate_images(paths: Sequence[str], root: Path) -> list[str]:
    """Follow each path from the first of its parts that lies in ``root`` or in a folder of ``root``.

    The tables hold paths of the machine they were made on
    (``/mnt/.../cohort_1/<patient>/<study>/<series>/<image>.dcm``); a download keeps their last parts only. Two
    levels of folders are listed once and each file is asked for once, so that half a million paths take seconds and
    nothing is walked.

    Args:
        paths: as in the table.
        root: the dataset's folder, absolute.

    Returns:
        For each path the file, or the empty text where it is not there.
    """
    homes: dict[str, list[str]] = defaultdict(list)
    for folder in (str(root), *sorted(entry.path for entry in os.scandir(root) if entry.is_dir())):
        for name in os.listdir(folder):
            homes[name].append(folder)
    return [_locate(path, homes) for path in paths]


def _locate(path: str, homes: dict[str, list[str]]) -> str:
    parts = path.replace("\\", "/").split("/")
    for start, part in enumerate(parts):
        for folder in homes.get(part, ()):
            file = os.path.join(folder, *parts[start:])
            if os.path.isfile(file):
                return file
    return ""
