"""A disk of a few kilobytes: a tmpfs in a namespace of this process, which needs no rights and goes with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["disk_size_kb", "enter_namespace", "grow", "small_disk"]

_INSIDE = "MAMMO_FAULTS_NAMESPACE"
_BLOCK = 4096


def enter_namespace() -> None:
    """Start this process again where it may mount.

    Raises:
        RuntimeError: there is no util-linux, or the machine forbids user namespaces.
    """
    if _INSIDE in os.environ:
        return
    unshare = [shutil.which("unshare") or "unshare", "--user", "--map-root-user", "--mount"]
    try:
        subprocess.run([*unshare, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(
            "a small disk needs util-linux's unshare and user namespaces, which this machine does not give; leave the "
            "full disk out by --only"
        ) from error
    os.environ[_INSIDE] = "1"
    os.execv(unshare[0], [*unshare, *sys.orig_argv])


@contextmanager
def small_disk(folder: Path, size_kb: int) -> Iterator[Path]:
    """Mount a disk of this size at a folder as long as the block runs."""
    folder.mkdir(parents=True)
    _call("mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", folder)
    try:
        yield folder
    finally:
        _call("umount", "--lazy", folder)


def grow(folder: Path, size_kb: int) -> None:
    """Give a small disk more space."""
    _call("mount", "-o", f"remount,size={size_kb}k", folder)


def disk_size_kb(folder: Path) -> int:
    """What the files of a folder take on such a disk, several names of one file once."""
    stats = (path.stat() for path in folder.rglob("*") if path.is_file())
    sizes = {(stat.st_dev, stat.st_ino): stat.st_size for stat in stats}
    return sum(-(-size // _BLOCK) for size in sizes.values()) * _BLOCK // 1024


def _call(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True)
