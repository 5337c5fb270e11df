"""Mutate DICOM files and read them: every outcome must be an image or a typed error, soon and in little memory.

Each mutated file goes through the whole way: reading, mask, crop and resize, the maximum over frames, and the input
gate. Workers are processes, so that a crash, a hang (20 s) or more than 1 GB beyond their imports is seen and counted,
with the numbers that make the file again.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import random
import signal
import tempfile
from collections import Counter
from itertools import islice
from multiprocessing.connection import Connection, wait
from pathlib import Path

import numpy as np
from mammo.pipeline.gate import gate_policy, judge
from mammo.transforms import MammogramError, PrepareMammogramd

__all__ = ["LIMIT_MB", "fuzz"]

LIMIT_S = 20
LIMIT_MB = 1024
NASTY = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xfe\xff\xff\xff", b"\0\0\0\x80", b"\xff\x7f", b"\xfe\xff\x00\xe0",
         b"\xfe\xff\xdd\xe0", b"SQ", b"UN", b"OB", b"\xff\x4f\xff\x51", b"\xff\xd8", b"\xff\xc3", b"../../",
         b"\x30" * 64)  # fmt: skip


def mutate(content: bytes, seed: int) -> bytes:
    """One to eight changes: bits, bytes, telling values, cuts, repeats and moved blocks, most of them in the header."""
    draw = random.Random(seed)
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 3, 8))):
        end = min(len(data), 3000) if draw.random() < 0.7 else len(data)
        at = draw.randrange(132, max(end, 133))
        kind = draw.randrange(6)
        if kind == 0:
            data[at % len(data)] ^= 1 << draw.randrange(8)
        elif kind == 1:
            data[at % len(data)] = draw.randrange(256)
        elif kind == 2:
            value = draw.choice(NASTY)
            data[at : at + len(value)] = value
        elif kind == 3:
            del data[at : at + draw.choice((1, 2, 8, 100, len(data)))]
        elif kind == 4:
            part = data[at : at + draw.choice((1, 2, 8, 64, 1000))]
            data[at:at] = part * draw.choice((1, 2, 50))
        else:
            other = draw.randrange(132, max(end, 133))
            data[at : at + 8], data[other : other + 8] = data[other : other + 8], data[at : at + 8]
        if len(data) < 200:
            break
    return bytes(data)


def read(path: Path, prepare: PrepareMammogramd) -> str:
    """What becomes of a file: ``"image"``, or the reason of its error."""
    frame = "max" if path.stat().st_size % 4 < 2 else None
    try:
        item = prepare({"image": str(path), "frame": frame})
    except MammogramError as error:
        return error.reason
    judge(item["image"].meta, gate_policy("deploy"))
    image, mask = (np.asarray(item[key]) for key in ("image", "mask"))
    if not (np.isfinite(image).all() and 0 <= image.min() <= image.max() <= 1 and set(np.unique(mask)) <= {0, 1}):
        raise AssertionError("pixels outside [0, 1]")
    return "image"


def work(seeds: list[bytes], pipe: Connection, folder: str) -> None:
    """Read one mutated file after another; says which it begins with, then what became of it."""
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders write what they think of a file
    prepare = PrepareMammogramd(spatial_size=(64, 64))
    path = Path(folder, f"{os.getpid()}.dcm")
    status = Path("/proc/self/status")
    for content in seeds[:6]:
        prepare({"image": _written(path, content), "frame": 0})  # imports what is imported late
    base = _megabytes(status, "VmRSS")
    while True:
        number = pipe.recv()
        _written(path, mutate(seeds[number % len(seeds)], number))
        signal.alarm(LIMIT_S)
        try:
            outcome = read(path, prepare)
        except Exception as error:  # what the fuzzer is there to find
            outcome = f"untyped {type(error).__name__}: {str(error)[:80]}"
        signal.alarm(0)
        pipe.send((number, outcome, _megabytes(status, "VmHWM") - base))


class Worker:
    """A process that reads files, and the number of the one that it is at."""

    def __init__(self, seeds: list[bytes], folder: str, number: int) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")
        self.process = context.Process(target=work, args=(seeds, theirs, folder), daemon=True)
        self.process.start()
        theirs.close()
        self.give(number)

    def give(self, number: int) -> None:
        """Let it read the next file."""
        self.number = number
        self.pipe.send(number)

    def result(self) -> tuple[str, float] | None:
        """Outcome and memory of its file; None if the process died of it."""
        try:
            _, outcome, used = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            return None
        return str(outcome), float(used)


def fuzz(seeds: list[bytes], files: int, seed: int, processes: int = 2) -> tuple[Counter[str], list[str], float]:
    """Outcomes by name, what went wrong with its number, and the most memory."""
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    peak = 0.0
    numbers = iter(range(seed * 10**7, seed * 10**7 + files))
    with tempfile.TemporaryDirectory() as folder:
        workers = [Worker(seeds, folder, number) for number in islice(numbers, processes)]
        while workers:
            ready = wait([worker.pipe for worker in workers])
            worker = next(worker for worker in workers if worker.pipe in ready)
            result = worker.result()
            name, used = result or ("hung" if worker.process.exitcode == -signal.SIGALRM else "crashed", 0.0)
            outcomes[name.split(":")[0]] += 1
            peak = max(peak, used)
            if result is None or name.startswith("untyped"):
                wrong.append(f"{name} ({worker.process.exitcode}): file {worker.number}")
            following = next(numbers, None)
            if result is not None and following is not None:
                worker.give(following)
                continue
            worker.process.terminate()
            workers.remove(worker)
            if following is not None:
                workers.append(Worker(seeds, folder, following))
    return outcomes, wrong, peak


def _written(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def _megabytes(status: Path, field: str) -> float:
    return next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line.startswith(field))
