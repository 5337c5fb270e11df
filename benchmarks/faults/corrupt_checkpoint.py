"""Checkpoints that are damaged, hostile or another network's: refused with one line, and nothing of them is run."""

from __future__ import annotations

import io
import json
import random
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from mammo.networks.checkpoints import read_state
from safetensors.torch import save

from .campaign import Ground, Tally
from .comparing import half_written
from .damage import cut, flipped, pickle_with_code
from .processes import Run, one_error

__all__ = ["rows"]

REFUSED = "one line of error that names the file; nothing executed, nothing written over"

Make = Callable[[bytes, random.Random], bytes]


def rows(ground: Ground) -> Iterator[Tally]:
    """Every damage to every reader: `--resume`, `--pretrained`, `predict`, `process`, `convert`."""
    yield _flips(ground)
    canary = ground.new("executed")
    damages = _damages(canary)
    headers = _bad_headers(ground.weights)
    last = (ground.classifier / "checkpoints" / "last.pt").read_bytes()
    yield _refusals(ground, "last.pt of `mammo finetune --resume true`", last, damages, _resume, canary)
    best = ground.weights.read_bytes()
    damages["of another network"] = lambda content, draw: _other_network()
    yield _refusals(ground, "best.pt of `mammo predict`", best, damages, _predict, canary)
    yield _refusals(ground, "best.pt of `mammo process`", best, damages, _process, canary)
    yield _refusals(ground, "weights of `mammo finetune --pretrained`", best, damages, _pretrained, canary)
    yield _refusals(ground, "weights of `mammo convert`", best, damages, _convert, canary)
    yield _refusals(ground, "safetensors with a bad header of `--pretrained`", best, headers, _pretrained, canary)


def _damages(canary: Path) -> dict[str, Make]:
    return {
        "cut": cut,
        "flipped": _flipped_number,
        "empty": lambda content, draw: b"",
        "text": lambda content, draw: b"<html>404 not found</html>\n" * 40,
        "code": lambda content, draw: pickle_with_code(canary),
        "code, old format": lambda content, draw: pickle_with_code(canary, zipped=False),
    }


def _flips(ground: Ground) -> Tally:
    case = "a bit of best.pt turned over"
    tally, draw = Tally(case, "refused, or read to the same bits"), ground.draw(case)
    content, whole = ground.weights.read_bytes(), read_state(ground.weights)
    path = ground.new("flipped.pt")
    for _ in range(ground.size(100, 2000)):
        path.write_bytes(flipped(content, draw))
        try:
            state = read_state(path)
        except ValueError:
            tally.add([])
            continue
        same = state.keys() == whole.keys() and all(torch.equal(state[name], whole[name]) for name in whole)
        tally.add([] if same else ["read, with other numbers"])
    return tally


def _flipped_number(content: bytes, draw: random.Random) -> bytes:
    """A bit of the largest tensor turned over: elsewhere it may fall into the space between two parts of the file."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        part = max(archive.infolist(), key=lambda entry: entry.file_size)
    lengths = struct.unpack_from("<HH", content, part.header_offset + 26)  # of the part's name and extra field
    begin = part.header_offset + 30 + sum(lengths)
    end = begin + part.file_size
    return content[:begin] + flipped(content[begin:end], draw) + content[end:]


def _other_network() -> bytes:
    buffer = io.BytesIO()
    torch.save({"encoder.patch_embed.weight": torch.zeros(3, 3), "head.weight": torch.zeros(2, 3)}, buffer)
    return buffer.getvalue()


def _bad_headers(weights: Path) -> dict[str, Make]:
    """Headers of safetensors files that lie, by what about."""
    content = save({name: tensor for name, tensor in read_state(weights).items() if tensor.numel() < 1 << 16})
    length = struct.unpack("<Q", content[:8])[0]
    header, numbers = json.loads(content[8 : 8 + length]), content[8 + length :]
    name = max(header, key=lambda key: header[key].get("data_offsets", [0])[0])

    def with_entry(**changes: object) -> bytes:
        text = json.dumps(header | {name: header[name] | changes}).encode()
        return struct.pack("<Q", len(text)) + text + numbers

    begin, end = header[name]["data_offsets"]
    lies = {
        "length beyond the file": struct.pack("<Q", 1 << 62) + content[8:],
        "length of nothing": struct.pack("<Q", 0) + content[8:],
        "no JSON": content[:8] + b"{" * length + numbers,
        "place beyond the file": with_entry(data_offsets=[begin, end + (1 << 40)]),
        "place before the file": with_entry(data_offsets=[-8, end]),
        "places that overlap": with_entry(data_offsets=[0, end]),
        "another shape": with_entry(shape=[1 << 40, 1 << 40]),
        "an unknown type": with_entry(dtype="PICKLE"),
        "cut": content[: len(content) // 2],
        "empty": b"",
    }
    return {kind: _always(lie) for kind, lie in lies.items()}


def _always(lie: bytes) -> Make:
    return lambda content, draw: lie


Use = Callable[[Ground, bytes, Path, bool], tuple[Run, Path]]
"""Puts a checkpoint into a folder, starts what reads it, and says which file the error must name."""


def _resume(ground: Ground, content: bytes, folder: Path, safe: bool) -> tuple[Run, Path]:
    shutil.copytree(ground.classifier, folder)
    path = folder / "checkpoints" / "last.pt"
    path.write_bytes(content)
    return ground.finetune(folder, "--max_epochs", 3, resume=True), path


def _pretrained(ground: Ground, content: bytes, folder: Path, safe: bool) -> tuple[Run, Path]:
    path = _written(folder / ("weights.safetensors" if safe else "weights.pt"), content)
    return ground.finetune(folder / "run", "--pretrained", path), path


def _predict(ground: Ground, content: bytes, folder: Path, safe: bool) -> tuple[Run, Path]:
    path = _in_run(ground, content, folder)
    return ground.mammo("predict", ground.exam, "--checkpoint", path, "--out", folder / "out.csv"), path


def _process(ground: Ground, content: bytes, folder: Path, safe: bool) -> tuple[Run, Path]:
    path = _in_run(ground, content, folder)
    return ground.mammo("process", ground.exam, folder / "results", "--checkpoint", path), path


def _convert(ground: Ground, content: bytes, folder: Path, safe: bool) -> tuple[Run, Path]:
    path = _written(folder / "weights.pt", content)
    return ground.mammo("convert", path, folder / "converted.safetensors", "--export"), path


def _in_run(ground: Ground, content: bytes, folder: Path) -> Path:
    shutil.copytree(ground.classifier, folder)
    (folder / "checkpoints" / "best.pt").write_bytes(content)
    return folder / "checkpoints" / "best.pt"


def _written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def _refusals(ground: Ground, case: str, whole: bytes, damages: dict[str, Make], use: Use, canary: Path) -> Tally:
    tally, draw = Tally(case, REFUSED), ground.draw(case)
    safe = "safetensors" in case
    for turn in range(ground.size(1, 3)):
        for number, (kind, damage) in enumerate(damages.items()):
            content = damage(whole, draw)
            folder = ground.new(f"checkpoints/{use.__name__}-{safe}-{turn}-{number}")
            run, path = use(ground, content, folder, safe)
            wrong = one_error(run, path.name.replace(".", r"\."))
            wrong += ["code was run"] if canary.exists() else []
            wrong += ["written over"] if path.read_bytes() != content else []
            wrong += [text for text in half_written(folder) if path.name not in text]
            tally.add([f"{kind}: {text}" for text in wrong])
    return tally
