"""Where images wait: durable, and named by keyed hashes only."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from pathlib import Path

__all__ = ["Spool", "sync_file", "sync_folder"]

_ABANDONED_S = 3600.0


class Spool:
    """Images of studies under a folder that only its owner may read.

    Args:
        folder: made where missing.
    """

    def __init__(self, folder: Path) -> None:
        self.images, self.incoming, self.results = folder / "images", folder / "incoming", folder / "results"
        for path in (folder, self.images, self.incoming, self.results):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def temporary(self) -> Path:
        """A new name for what is being received."""
        return self.incoming / secrets.token_hex(16)

    def path(self, study: str, instance: str) -> Path:
        """Of an image, by the keyed hashes of its study and itself."""
        return self.images / study / f"{instance}.dcm"

    def adopt(self, temporary: Path, study: str, instance: str) -> bool:
        """Give a received file its place, on disk before this returns; the first of two with one name stays.

        Returns:
            Whether it was new.

        Raises:
            OSError: as the file system raises it; there is then no half of it.
        """
        path = self.path(study, instance)
        if path.exists():
            temporary.unlink()
            return False
        sync_file(temporary)
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            sync_folder(self.images)
        os.replace(temporary, path)
        sync_folder(path.parent)
        return True

    def new_result_folder(self) -> Path:
        """A folder that no earlier attempt has written to."""
        path = self.results / secrets.token_hex(16)
        path.mkdir(mode=0o700)
        return path

    def seal(self, folder: Path) -> None:
        """Bring everything in a result's folder to disk, and the folder itself."""
        for path in folder.iterdir():
            sync_file(path)
        sync_folder(folder)
        sync_folder(self.results)

    def drop_study(self, study: str) -> None:
        """Delete the images of a study."""
        shutil.rmtree(self.images / study, ignore_errors=True)

    def drop_result(self, name: str) -> None:
        """Delete a result's folder."""
        shutil.rmtree(self.results / name, ignore_errors=True)

    def sweep(self, results: set[str] | None = None) -> int:
        """Delete what a killed process or a broken connection left.

        Args:
            results: names of the folders that jobs know, for a start: all other results go, and all half-received
                files. None while studies come in: then files that nobody has written to for a while.

        Returns:
            How many there were.
        """
        if results is None:
            before = time.time() - _ABANDONED_S
            left = [path for path in self.incoming.iterdir() if path.lstat().st_mtime < before]
        else:
            left = [*self.incoming.iterdir(), *(path for path in self.results.iterdir() if path.name not in results)]
        for path in left:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return len(left)


def sync_file(path: Path) -> None:
    """Bring a file's content to disk."""
    _sync(path, os.O_RDONLY)


def sync_folder(path: Path) -> None:
    """Bring a folder's names to disk: only then does a new name outlive a power cut."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
