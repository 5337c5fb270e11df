"""Kill `mammo prepare` at random moments, let it go on, and compare the store with an undisturbed one, byte by byte.

The phantom stands for a dataset. Each run is killed by ``kill -9``, workers and all, after a random time, until it has
been killed as often as asked; the last one may finish. ``python benchmarks/kill_prepare.py [--quick]``; the last line is
one JSON object, and the exit status is 1 if anything differs.
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

from mammo.pipeline.phantom import generate


def command(data: Path, store: Path) -> list[str]:
    """The command line that is killed."""
    return [sys.executable, "-m", "mammo.pipeline.cli", "prepare", "cbis_ddsm", str(data), "--workers", "2",
            "--store", str(store), "--out", str(store.with_suffix(".json"))]  # fmt: skip


def content(store: Path) -> dict[str, str]:
    """Hash of every file of a store, unfinished ones included, by its name."""
    files = (path for path in store.rglob("*") if path.is_file())
    return {str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def killed_runs(data: Path, store: Path, kills: int, longest_s: float, seed: int) -> int:
    """Start and kill until ``kills`` runs were killed; return how many entries the killed runs had finished."""
    draw = random.Random(seed)
    done = 0
    while done < kills:
        process = subprocess.Popen(command(data, store), start_new_session=True, stderr=subprocess.DEVNULL)
        # Most of a short run is importing; later kills must come later to hit the work.
        try:
            process.wait(draw.uniform(0.35, 1) * longest_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            done += 1
            print(f"killed {done}: {len(list(store.glob('contents/*/*.safetensors')))} entries", flush=True)
        else:
            for path in random.Random(done).sample(sorted(store.glob("*/*/*.safetensors")), 10):
                path.unlink()  # it was faster than the kill: leave it something to do
    return len(list(store.glob("contents/*/*.safetensors")))


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
        start = time.monotonic()
        subprocess.run(command(data, folder / "calm"), check=True, stderr=subprocess.DEVNULL)
        longest = time.monotonic() - start
        killed_runs(data, folder / "disturbed", kills, longest, arguments.seed)
        subprocess.run(command(data, folder / "disturbed"), check=True, stderr=subprocess.DEVNULL)
        calm, disturbed = content(folder / "calm"), content(folder / "disturbed")
    different = sorted({name for name in calm | disturbed if calm.get(name) != disturbed.get(name)})
    print(f"undisturbed: {len(calm)} files in {longest:.1f} s; after {kills} kills: {len(disturbed)}")
    for name in different[:20]:
        print(f"differs: {name}")
    print(json.dumps({"kills": kills, "files": len(calm), "different": len(different)}))
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
