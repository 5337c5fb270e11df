"""Run the planned commands of a page in a fresh folder, in a shell in which ``mammo`` is on the PATH."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from .blocks import find_blocks
from .declared import Fixture, Page, Plan, Planned, plan_page
from .table import PageResult

__all__ = ["Runner"]

SECONDS_A_COMMAND = 1800
LINES_SHOWN = 25
TOO_LONG = 124
"""Exit status of what ran out of time, as of coreutils' timeout."""


@dataclass
class Runner:
    """Runs pages; fixtures are made once and copied.

    Attributes:
        root: the checkout.
        work: a folder for the pages' folders, the fixtures and the logs.
        binaries: the folder of ``mammo`` and ``python``.
        plan: the declarations.
    """

    root: Path
    work: Path
    binaries: Path
    plan: Plan
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _running: set[int] = field(default_factory=set)

    def run_page(self, page: Path) -> PageResult:
        """Run a page's commands in order; after a failure the next block goes on."""
        name, begun = page.relative_to(self.root).as_posix(), time.perf_counter()
        declared = self.plan.pages.get(name, Page())
        try:
            blocks = find_blocks(page.read_text(encoding="utf-8"))
            planned = plan_page(declared, blocks)
            folder = self._page_folder(name, declared)
        except ValueError as error:
            return PageResult(name, failed=[str(error)])
        failed, times = [], []
        for number, block in enumerate(blocks):
            inside = [one for one in planned if block.commands[0].line <= one.command.line <= block.commands[-1].line]
            text, taken = self._run_block(folder, number, [one for one in inside if not one.reason])
            failed += [text] if text else []
            times += taken
        failed += self._wrong_options(folder, [one for one in planned if one.reason])
        return PageResult(name, planned, failed, time.perf_counter() - begun, len(blocks), sorted(times)[:-6:-1])

    def _page_folder(self, name: str, declared: Page) -> Path:
        folder = self.work / "pages" / name.removesuffix(".md").replace("/", "-")
        folder.mkdir(parents=True)
        for entry in declared.checkout:
            if not (self.root / entry).exists():
                raise ValueError(f"declared as part of the checkout, but not there: {entry}")
            (folder / entry).parent.mkdir(parents=True, exist_ok=True)
            (folder / entry).symlink_to(self.root / entry)
        self._place(declared.have, folder)
        return folder

    def _place(self, have: Mapping[str, str], folder: Path) -> None:
        for target, fixture in have.items():
            made, place = self._fixture(fixture), folder / target
            place.parent.mkdir(parents=True, exist_ok=True)
            if made.is_dir():
                shutil.copytree(made, place, dirs_exist_ok=True)
            else:
                shutil.copyfile(made, place)

    def _fixture(self, name: str) -> Path:
        """Where a fixture lies; it is made at its first use."""
        fixture: Fixture = self.plan.fixtures[name]
        folder = self.work / "fixtures" / name
        with self._lock:
            if not (folder / "made").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                self._place(fixture.have, folder)
                status, log = self._bash(folder, f"OUT=$PWD/made\n{fixture.make}", folder / "log.txt")
                if status:
                    raise ValueError(f"fixture {name} could not be made:\n{log}")
        return folder / "made"

    def _run_block(self, folder: Path, number: int, planned: Sequence[Planned]) -> tuple[str, list[tuple[float, str]]]:
        """Failure text, "" where there is none, and the seconds of each command."""
        if not planned:
            return "", []
        marks, log = folder / f".marks{number}", folder / f".log{number}.txt"
        status, tail = self._bash(folder, _script(planned, marks), log, SECONDS_A_COMMAND * len(planned))
        begun = [float(line) for line in marks.read_text().split()]
        ends = [*begun[1:], time.time()]
        times = [
            (end - start, one.command.text.split("\n")[0])
            for one, start, end in zip(planned, begun, ends, strict=False)
        ]
        if not status:
            return "", times
        wrong = planned[len(begun) - 1]
        return f"line {wrong.command.line}, exit status {status}: {wrong.text}\n{tail}", times

    def _wrong_options(self, folder: Path, left: Sequence[Planned]) -> list[str]:
        """Why ``mammo`` would refuse commands that are not run."""
        texts = [one.command.text.replace("\\\n", " ") for one in left]
        commands = [" ".join(text.split()) for text in texts if text.startswith("mammo ")]
        if not commands:
            return []
        (folder / ".options.txt").write_text("\n".join(commands) + "\n", encoding="utf-8")
        script = "python -m mammo.tools.docs_test.options < .options.txt"
        status, tail = self._bash(folder, script, folder / ".options.log")
        return [f"of what is not run:\n{tail}"] if status else []

    def _bash(self, folder: Path, script: str, log: Path, seconds: float = SECONDS_A_COMMAND) -> tuple[int, str]:
        """Exit status, 124 after too long, and the last lines that were printed."""
        with open(log, "w", encoding="utf-8") as file:
            running = subprocess.Popen(
                ["bash", "-c", f"set -eo pipefail\n{script}"],
                cwd=folder,
                env=self._environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._running.add(running.pid)
            try:
                status = running.wait(seconds)
            except subprocess.TimeoutExpired:
                status = TOO_LONG
            finally:
                self._end(running.pid)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        return status, "\n".join(f"      {line}" for line in lines[-LINES_SHOWN:])

    def stop(self) -> None:
        """End what still runs, with all that it started."""
        for group in list(self._running):
            self._end(group)

    def _end(self, group: int) -> None:
        self._running.discard(group)
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)

    def _environment(self, folder: Path) -> dict[str, str]:
        """That of this process, with ``mammo`` on the PATH, a home of its own and no part of another installation."""
        kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        home = folder / ".home"
        home.mkdir(exist_ok=True)
        path = f"{self.binaries}:{kept.get('PATH', '')}"
        return kept | {"PATH": path, "HOME": str(home), "XDG_CACHE_HOME": str(self.work / "cache")}


def _script(planned: Sequence[Planned], marks: Path) -> str:
    """The commands, each after a line in ``marks`` with the time at which it begins."""
    parts = []
    for one in planned:
        parts.append(f"echo $EPOCHREALTIME >> '{marks}'")
        parts.append(one.text if one.language == "bash" else f"python - <<'END_OF_BLOCK'\n{one.text}\nEND_OF_BLOCK")
    return "\n".join(parts)
