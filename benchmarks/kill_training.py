"""Kill training at random moments, resume it, and compare what is left with an undisturbed run, bit by bit.

Each run is killed by ``kill -9``, workers and all: at a random moment, while a checkpoint is being written, or between
``best.pt`` and ``last.pt``; it is then resumed until it ends by itself. Compared are every number in ``best.pt`` and
``last.pt`` (weights, optimiser, schedule, averages, best metric) and the text of ``history.json``.
``python benchmarks/kill_training.py [--quick] [--kills N]``; the last line is one JSON object, and the exit status is
1 if anything differs.
"""

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from mammo.pipeline.bundle_run import run_bundle
from mammo.pipeline.datasets.prepare import prepare_dataset
from mammo.pipeline.phantom import generate

FORK = multiprocessing.get_context("fork")  # the child need not import everything again
FILES = ("checkpoints/best.pt", "checkpoints/last.pt", "history.json")
MOMENTS = ("any", "any", "writing", "between")
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "pretrain, as it is": ("pretrain", {"num_workers": 0}),
    "pretrain, 2 workers, ema, save_steps": (
        "pretrain", {"num_workers": 2, "ema": 0.9, "save_steps": 2, "epoch_length": 7, "fill": "token"},
    ),
    "finetune, accumulate, layer_decay, save_steps": (
        "finetune",
        {"num_workers": 0, "accumulate": 2, "layer_decay": 0.8, "decay_norms": False, "save_steps": 4, "dropout": 0.2},
    ),
    "finetune, 2 workers, ema, patience": ("finetune", {"num_workers": 2, "ema": 0.9, "patience": 3}),
}  # fmt: skip


def train(stage: str, options: dict[str, Any], folder: Path) -> None:
    """Run a stage in this process, which is one of its own; what it says goes to a file beside its folder."""
    os.setsid()
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    run_bundle("swin_mim", stage, overrides=options | {"output_dir": str(folder), "resume": True})


def start(stage: str, options: dict[str, Any], folder: Path) -> multiprocessing.process.BaseProcess:
    """Begin a run, or go on with it."""
    process = FORK.Process(target=train, args=(stage, options, folder))
    process.start()
    return process


def written(folder: Path, moment: str) -> set[Any]:
    """What changes at a moment: unfinished files, or the time of ``best.pt``."""
    checkpoints = folder / "checkpoints"
    if moment == "writing":
        return set(checkpoints.glob(".*.tmp"))
    best = checkpoints / "best.pt"
    return {best.stat().st_mtime_ns} if best.is_file() else set()


def kill(process: Any, folder: Path, moment: str, delay_s: float) -> bool:
    """Kill a run after a delay, and then at the moment; False where it ended by itself before."""
    process.join(delay_s)
    before = written(folder, moment)
    while moment != "any" and process.is_alive() and not written(folder, moment) - before:
        time.sleep(0.0005)
    alive = process.is_alive()
    if alive:
        with suppress(ProcessLookupError):  # it has not made its group yet
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
    process.join()
    if not alive:
        require_success(process, folder)
    return alive


def require_success(process: Any, folder: Path) -> None:
    """Fail with the last words of a run that ended with an error."""
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"a run failed with {process.exitcode}:\n{folder.with_suffix('.log').read_text()[-3000:]}")


def disturbed(
    stage: str, options: dict[str, Any], folder: Path, kills: int, span_s: float, draw: random.Random
) -> list[int]:
    """Run to the end, killed up to ``kills`` times on the way; return the steps that each kill left in ``last.pt``."""
    left: list[int] = []
    while len(left) < kills:
        moment = draw.choice(MOMENTS)
        if not kill(start(stage, options, folder), folder, moment, draw.uniform(0.0, span_s)):
            return left
        last = folder / "checkpoints/last.pt"
        left.append(torch.load(last, weights_only=True)["trainer"]["iteration"] if last.is_file() else 0)
    require_success(start(stage, options, folder), folder)
    return left


def differing(calm: Path, other: Path) -> list[str]:
    """Files whose content differs, and unfinished ones that were left."""
    names = [name for name in FILES if content(calm / name) != content(other / name)]
    return names + [path.name for path in other.rglob(".*.tmp")]


def content(path: Path) -> Any:
    """Text, or a checkpoint with its tensors as bytes."""
    return path.read_text() if path.suffix == ".json" else plain(torch.load(path, weights_only=True))


def plain(value: Any) -> Any:
    """Tensors in any nesting as their bits."""
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def phantom_options(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Write a small phantom; return what all runs share."""
    data = folder / "phantom"
    generate(data, patients=arguments.patients, seed=arguments.seed, preset="demo", views="CC")
    prepare_dataset("cbis_ddsm", data, data / "datalist.json", validation_fraction=0.3)
    return {
        "dataset_dir": str(data), "cache_dir": str(folder / "cache"), "size": "micro", "image_size": [64, 32],
        "batch_size": 2, "max_epochs": arguments.epochs, "pretrained": None, "device": "cpu",
    }  # fmt: skip


def compare(
    title: str, shared: dict[str, Any], folder: Path, kills: int, draw: random.Random
) -> tuple[list[int], int, list[str]]:
    """One undisturbed run, then as many killed ones as take ``kills``.

    Returns:
        The steps that each kill left in ``last.pt``, the number of killed runs, and what differs.
    """
    stage, changed = VARIANTS[title]
    options, calm = shared | changed, folder / "calm"
    begun = time.perf_counter()
    disturbed(stage, options, calm, 0, 0.0, draw)
    span_s = (time.perf_counter() - begun) / 2
    left: list[int] = []
    wrong: list[str] = []
    turns = 0
    while len(left) < kills:
        other = folder / f"disturbed_{turns}"
        left += disturbed(stage, options, other, kills - len(left), span_s, draw)
        wrong += differing(calm, other)
        turns += 1
    return left, turns, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="4 kills")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--patients", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    kills = 4 if arguments.quick else arguments.kills
    torch.set_num_threads(1)
    draw = random.Random(arguments.seed)
    total, runs, different = 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shared = phantom_options(folder, arguments)
        print(f"{'run':<47} kills  runs  differing")
        for number, title in enumerate(VARIANTS):
            share = kills * (number + 1) // len(VARIANTS) - kills * number // len(VARIANTS)
            left, turns, wrong = compare(title, shared, folder / str(number), share, draw)
            print(f"{title:<47} {len(left):5} {turns:5}  {', '.join(wrong) or 'nothing'}", flush=True)
            print(f"  steps in last.pt after each kill: {', '.join(map(str, left))}", flush=True)
            total, runs, different = total + len(left), runs + turns, different + len(wrong)
    print(json.dumps({"kills": total, "runs": runs, "different": different}))
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
