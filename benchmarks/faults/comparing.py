"""Whether what a disturbed run left is what an undisturbed one leaves, and whether anything is half-written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from mammo.pipeline.evidence.hashes import sha256_of

from .campaign import files_of

__all__ = ["different_files", "different_training", "half_written", "unfinished", "whole_results"]

TRAINING = ("checkpoints/best.pt", "checkpoints/last.pt", "history.json")


def different_files(calm: Path, other: Path) -> list[str]:
    """Files of two folders that are not equal to the byte, missing and unfinished ones included."""
    one, two = files_of(calm), files_of(other)
    return [f"differs: {name}" for name in sorted(one | two) if one.get(name) != two.get(name)]


def different_training(calm: Path, other: Path) -> list[str]:
    """What differs by a bit between two finished trainings: weights, optimiser, history; and what is unfinished."""
    names = [
        name for name in TRAINING if not (other / name).is_file() or _content(calm / name) != _content(other / name)
    ]
    return [f"differs: {name}" for name in names] + unfinished(other)


def unfinished(folder: Path) -> list[str]:
    """Files and folders that were begun and not finished."""
    names = [path.name for pattern in (".*.tmp", ".*partial-*", "*.tmp") for path in folder.rglob(pattern)]
    return [f"unfinished: {name}" for name in sorted(set(names))]


def half_written(folder: Path) -> list[str]:
    """What cannot be read to its end, of a run folder."""
    wrong = unfinished(folder)
    for path in sorted(folder.rglob("*")):
        try:
            if path.suffix == ".pt":
                torch.load(path, weights_only=True)
            elif path.suffix == ".json":
                json.loads(path.read_text())
        except Exception as error:
            wrong.append(f"half-written: {path.name} ({type(error).__name__})")
    return wrong


def whole_results(folder: Path) -> list[str]:
    """What is wrong with the results of a study: ``result.json`` must be there, and every file as it says."""
    if not (folder / "result.json").is_file():
        return ["no result.json"]
    record = json.loads((folder / "result.json").read_text())
    files: dict[str, str] = record["files"]
    names = [n for n, digest in files.items() if not (folder / n).is_file() or sha256_of(folder / n) != digest]
    wrong = [f"not as result.json says: {name}" for name in names] + unfinished(folder)
    return wrong if record["status"] == "analysed" else [*wrong, f"status {record['status']}"]


def _content(path: Path) -> Any:
    """Text, or a checkpoint with its tensors as bytes."""
    return path.read_text() if path.suffix == ".json" else _plain(torch.load(path, weights_only=True))


def _plain(value: Any) -> Any:
    """Tensors in any nesting as their bits."""
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value
