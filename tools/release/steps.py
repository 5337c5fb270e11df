"""The steps of a release check. Each returns one line of what it found, and raises where something is wrong."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from . import archives, licences, pythons, sbom, versions
from .bounds import declared, lower_bounds, pinned
from .chain import check_chain, check_help, check_missing_extras
from .environments import Environment, make

__all__ = ["STEPS", "Release"]

USER_EXTRAS = "clip,export,hospital,scale"
"""The extras that the lowest and highest versions are tried with."""
TESTED = ("pytest", "pytest-timeout", "hypothesis")
SUBSET = (
    "tests/transforms/test_dicom.py",
    "tests/transforms/test_breast_mask.py",
    "tests/transforms/test_geometry.py",
    "tests/networks/test_swin.py",
    "tests/networks/test_masked_image_modeling.py",
    "tests/networks/test_text_encoder.py",
    "tests/pipeline/metrics",
    "tests/pipeline/text",
    "tests/pipeline/hospital/results",
    "tests/pipeline/packaging",
)
"""Tests that touch every dependency with a bound: reading, networks, tables, metrics, texts, DICOM results, ONNX."""


@dataclass(frozen=True)
class Release:
    """What the steps share.

    Attributes:
        root: the checkout.
        work: a folder for environments.
    """

    root: Path
    work: Path

    @cached_property
    def tools(self) -> Environment:
        """build, twine, vermin and cyclonedx-bom."""
        wanted = (self.root / "tools/release/requirements.txt").read_text(encoding="utf-8")
        lines = [line for line in wanted.splitlines() if not line.startswith("#")]
        return make(self.work / "tools", *lines, constraints="")

    @cached_property
    def wheel(self) -> Path:
        """The wheel in dist/, built and checked anew, beside its sdist."""
        with tempfile.TemporaryDirectory() as folder:
            tree, out = Path(folder, "tree"), Path(folder, "out")
            archives.copy_tree(self.root, tree)
            built = archives.build(self.tools, tree, out)
            dist = self.root / "dist"
            dist.mkdir(exist_ok=True)
            wheel, _ = (Path(shutil.copy(one, dist)) for one in built)
        return wheel

    @property
    def constraints(self) -> str:
        """The text of constraints.txt."""
        return (self.root / "constraints.txt").read_text(encoding="utf-8")

    @cached_property
    def torch(self) -> str:
        """The pin of torch, which every environment has: without it pip takes a build with libraries for CUDA."""
        return pinned(self.root / "constraints.txt")["torch"]

    @property
    def all_extras(self) -> Environment:
        """An environment with every extra that a user may ask for."""
        extras = ",".join(licences.EXTRAS[1:])
        return make(self.work / "extras", constraints=self.constraints, wheel=self.wheel, extras=extras)


def check_versions(release: Release) -> str:
    """Version numbers agree; see :mod:`.versions`.

    Raises:
        ValueError: naming each that does not.
    """
    if faults := [*versions.package_faults(release.root), *versions.bundle_faults(release.root)]:
        raise ValueError("\n".join(faults))
    return "package, bundles and what they need agree with constraints.txt"


def check_archives(release: Release) -> str:
    """Build wheel and sdist; see :func:`.archives.build`."""
    return f"{release.wheel.name} and its sdist: complete, nothing foreign, twine is content, same wheel from both"


def check_install(release: Release) -> str:
    """The wheel in an environment of the core alone, with the pins, away from the checkout."""
    here = make(release.work / "pins", constraints=release.constraints, wheel=release.wheel)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        said = [check_help(here, folder), check_chain(here, folder), check_missing_extras(here, folder)]
    return "; ".join(said)


def write_licences(release: Release) -> str:
    """Write docs/licences.md.

    Raises:
        ValueError: where a package of the core, or of an extra, is under the GPL or AGPL.
    """
    groups = licences.walk(release.all_extras.packages)
    (release.root / "docs/licences.md").write_text(licences.table(groups), encoding="utf-8")
    found = licences.copyleft(one for packages in groups.values() for one in packages.values())
    if strong := {family: names for family, names in found.items() if family != "LGPL"}:
        raise ValueError(f"under the GPL or AGPL: {strong}; mammo may not depend on them")
    return f"{sum(map(len, groups.values()))} packages, no GPL; LGPL: {', '.join(found.get('LGPL', ['none']))}"


def write_bill(release: Release) -> str:
    """Write dist/mammo.cdx.json, of the wheel with all extras."""
    return sbom.write_sbom(release.tools, release.all_extras, release.root / "dist/mammo.cdx.json")


def check_lowest(release: Release) -> str:
    """The lowest version of every dependency but torch: subset of the tests, and the chain."""
    groups = declared(release.root / "setup.cfg")
    fixed = {"torch": release.torch}
    lines = lower_bounds([one for name in ("core", *USER_EXTRAS.split(",")) for one in groups[name]], fixed)
    return _try_versions(release, "lowest", "\n".join(lines) + "\n")


def check_highest(release: Release) -> str:
    """The highest version of every dependency but torch: the same."""
    return _try_versions(release, "highest", f"torch=={release.torch}\n")


def _try_versions(release: Release, name: str, constraints: str) -> str:
    here = make(release.work / name, *TESTED, constraints=constraints, wheel=release.wheel, extras=USER_EXTRAS)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for room in ("tests", "examples"):
            archives.copy_tree(release.root / room, folder / room)
        shutil.copy(release.root / "setup.cfg", folder)  # pytest's settings; its warnings are errors with the pins only
        words = ["-m", "pytest", "-q", "-W", "default", *SUBSET]
        counted = here.run("python", *words, cwd=folder).strip().splitlines()[-1]
        (folder / "chain").mkdir()
        return f"{counted.strip('= ')}; {check_chain(here, folder / 'chain')}"


def check_pythons(release: Release) -> str:
    """Every allowed Python: wheels of all pins, syntax, types. Tests run on the Python that this is run by only."""
    said = [pythons.check_syntax(release.tools, release.root)]
    said.append(pythons.check_types(release.root / ".venv/bin/mypy", release.root))
    for version in pythons.ALLOWED:
        found = pythons.resolve(release.tools, release.wheel, release.root / "constraints.txt", version)
        said.append(f"Python {version}: {found}")
    return "; ".join(said)


STEPS: dict[str, Callable[[Release], str]] = {
    "versions": check_versions,
    "archives": check_archives,
    "install": check_install,
    "licences": write_licences,
    "sbom": write_bill,
    "lowest": check_lowest,
    "highest": check_highest,
    "pythons": check_pythons,
}
"""In the order in which they run."""
