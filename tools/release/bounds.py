"""The dependencies that setup.cfg declares, and its lower bounds as a constraints file for pip."""

from __future__ import annotations

import configparser
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement

__all__ = ["declared", "lower_bounds", "pinned"]


def declared(setup_cfg: Path) -> dict[str, list[Requirement]]:
    """Requirements of the core (key ``core``) and of each extra, as setup.cfg has them."""
    config = configparser.ConfigParser()
    config.read(setup_cfg, encoding="utf-8")
    texts = {"core": config["options"]["install_requires"], **config["options.extras_require"]}
    return {name: [Requirement(line) for line in _lines(text)] for name, text in texts.items()}


def lower_bounds(requirements: Iterable[Requirement], fixed: dict[str, str]) -> list[str]:
    """The lines of a constraints file: the lowest version that each requirement allows.

    Args:
        requirements: what is declared; a marker is kept.
        fixed: versions that are taken whatever the bound, by name (torch, whose build comes from one place).

    Raises:
        ValueError: for a requirement without a lower bound, which claims that every version ever published works.
    """
    lines = []
    for one in requirements:
        bounds = [clause.version for clause in one.specifier if clause.operator in (">=", "==", "~=")]
        if not bounds and one.name not in fixed:
            raise ValueError(
                f"setup.cfg: {one.name} has no lower bound; write {one.name}>=VERSION, the lowest that works"
            )
        marker = f" ; {one.marker}" if one.marker else ""
        lines.append(f"{one.name}=={fixed.get(one.name) or bounds[0]}{marker}")
    return lines


def pinned(constraints: Path, python_version: str = "3.11") -> dict[str, str]:
    """Exact versions by lower-case name, of those lines of constraints.txt whose marker holds for the Python."""
    requirements = [Requirement(line) for line in _lines(constraints.read_text(encoding="utf-8"))]
    here = {"python_version": python_version}
    held = [one for one in requirements if one.marker is None or one.marker.evaluate(here)]
    return {one.name.lower(): next(iter(one.specifier)).version for one in held}


def _lines(text: str) -> list[str]:
    """Requirements of a value, parted as setuptools parts them: by lines, or by semicolons where there is one line."""
    parts = text.splitlines() if "\n" in text else text.split(";")
    return [part.strip() for part in parts if part.strip() and not part.startswith("#")]
