"""Released weights that a row starts from, found on disk and converted; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

from ..evidence.hashes import sha256_of
from .row import Row
from .sources import weights_source

__all__ = ["convert_weights", "missing_weights"]


def missing_weights(row: Row, folder: Path | None) -> list[str]:
    """What a user still has to get, an error each."""
    found = []
    for name in row.weights:
        source = weights_source(name)
        if folder is None:
            found.append(source.missing("give the folder of its file with --weights"))
        elif _find(name, folder) is None:
            found.append(source.missing(f"{folder} has no {' or '.join(source.files)}"))
    return found


def convert_weights(row: Row, folder: Path | None, out: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The path of each of the row's weights, ready for the bundle's stages, and the SHA-256 of what was released.

    A folder (of a text encoder) is taken as it is; a file is converted to ``out/NAME.safetensors`` once.

    Raises:
        ValueError: for a file that is not what its name says.
    """
    from ..convert import convert

    ready, hashes = {}, {}
    for name in row.weights:
        path = None if folder is None else _find(name, folder)
        if path is None:
            raise ValueError("\n".join(missing_weights(row, folder)))
        if path.is_dir():
            ready[name] = str(path.absolute())
            continue
        hashes[name] = sha256_of(path)
        made = (out / f"{name}-{hashes[name][:12]}.safetensors").absolute()
        if not made.is_file():
            convert(path, made)
        ready[name] = str(made)
    return ready, hashes


def _find(name: str, folder: Path) -> Path | None:
    """A file or folder of a known name, in the folder or one below."""
    for pattern in weights_source(name).files:
        found = sorted(path for level in ("", "*/") for path in folder.glob(level + pattern))
        if found:
            return found[0]
    return None
