"""All files of a downloaded dataset."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["list_files"]


def list_files(root: Path) -> list[Path]:
    """Files at or below a folder, the shallowest first; links to folders are followed, each is entered once.

    Raises:
        ValueError: if ``root`` is not a folder.
    """
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder")
    files: list[Path] = []
    entered: set[str] = set()
    for folder, children, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered:
            children.clear()
            continue
        entered.add(real)
        files += [Path(folder, name) for name in names]
    return sorted(files, key=lambda path: (len(path.parts), str(path)))
