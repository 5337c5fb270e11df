"""Two phantom sites through NVIDIA FLARE's simulator, two rounds, beside federated averaging written out by hand.

`make federated-check` runs this. It prints one table and ends with status 0 only if both come to the same weights.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from client import Weights, load_algo, train_round
from loopback import only_loopback
from mammo.pipeline.datasets.prepare import prepare_dataset
from mammo.pipeline.phantom import generate
from monai.utils import set_determinism
from safetensors.numpy import load_file, save_file

ROUNDS = 2
PATIENTS = {"site-1": 12, "site-2": 20}
"""Unlike numbers, so that an average that does not weight the sites shows."""

TOLERANCE = 1e-6
"""Largest difference between two weights."""

TIME_LIMIT_S = 1200
"""Of the simulator; two idle cores need less than a minute."""

OPTIONS = {
    "pretrained": "$None",
    "size": "micro",
    "image_size": [64, 32],
    "head_norm": "batch",  # its means are no parameters, but are averaged too
    "batch_size": 4,
    "num_workers": 0,
    "learning_rate": 1e-3,
    "device": "cpu",
}


def make_site(folder: Path, name: str, patients: int) -> dict[str, Any]:
    """Generate the site's own patients; return its options, without an output folder."""
    data = folder / name / "data"
    seed = list(PATIENTS).index(name)
    generate(data, patients=patients, seed=100 + seed, preset="demo", views="CC", test_fraction=0.2)
    prepare_dataset("cbis_ddsm", data, data / "datalist.json", validation_fraction=0.4)
    return OPTIONS | {"dataset_dir": str(data), "cache_dir": str(folder / name / "cache"), "seed": seed}


def simulate(folder: Path, sites: dict[str, dict[str, Any]], start: Path) -> tuple[Weights, list[list[float]]]:
    """FLARE's last global weights, and the loss of each site by round."""
    for name, options in sites.items():
        own = options | {"output_dir": str(folder / "flare" / name)}
        (folder / f"{name}.json").write_text(json.dumps(own, indent=1))
    workspace, log = folder / "workspace", folder / "flare.log"
    status = run_recipe(["simulate", str(start), str(workspace), "--sites", str(len(sites))], folder, log)
    found = sorted(workspace.rglob("global.safetensors"))
    if status or len(found) != 1:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-40:])
        sys.exit(f"{tail}\nfederated-check: FLARE's simulator failed (status {status}); the end of its log is above")
    if code := sorted(workspace.rglob("*.py")):
        sys.exit(f"federated-check: FLARE sent code to a site, which is to run its own: {code[0]}")
    return load_file(found[0]), losses(folder / "flare", list(sites))


def run_recipe(arguments: list[str], options: Path, log: Path) -> int:
    """Run ``recipe.py`` as a person would, with the sites' options from a folder; return its exit status."""
    environment = os.environ | {"MAMMO_SITES": str(options), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name("recipe.py")), *arguments]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environment) as process:
        try:
            return process.wait(TIME_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # on which FLARE ends its processes too; they are in another group
            return process.wait() or 1


def by_hand(
    folder: Path, sites: dict[str, dict[str, Any]], start: Weights
) -> tuple[Weights, list[list[float]], list[int], float]:
    """The same without FLARE, in one process.

    Returns:
        The last global weights, the loss of each site by round, the sites' numbers of images, and how far an average
        that does not weight the sites would have been from this one in the last round.
    """
    algos = [load_algo(name, options | {"output_dir": str(folder / "hand" / name)}) for name, options in sites.items()]
    weights, images, gap = start, [0] * len(algos), 0.0
    for _ in range(ROUNDS):
        results = [train_round(algo, weights) for algo in algos]
        states, images = [list(part) for part in zip(*results, strict=True)]
        weights = averaged(states, images)
        gap = difference(weights, averaged(states, [1] * len(states)))
    return weights, losses(folder / "hand", list(sites)), images, gap


def averaged(states: Sequence[Weights], images: Sequence[int]) -> Weights:
    """The mean of the sites' weights, each counting with its images (McMahan et al. 2017, arXiv:1602.05629).

    In float32, as FLARE's: where a gradient is nothing but rounding (the bias of attention's keys has no effect on the
    loss), Adam makes a whole step of it, so that another last bit in one round is 1e-3 in the next.
    """
    return {
        name: sum(state[name] * float(count) for state, count in zip(states, images, strict=True)) * (1 / sum(images))
        for name in states[0]
    }


def difference(first: Weights, second: Weights) -> float:
    """The largest absolute difference of two weights; batch norms' counters of steps are left out.

    Raises:
        ValueError: other names.
    """
    if first.keys() != second.keys():
        raise ValueError(f"weights of other names: {sorted(first.keys() ^ second.keys())}")
    names = [name for name in first if not name.endswith("num_batches_tracked")]
    return max(float(np.abs(first[name] - second[name]).max()) for name in names)


def losses(folder: Path, sites: Sequence[str]) -> list[list[float]]:
    """Mean training loss of each round, by site: what the bundle writes at the site, and sends nowhere."""
    histories = [json.loads((folder / name / "history.json").read_text())["train"] for name in sites]
    return [[row["loss"] for row in history] for history in histories]


def check(folder: Path) -> bool:
    """Make the sites, run both, print the table; whether they agree."""
    sites = {name: make_site(folder, name, patients) for name, patients in PATIENTS.items()}
    set_determinism(5)
    network = load_algo("start", next(iter(sites.values())) | {"output_dir": str(folder / "start")}).trainer.network
    start = {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}
    save_file(start, folder / "start.safetensors")
    found, simulated = simulate(folder, sites, folder / "start.safetensors")
    expected, trained, images, gap = by_hand(folder, sites, start)
    print(f"{'round':>5} {'site':8} {'images':>6} {'share':>6} {'loss, FLARE':>12} {'loss, by hand':>14}")
    for number in range(ROUNDS):
        for site, name in enumerate(sites):
            share, pair = images[site] / sum(images), (simulated[site][number], trained[site][number])
            print(f"{number + 1:5} {name:8} {images[site]:6} {share:6.3f} {pair[0]:12.6f} {pair[1]:14.6f}")
    apart, moved = difference(expected, found), difference(expected, start)
    print(f"global weights: FLARE and by hand differ by {apart:.1e} at most (allowed {TOLERANCE:.0e});")
    print(f"training moved them by {moved:.1e}, and without the sites' shares they would differ by {gap:.1e}")
    return apart <= TOLERANCE and min(moved, gap) > 100 * TOLERANCE and np.allclose(simulated, trained, atol=1e-4)


def main() -> None:
    """Read the command line and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="keep everything here (a new folder); otherwise it goes at the end")
    given = parser.parse_args()
    only_loopback()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    # Of MONAI, that a bundle is code: ours is the one installed here.
    warnings.filterwarnings("ignore", message=".*provisioned by the FL system")
    with tempfile.TemporaryDirectory() as scratch:
        agree = check(given.folder.absolute() if given.folder else Path(scratch))
    print(f"federated-check: {'passed' if agree else 'FAILED'}")
    sys.exit(0 if agree else 1)


if __name__ == "__main__":
    main()
