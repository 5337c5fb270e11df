"""What makes a run folder trustworthy: versions, revision, seed, command, hash of the data list, configuration."""

from __future__ import annotations

import hashlib
import inspect
import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import fire
import ignite.distributed as idist
import yaml
from monai.bundle import ConfigParser
from monai.bundle.scripts import update_kwargs

from .files import write_atomically
from .sole_owner import sole_owner

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
    """Write ``environment.json`` into a run's folder before the work begins, and ``config.yaml`` if MONAI runs it.

    Args:
        directory: the run folder, made where it is missing.
        datalist: the datalist of the run; its SHA-256 is recorded.
        seed: the run's seed.
    """

    def __init__(self, directory: str | Path, *, datalist: str | Path, seed: int) -> None:
        self.directory = Path(directory)
        self.datalist = Path(datalist)
        self.seed = seed
        self._owned = ExitStack()

    def write(self) -> None:
        """Write the files (the first process only).

        Raises:
            ValueError: without a datalist there is nothing to run; or another run is at work in the folder.
        """
        if idist.get_rank() != 0:
            return
        if not self.datalist.is_file():
            raise ValueError(
                f"no datalist at {self.datalist}: give --dataset_dir of a dataset that `mammo prepare` has listed, or "
                "its --datalist; the overlay tiny makes a synthetic dataset"
            )
        config = bundle_configuration(sys.argv)
        if config is not None:
            # MONAI's process ends with its run, and the lock with the process.
            self._owned.enter_context(sole_owner(self.directory, "--output_dir"))
        environment = {
            "command": " ".join(sys.argv),
            "datalist": str(self.datalist),
            "datalist_sha256": hashlib.sha256(self.datalist.read_bytes()).hexdigest(),
            "git_revision": git_revision(),
            "platform": platform.platform(),
            "seed": self.seed,
            "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        }
        write_atomically(self.directory / "environment.json", json.dumps(environment, indent=1).encode())
        if config is not None:  # our own launcher owns the folder and has written it
            write_configuration(config, self.directory)


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
    text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
    write_atomically(Path(directory) / "config.yaml", text.encode())


def bundle_configuration(argv: Sequence[str]) -> dict[str, Any] | None:
    """The merged configuration of a process ``python -m monai.bundle run ...``; None for any other process.

    MONAI resolves its configuration in place and hands it to nothing that it builds: the files are read again.

    Args:
        argv: the process's ``sys.argv``.
    """
    if len(argv) < 2 or not argv[0].endswith("monai/bundle/__main__.py") or argv[1] != "run":
        return None
    found: list[dict[str, Any]] = []

    def read(
        run_id: Any = None, init_id: Any = None, final_id: Any = None, meta_file: Any = None,
        config_file: Any = None, logging_file: Any = None, tracking: Any = None, args_file: Any = None, **override: Any,
    ) -> None:  # fmt: skip
        options = update_kwargs(args_file, config_file=config_file, **override)
        parser = ConfigParser(ConfigParser.load_config_files(options["config_file"]))
        parser.update({key: value for key, value in options.items() if key not in inspect.signature(read).parameters})
        found.append(parser.get())

    fire.Fire({"run": read}, command=list(argv[1:]))  # as MONAI itself reads its command line
    return found[0]
