"""Version numbers: of the package, of each bundle, and of what a bundle's metadata says it needs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from .bounds import pinned

__all__ = ["bundle_faults", "package_faults"]

SEMANTIC = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
NAMES = {"monai_version": "monai", "pytorch_version": "torch", "numpy_version": "numpy"}
"""Keys of MONAI's metadata that hold a version, and the package each is of."""


def package_faults(root: Path) -> list[str]:
    """What is wrong with ``mammo.__version__``, CHANGELOG.md and CITATION.cff; empty where all is well."""
    text = (root / "__init__.py").read_text(encoding="utf-8")
    version = text.split('__version__ = "', 1)[1].split('"', 1)[0]
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## \[([^]]+)\]", changelog, re.MULTILINE)
    faults = [] if SEMANTIC.fullmatch(version) else [f"__init__.py: {version} is no version of the form 1.2.3"]
    if not sections or sections[0] not in ("Unreleased", version):
        faults.append(
            f"CHANGELOG.md: its first section is to be [Unreleased] or [{version}], the version of __init__.py"
        )
    if f"version: {version}\n" not in (root / "CITATION.cff").read_text(encoding="utf-8"):
        faults.append(f"CITATION.cff: its version is to be {version}, the version of __init__.py")
    return faults


def bundle_faults(root: Path) -> list[str]:
    """What is wrong with the versions in ``bundles/*/configs/metadata.json``; empty where all is well."""
    pins = pinned(root / "constraints.txt")
    faults = []
    for file in sorted((root / "bundles").glob("*/configs/metadata.json")):
        metadata = json.loads(file.read_text(encoding="utf-8"))
        name = file.relative_to(root).as_posix()
        faults += [f"{name}: {fault}" for fault in [*_own_version(metadata), *_needed(metadata, pins)]]
    return faults


def _own_version(metadata: dict[str, Any]) -> list[str]:
    version, changelog = metadata["version"], metadata["changelog"]
    if wrong := [one for one in (version, *changelog) if not SEMANTIC.fullmatch(one)]:
        return [f"{wrong[0]} is no version of the form 1.2.3"]
    newest = max(changelog, key=lambda one: [int(part) for part in one.split(".")], default=None)
    return [] if newest == version else [f"version is {version}, the newest entry of the changelog {newest}"]


def _needed(metadata: dict[str, Any], pins: dict[str, str]) -> list[str]:
    said = {package: (key, metadata.get(key)) for key, package in NAMES.items()}
    said |= {name: (name, version) for name, version in metadata.get("required_packages_version", {}).items()}
    return [
        f"{key} is {version}, constraints.txt has {package}=={pins.get(package.lower())}"
        for package, (key, version) in said.items()
        if version != pins.get(package.lower())
    ]
