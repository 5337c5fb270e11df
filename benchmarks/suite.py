"""All benchmarks in their quick size: one table of ratios beside named peers, and the page docs/benchmarks.md.

    python benchmarks/suite.py [--only prepare swin ...] [--out docs/benchmarks.md]

Each script runs alone in a fresh process, one after another; a script that fails ends the suite. The growth of costs is
measured last and drawn beside the page. Nothing is written before all have run, or where only some were asked for.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from measuring import Row
from page import Machine, Ran, page, table

HERE = Path(__file__).resolve().parent
SCRIPTS = ("prepare", "loader", "store_formats", "masks", "perceptual_hash", "spectral", "pretrain", "swin", "miram",
           "clip", "reconstruction_error", "study", "growth")  # fmt: skip
LIBRARIES = ("torch", "monai", "transformers", "pydicom", "opencv-python-headless", "scikit-image", "numpy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, help="these alone; the page is not written")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs/benchmarks.md")
    arguments = parser.parse_args()
    figure = arguments.out.with_suffix(".png")
    ran = []
    for name in arguments.only or SCRIPTS:
        ran.append(run(name, ["--plot", str(figure)] if name == "growth" and not arguments.only else []))
    print("\n" + table([row for one in ran for row in one.rows]))
    if not arguments.only:
        arguments.out.write_text(page(ran, machine(), figure.name), encoding="utf-8")
        print(f"written: {arguments.out}")


def run(name: str, more: Sequence[str]) -> Ran:
    """Run a script in its quick size and take the JSON object of its last line.

    Raises:
        SystemExit: the script failed; what it printed has been shown.
    """
    command = [sys.executable, str(HERE / f"{name}.py"), "--quick", *more]
    print(f"== {name}", flush=True)
    before, begun = busy(), time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    *shown, last = done.stdout.strip().splitlines() or [""]
    print("\n".join(shown), flush=True)
    if done.returncode:
        raise SystemExit(f"benchmarks/{name}.py --quick ended with status {done.returncode}; {last}")
    found: dict[str, Any] = json.loads(last)
    rows = [Row(**row) for row in found.pop("rows")]
    growth = found.pop("growth", [])
    return Ran(name, rows, found, growth, time.perf_counter() - begun, before)


def busy() -> float:
    """Share of the processors' time that all processes took during one second, 0 to 1 (Linux)."""
    first = _ticks()
    time.sleep(1)
    idle, total = (after - before for before, after in zip(first, _ticks(), strict=True))
    return 1 - idle / total


def _ticks() -> tuple[int, int]:
    values = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]))
    return values[3] + values[4], sum(values)


def machine() -> Machine:
    """What the figures were measured on (Linux)."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    python = f"Python {platform.python_version()}"
    return Machine(
        models[0] if models else platform.machine(),
        len(models) or 1,
        memory,
        [python, *(f"{name} {version(name)}" for name in LIBRARIES)],
    )


if __name__ == "__main__":
    main()
