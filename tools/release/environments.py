"""Virtual environments of a release check, and commands that run in them away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Environment", "make", "run"]

SECONDS = 1800
"""A command that takes longer is stopped: installing takes minutes, training of a few steps less."""


def run(words: list[str], *, cwd: Path | None = None, **changes: str) -> str:
    """Run a command without this process' PYTHONPATH; return what it printed, errors too.

    Raises:
        RuntimeError: where it fails; the message holds its last lines.
    """
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment = kept | {"OMP_NUM_THREADS": "1", "COLUMNS": "120"} | changes
    answer = subprocess.run(
        words, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS
    )
    if answer.returncode:
        tail = "\n".join(answer.stdout.splitlines()[-40:])
        raise RuntimeError(f"{' '.join(words)} ended with status {answer.returncode}:\n{tail}")
    return answer.stdout


@dataclass(frozen=True)
class Environment:
    """A virtual environment.

    Attributes:
        folder: where it lies.
    """

    folder: Path

    def run(self, program: str, *words: str, cwd: Path | None = None, **changes: str) -> str:
        """Run one of its programs (``python``, ``mammo``); see :func:`run`."""
        return run([str(self.folder / "bin" / program), *words], cwd=cwd, **changes)

    def fails(self, program: str, *words: str, cwd: Path | None = None) -> str:
        """What a command prints that must fail.

        Raises:
            RuntimeError: where it succeeds.
        """
        try:
            answer = self.run(program, *words, cwd=cwd)
        except RuntimeError as error:
            return str(error)
        raise RuntimeError(f"{program} {' '.join(words)} succeeded, a failure was expected:\n{answer}")

    def install(self, *words: str) -> None:
        """``pip install`` with these words."""
        self.run("python", "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check", *words)

    @property
    def packages(self) -> Path:
        """Its ``site-packages``."""
        return next(self.folder.glob("lib/python*/site-packages"))


def make(folder: Path, *words: str, constraints: str, wheel: Path | None = None, extras: str = "") -> Environment:
    """An environment with what is asked for; one that was made of the same words before is taken as it is.

    Args:
        folder: where it is, or will be.
        words: requirements beside the wheel, as for pip.
        constraints: the text of pip's constraints file.
        wheel: of mammo; installed anew each time, without its dependencies.
        extras: of the wheel, as ``clip,export``.
    """
    here, recipe = Environment(folder), "\n".join([sys.version, *words, extras, constraints])
    mark, file = folder / "recipe.txt", folder / "constraints.txt"
    if not mark.is_file() or mark.read_text(encoding="utf-8") != recipe:
        venv.create(folder, clear=True, with_pip=True)
        here.install("--upgrade", "pip")
        file.write_text(constraints, encoding="utf-8")
        named = f"{wheel}[{extras}]" if extras else str(wheel)
        here.install("-c", str(file), *([named] if wheel else []), *words)
        mark.write_text(recipe, encoding="utf-8")
    elif wheel:
        here.install("--force-reinstall", "--no-deps", str(wheel))
    return here
