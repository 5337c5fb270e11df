"""Wheel and sdist: built from what git lists, complete, free of what does not belong there, and of one content."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from .environments import Environment

__all__ = ["build", "copy_tree", "foreign", "members", "missing"]

FOREIGN = re.compile(
    r"(^|/)(tests?|benchmarks|tools|examples|shared|data|dist|build|\.venv[^/]*|\.[^/]*_cache|__pycache__)(/|$)"
)
"""Folders that neither archive may hold."""
NOT_CODE = {".dcm", ".dicom", ".pt", ".safetensors", ".png", ".jpg", ".npy", ".npz", ".onnx", ".pyc", ".so", ".pem"}
"""Images, weights and what was built: none belongs in an archive of code and configuration."""
ALSO_IN_SDIST = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "constraints.txt")


def copy_tree(root: Path, folder: Path) -> None:
    """Copy the files that git tracks, or would, so that nothing else of a checkout gets into an archive."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(words, cwd=root, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        source = root / name
        if source.is_file() and not name.startswith(".typing"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(source.read_bytes())


def build(tools: Environment, tree: Path, out: Path) -> tuple[Path, Path]:
    """Build an sdist and the wheel of it into the empty folder ``out``; both pass every check of this file.

    Args:
        tools: an environment with ``build`` and ``twine``.
        tree: a clean copy of the checkout (:func:`copy_tree`).
        out: where the archives go.

    Returns:
        The wheel and the sdist.

    Raises:
        ValueError: naming what an archive lacks, or holds and should not, or where the two wheels differ.
    """
    tools.run("python", "-m", "build", "--outdir", str(out), str(tree))  # the wheel from the sdist
    tools.run("python", "-m", "build", "--wheel", "--outdir", str(out / "direct"), str(tree))
    wheel, sdist, direct = (next(out.glob(name)) for name in ("*.whl", "*.tar.gz", "direct/*.whl"))
    tools.run("twine", "check", "--strict", str(wheel), str(sdist))
    for archive in (wheel, sdist):
        names = members(archive)
        if lacking := missing(names, tree, sdist=archive == sdist):
            raise ValueError(f"{archive.name} lacks {', '.join(lacking)}; name them in setup.cfg or MANIFEST.in")
        if extra := foreign(names):
            raise ValueError(f"{archive.name} holds {', '.join(extra[:5])}; leave them out by setup.cfg or MANIFEST.in")
    if differing := _differing(wheel, direct):
        raise ValueError(f"the wheel of the sdist differs from that of the checkout in {', '.join(differing[:5])}")
    return wheel, sdist


def members(archive: Path) -> list[str]:
    """Names of the files of a wheel, or of an sdist without its first folder."""
    if archive.suffix == ".whl":
        return zipfile.ZipFile(archive).namelist()
    with tarfile.open(archive) as file:
        return [one.name.split("/", 1)[1] for one in file.getmembers() if one.isfile()]


def missing(names: Iterable[str], tree: Path, *, sdist: bool) -> list[str]:
    """What the package's rooms hold and an archive lacks: code, configuration, pages, licences, the typing mark."""
    rooms = ("transforms", "networks", "pipeline", "bundles")
    wanted = [path for room in rooms for path in (tree / room).rglob("*") if path.is_file()]
    expected = {path.relative_to(tree).as_posix() for path in wanted} | {"py.typed", "__init__.py"}
    if sdist:
        return sorted((expected | set(ALSO_IN_SDIST)) - set(names))
    held = set(names)
    licence = [] if any(name.endswith("licenses/LICENSE") for name in held) else ["LICENSE"]
    return sorted(name for name in expected if f"mammo/{name}" not in held) + licence


def foreign(names: Iterable[str]) -> list[str]:
    """What does not belong in an archive: tests, data, environments, images, weights."""
    inside = [(name, name.removeprefix("mammo/")) for name in names]
    return sorted(name for name, path in inside if FOREIGN.search(path) or Path(path).suffix.lower() in NOT_CODE)


def _differing(first: Path, second: Path) -> list[str]:
    """Files that are not the same in two wheels; RECORD follows from the others."""
    contents = []
    for wheel in (first, second):
        with zipfile.ZipFile(wheel) as file:
            contents.append({name: hashlib.sha256(file.read(name)).digest() for name in file.namelist()})
    one, other = contents
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
