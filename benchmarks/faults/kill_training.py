"""``kill -9`` of trainings: at any moment, while a checkpoint is written, and between ``best.pt`` and ``last.pt``.

Each is resumed until it ends by itself. Every number in both checkpoints (weights, optimiser, schedule, averages, best
metric) and the text of ``history.json`` must then be those of an undisturbed run.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .campaign import Ground, Tally
from .comparing import different_training
from .processes import Run, succeeded

__all__ = ["rows"]

MOMENTS = ("any", "any", "writing", "between")
EPOCHS = 6
SMALL = ["--decoder_widths", "[16, 8, 8, 8]"]
VARIANTS: dict[str, list[Any]] = {
    "pretrain": SMALL,
    "pretrain --num_workers 2 --ema 0.9 --save_steps 2": [*SMALL, "--epoch_length", 7, "--fill", "token"],
    "finetune --accumulate 2 --save_steps 4": ["--layer_decay", 0.8, "--decay_norms", False, "--dropout", 0.2],
    "finetune --num_workers 2 --ema 0.9 --patience 3": [],
}
"""Trainings, and options of theirs that need not be told."""


def rows(ground: Ground) -> Iterator[Tally]:
    """Each training alone; in the quick size the second, which has most that can go wrong."""
    chosen = list(VARIANTS)[1:2] if ground.quick else list(VARIANTS)
    for variant in chosen:
        yield _row(ground, variant, ground.size(3, 6))


def _row(ground: Ground, variant: str, kills: int) -> Tally:
    tally = Tally(f"`mammo {variant} --resume true`", "when resumed, weights and history as its twin's, to the bit")
    draw, folder = ground.draw(variant), ground.new(f"killed/{variant.replace(' ', '')}")
    begun = time.monotonic()
    if wrong := succeeded(_start(ground, variant, folder / "calm")):
        raise RuntimeError(f"the undisturbed {variant} failed: {wrong}")
    span_s = (time.monotonic() - begun) / 2
    turn = 0
    while tally.tried < kills:
        run = folder / str(turn)
        done, wrong = _disturbed(ground, variant, run, kills - tally.tried, span_s, draw)
        tally.add(wrong + different_training(folder / "calm", run), done)
        turn += 1
    return tally


def _start(ground: Ground, variant: str, run: Path) -> Run:
    options = [*ground.training, "--max_epochs", EPOCHS, *variant.split()[1:], *VARIANTS[variant]]
    return ground.mammo(variant.split()[0], "--output_dir", run, "--resume", True, *options)


def _disturbed(
    ground: Ground, variant: str, folder: Path, kills: int, span_s: float, draw: random.Random
) -> tuple[int, list[str]]:
    """Run to the end, killed up to ``kills`` times on the way; how often it was, and what was wrong."""
    for done in range(kills):
        run = _start(ground, variant, folder)
        if not _kill(run, folder, draw.choice(MOMENTS), draw.uniform(0, span_s)):
            return done, succeeded(run)
    return kills, succeeded(_start(ground, variant, folder))


def _kill(run: Run, folder: Path, moment: str, delay_s: float) -> bool:
    """Kill a run after a delay, and then at the moment; False where it ended by itself before."""
    run.process.join(delay_s)
    before = _written(folder, moment)
    while moment != "any" and run.alive and not _written(folder, moment) - before:
        time.sleep(0.0005)
    return run.kill()


def _written(folder: Path, moment: str) -> set[Any]:
    """What changes at a moment: unfinished files, or the time of ``best.pt``."""
    checkpoints = folder / "checkpoints"
    if moment == "writing":
        return set(checkpoints.glob(".*.tmp"))
    best = checkpoints / "best.pt"
    return {best.stat().st_mtime_ns} if best.is_file() else set()
