"""Whether there is a wheel of every pin for each Python that setup.cfg allows, and whether the code suits it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from .environments import Environment, run

__all__ = ["ALLOWED", "check_syntax", "check_types", "resolve"]

ALLOWED = ("3.10", "3.11", "3.12", "3.13")


def resolve(tools: Environment, wheel: Path, constraints: Path, version: str) -> str:
    """Ask the index, without installing, for wheels of the core for a Python that need not be here.

    By uv: pip would take the markers of the Python that it runs on.

    Raises:
        RuntimeError: with uv's words, where one has no wheel for it.
    """
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "wanted.txt")
        wanted.write_text(f"{wheel}\n", encoding="utf-8")
        words = ["--python-version", version, "--only-binary", ":all:", "-c", str(constraints)]
        found = tools.run("uv", "pip", "compile", str(wanted), *words, "--no-annotate", "--no-header", "--quiet")
    chosen = [line for line in found.splitlines() if "==" in line]
    torch = next(line for line in chosen if line.startswith("torch=="))
    return f"{len(chosen)} wheels, {torch.replace('==', ' ')}"


def check_syntax(tools: Environment, tree: Path) -> str:
    """vermin: no syntax or library newer than the oldest Python allowed.

    Raises:
        RuntimeError: naming the file and what is too new.
    """
    rooms = [str(tree / room) for room in ("transforms", "networks", "pipeline", "bundles", "__init__.py")]
    words = ["--no-tips", "--eval-annotations", "--backport", "typing_extensions", f"-t={ALLOWED[0]}-", "--violations"]
    tools.run("vermin", *words, *rooms)
    return f"no syntax newer than Python {ALLOWED[0]}"


def check_types(mypy: Path, root: Path) -> str:
    """Mypy as for the oldest and the newest Python allowed.

    Raises:
        RuntimeError: with its errors.
    """
    for version in (ALLOWED[0], ALLOWED[-1]):
        run([str(mypy), "-p", "mammo", "--python-version", version], cwd=root)
    return f"types hold for Python {ALLOWED[0]} and {ALLOWED[-1]}"
