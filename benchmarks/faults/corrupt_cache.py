"""Prepared images whose files went wrong on the disk: seen, said, and prepared again."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from mammo.pipeline.datasets.entry import FORMAT, DamagedEntryError, read_entry

from .campaign import Ground, Tally
from .comparing import different_files, different_training
from .damage import cut, flipped, pickle_with_code
from .processes import succeeded

__all__ = ["rows"]

Damage = Callable[[bytes, random.Random], bytes]


def rows(ground: Ground) -> Iterator[Tally]:
    """Single entries read, then a whole store mended by `mammo prepare`, and one trained on as it is."""
    files = sorted((ground.store / "contents").rglob("*.safetensors"))
    tries = ground.size(300, 5000)
    yield _read(ground, "a bit of an entry turned over", flipped, files, tries)
    yield _read(ground, "an entry cut off", cut, files, tries)
    yield _read(ground, "an entry of another version", _other_version, files, len(files))
    canary = ground.new("executed")
    damages: dict[str, Damage] = {
        "flipped": flipped,
        "cut": cut,
        "empty": lambda content, draw: b"",
        "of another version": _other_version,
        "with code": lambda content, draw: pickle_with_code(canary),
    }
    yield _mend(ground, damages, canary)
    yield _train(ground, damages)


def _read(ground: Ground, case: str, damage: Damage, files: list[Path], tries: int) -> Tally:
    tally, draw = Tally(case, "refused as damaged, or read to the same values"), ground.draw(case)
    path = ground.new("entry.safetensors")
    for number in range(tries):
        source = files[number % len(files)]
        path.write_bytes(damage(source.read_bytes(), draw))
        tally.add(_outcome(path, source))
    return tally


def _outcome(path: Path, source: Path) -> list[str]:
    try:
        item, facts = read_entry(path)
    except DamagedEntryError:
        return []
    except Exception as error:
        return [f"{type(error).__name__}, which nobody expects: {error}"]
    whole, known = read_entry(source)
    same = facts == known and item.keys() == whole.keys() and all(_same(item[name], whole[name]) for name in whole)
    return [] if same else ["read, with other values"]


def _same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return one == other


def _other_version(content: bytes, draw: random.Random) -> bytes:
    return content.replace(FORMAT.encode(), FORMAT[:-1].encode() + b"0", 1)


def _spoiled(ground: Ground, name: str, damages: dict[str, Damage]) -> tuple[Path, int]:
    """A copy of the store with half of its entries damaged, each in one way; and how many."""
    store, draw = ground.new(name), ground.draw(name)
    shutil.copytree(ground.store, store)
    files = sorted((store / "sources").rglob("*.safetensors"))
    chosen = draw.sample(files, len(files) // 2)
    for number, path in enumerate(chosen):
        damage = list(damages.values())[number % len(damages)]
        path.write_bytes(damage(path.read_bytes(), draw))
    return store, len(chosen)


def _mend(ground: Ground, damages: dict[str, Damage], canary: Path) -> Tally:
    tally = Tally(
        "`mammo prepare` on a store, half of it damaged", "the store as its twin, to the byte; nothing executed"
    )
    store, count = _spoiled(ground, "mended", damages)
    run = ground.prepare(store)
    wrong = succeeded(run) + different_files(ground.store, store)
    told = run.said.count("it is prepared again")
    wrong += [f"told of {told} damaged entries, not of {count}"] if told < count else []
    wrong += ["code was run"] if canary.exists() else []
    tally.add(wrong, count)
    return tally


def _train(ground: Ground, damages: dict[str, Damage]) -> Tally:
    tally = Tally("`mammo finetune` on a store, half of it damaged", "weights and history as its twin's, to the bit")
    store, count = _spoiled(ground, "trained_on", damages)
    run = ground.new("trained")
    wrong = succeeded(ground.finetune(run, "--cache_dir", store)) + different_training(ground.classifier, run)
    tally.add(wrong, count)
    return tally
