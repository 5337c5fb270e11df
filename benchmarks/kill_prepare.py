"""Kill `mammo prepare` at random moments, let it go on, and compare the store with an undisturbed one, byte by byte.

The phantom stands for a dataset. Each run is killed by ``kill -9``, workers and all, at a random moment after its
first image; the last one may finish. ``python benchmarks/kill_prepare.py [--quick]``; the last line is one JSON object,
and the exit status is 1 if anything differs.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mammo.pipeline.phantom import generate

QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def command(data: Path, store: Path) -> list[str]:
    """The command line that is killed."""
    return [sys.executable, "-m", "mammo.pipeline.cli", "prepare", "cbis_ddsm", str(data), "--workers", "2",
            "--store", str(store), "--out", str(store.with_suffix(".json"))]  # fmt: skip


def content(store: Path) -> dict[str, str]:
    """Hash of every file of a store, unfinished ones included, by its name."""
    files = (path for path in store.rglob("*") if path.is_file())
    return {str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def killed_runs(data: Path, store: Path, kills: int, images: int, seed: int) -> None:
    """Start and kill, at a random moment after the first image that a run prepares, as often as asked."""
    draw = random.Random(seed)
    for kill in range(1, kills + 1):
        before = prepared(store)
        if len(before) > images // 2:  # leave it enough to do
            for path in draw.sample(sorted(before), len(before) * 3 // 4):
                path.unlink()
            before = prepared(store)
        process = subprocess.Popen(command(data, store), start_new_session=True, **QUIET)
        while process.poll() is None and len(prepared(store)) <= len(before):
            time.sleep(0.02)
        time.sleep(draw.uniform(0, 1.5))
        if process.poll() is not None:
            raise RuntimeError(f"run {kill} ended by itself with {process.returncode}; give it more --patients")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        left = len(list(store.rglob("*.tmp")))
        print(f"killed {kill}: {len(prepared(store))} of {images} entries, {left} unfinished files", flush=True)


def prepared(store: Path) -> set[Path]:
    """Names that lead from a source to an entry."""
    return set(store.glob("sources/*/*.safetensors"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 kills")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--patients", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    kills = 3 if arguments.quick else arguments.kills
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "phantom"
        generate(data, patients=arguments.patients, seed=arguments.seed, preset="demo")
        subprocess.run(command(data, folder / "calm"), check=True, **QUIET)
        killed_runs(data, folder / "disturbed", kills, len(prepared(folder / "calm")), arguments.seed)
        subprocess.run(command(data, folder / "disturbed"), check=True, **QUIET)
        calm, disturbed = content(folder / "calm"), content(folder / "disturbed")
    different = sorted({name for name in calm | disturbed if calm.get(name) != disturbed.get(name)})
    print(f"undisturbed: {len(calm)} files ; after {kills} kills: {len(disturbed)}")
    for name in different[:20]:
        print(f"differs: {name}")
    print(json.dumps({"kills": kills, "files": len(calm), "different": len(different)}))
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
