"""The licences of all dependencies, also of dependencies' own, as installed: a table, and a check for the GPL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["Package", "copyleft", "families", "read_licence", "table", "walk"]

EXTRAS = ("core", "clip", "tracking", "export", "hospital", "scale")
"""The groups of the table; ``dev`` is nothing that a user installs."""
INTRODUCTION = (
    "What `pip install -c constraints.txt 'mammo[EXTRA]'` installs on Python 3.11 and Linux, and the licence that\n"
    "each package's metadata give. Written by `make release-check`. An extra's table has what it adds to the core."
)


@dataclass(frozen=True)
class Package:
    """A distribution, and what it says of its licence.

    Attributes:
        name: as it writes it itself.
        version: as installed.
        licence: from its metadata, as an SPDX expression where it gives one.
        bundled: licence families that texts inside it name beside (libraries that a wheel brings along).
    """

    name: str
    version: str
    licence: str
    bundled: tuple[str, ...] = ()


def walk(site_packages: Path) -> dict[str, dict[str, Package]]:
    """Packages that mammo needs, by group: ``core``, and what each extra adds to it.

    Args:
        site_packages: of an environment in which mammo is installed with all extras.

    Raises:
        ValueError: naming what is needed and not installed.
    """
    found: dict[str, Distribution] = {
        canonicalize_name(one.metadata["Name"]): one for one in distributions(path=[str(site_packages)])
    }
    core = _reach(found, "mammo", "")
    groups = {"core": core} | {extra: _reach(found, "mammo", extra) - core for extra in EXTRAS[1:]}
    return {
        group: {name: _package(found[name]) for name in sorted(names - {"mammo"})} for group, names in groups.items()
    }


def _reach(found: Mapping[str, Distribution], name: str, extra: str) -> set[str]:
    """Names that can be reached from a distribution with an extra, through requirements that hold here."""
    reached: set[tuple[str, str]] = set()
    waiting = [(name, extra), (name, "")]
    while waiting:
        one = waiting.pop()
        if one in reached:
            continue
        if one[0] not in found:
            raise ValueError(f"{one[0]} is needed and not installed: install the wheel with all extras")
        reached.add(one)
        for text in found[one[0]].requires or []:
            waiting += _followed(Requirement(text), one[1])
    return {one[0] for one in reached}


def _followed(requirement: Requirement, extra: str) -> list[tuple[str, str]]:
    if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
        return []
    name = canonicalize_name(requirement.name)
    return [(name, one) for one in ("", *requirement.extras)]


def _package(one: Distribution) -> Package:
    texts = [Path(str(one.locate_file(file))) for file in one.files or [] if _is_licence(file.name)]
    quoted = {family for text in texts if text.is_file() for family in families(text.read_text(errors="replace"))}
    licence = read_licence(one)
    return Package(one.metadata["Name"], one.version, licence, tuple(sorted(quoted - families(licence))))


def _is_licence(name: str) -> bool:
    return name.lower().startswith(("licen", "copying", "notice", "third")) and not name.endswith(".py")


def read_licence(one: Distribution) -> str:
    """What a distribution's metadata says: the expression, else the classifiers, else the first line of the field."""
    kept = one.metadata
    if expressions := kept.get_all("License-Expression"):
        return str(expressions[0])
    classifiers = [text.split(" :: ")[-1] for text in kept.get_all("Classifier") or [] if text.startswith("License ::")]
    field = (kept.get_all("License") or [""])[0].strip().splitlines()
    named = [text for text in classifiers if text != "OSI Approved"]
    return ", ".join(named) or (field[0].strip() if field else "") or _of_file(one)


def _of_file(one: Distribution) -> str:
    """The first line of the licence's own text, for a distribution whose metadata say nothing."""
    for file in one.files or []:
        path = Path(str(one.locate_file(file)))
        if _is_licence(file.name) and path.is_file():
            lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
            return f"{lines[0][:60]} (its licence file)" if lines else "not said"
    return "not said"


def families(text: str) -> set[str]:
    """Which of AGPL, LGPL and GPL a licence's name or text speaks of."""
    plain = re.sub(r"\s+", " ", text)
    named = {
        "AGPL": r"\bAGPL|Affero",
        "LGPL": r"\bLGPL|(Lesser|Library) General Public",
        "GPL": r"(?<![AL])\bGPL(?!-compatible)|GNU General Public",
    }
    return {family for family, pattern in named.items() if re.search(pattern, plain, re.IGNORECASE)}


def copyleft(packages: Iterable[Package]) -> dict[str, list[str]]:
    """Names of packages whose own licence is of the GPL family, by family."""
    found: dict[str, list[str]] = {}
    for one in packages:
        for family in families(one.licence):
            found.setdefault(family, []).append(one.name)
    return found


def table(groups: Mapping[str, Mapping[str, Package]]) -> str:
    """docs/licences.md: a table a group, and beneath it whose wheels quote licences of the GPL family."""
    lines = ["# Licences of the dependencies", "", INTRODUCTION, ""]
    for group, packages in groups.items():
        lines += [f"## {group} ({len(packages)})", "", "| package | version | licence |", "|---|---|---|"]
        lines += [f"| {one.name} | {one.version} | {one.licence.replace('|', '/')} |" for one in packages.values()]
        lines += [""]
    every = {one.name: one for packages in groups.values() for one in packages.values()}
    lines += ["## Beside their own licence", ""]
    lines += ["Wheels whose licence files also quote these licences, of libraries that they bring along:", ""]
    lines += [f"- {one.name}: {', '.join(one.bundled)}" for one in every.values() if one.bundled] or ["- none"]
    return "\n".join(lines) + "\n"
