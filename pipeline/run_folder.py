"""What makes a run folder trustworthy: versions, revision, seed, command, hash of the data list, configuration."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import yaml

PACKAGES = (
    "torch",
    "monai",
    "pytorch-ignite",
    "numpy",
    "pandas",
    "pydicom",
    "scikit-learn",
    "opencv-python-headless",
)


class RunFolder:
    """Write ``environment.json`` into a run's folder before the work begins.

    Args:
        directory: the run folder, made where it is missing.
        datalist: the datalist of the run; its SHA-256 is recorded.
        seed: the run's seed.
    """

    def __init__(self, directory: str | Path, *, datalist: str | Path, seed: int) -> None:
        self.directory = Path(directory)
        self.datalist = Path(datalist)
        self.seed = seed

    def write(self) -> None:
        """Write the file (the first process only)."""
        if idist.get_rank() != 0:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        environment = {
            "command": " ".join(sys.argv),
            "datalist": str(self.datalist),
            "datalist_sha256": hashlib.sha256(self.datalist.read_bytes()).hexdigest(),
            "git_revision": git_revision(),
            "platform": platform.platform(),
            "seed": self.seed,
            "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        }
        (self.directory / "environment.json").write_text(json.dumps(environment, indent=1))


def git_revision() -> str | None:
    """Revision of the checkout this code runs from; None for an installed wheel."""
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:  # git is not installed
        return None
    return answer.stdout.strip() or None


def write_configuration(config: Mapping[str, Any], directory: str | Path) -> None:
    """Write the merged configuration of a bundle run, overrides included, as ``config.yaml``."""
    path = Path(directory) / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
    os.replace(temporary, path)
