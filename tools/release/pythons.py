"""Which Pythons there are here, and whether pip finds a wheel of every pin for each that setup.cfg allows."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from .environments import Environment, run

__all__ = ["ALLOWED", "check_syntax", "check_types", "resolve"]

ALLOWED = ("3.10", "3.11", "3.12", "3.13")


def resolve(tools: Environment, wheel: Path, constraints: Path, version: str) -> str:
    """Ask pip, without installing, for wheels of the core for a Python that need not be here.

    Raises:
        RuntimeError: with pip's words, where one has no wheel for it.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        words = ["--dry-run", "--ignore-installed", "--only-binary=:all:", "--python-version", version]
        words += ["--target", folder, "--report", str(report), "-c", str(constraints)]
        tools.install(*words, str(wheel))
        chosen = json.loads(report.read_text(encoding="utf-8"))["install"]
    torch = next(one["metadata"]["version"] for one in chosen if one["metadata"]["name"] == "torch")
    return f"{len(chosen)} wheels, torch {torch}"


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
