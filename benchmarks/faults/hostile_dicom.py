"""DICOM files that were made to harm, or mutated at random: set aside with a reason, and the rest goes on."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pydicom
from mammo.pipeline.phantom import write_hostile

from ..films import SYNTAXES, small_file
from .campaign import Ground, Tally
from .comparing import whole_results
from .fuzz_reader import LIMIT_MB, fuzz
from .processes import succeeded

__all__ = ["rows"]

LARGEST_BYTES = 600_000
"""Of a real file that is mutated."""


def rows(ground: Ground) -> Iterator[Tally]:
    """A folder and a study with hostile files among good ones, then mutated files by the thousand."""
    good = sorted(ground.exam.rglob("*.dcm"))
    yield _prepare(ground, good)
    yield _process(ground, good)
    yield _mutated(ground)


def _mix(ground: Ground, name: str, good: list[Path]) -> tuple[Path, dict[str, Path]]:
    """A folder of good and hostile files, and the hostile ones by what is wrong with them."""
    folder = ground.new(name)
    folder.mkdir(parents=True)
    for path in good:
        shutil.copy(path, folder / path.name)
    return folder, write_hostile(folder / "hostile", good[0])


def _prepare(ground: Ground, good: list[Path]) -> Tally:
    tally = Tally("`mammo prepare table` on a folder of theirs", "each set aside with its reason, the others prepared")
    folder, hostile = _mix(ground, "mixed/folder", good)
    out = ground.new("mixed/datalist.json")
    words = ["prepare", "table", folder, "--out", out, "--store", ground.new("mixed/store"), "--workers", 1]
    wrong = succeeded(ground.mammo(*words, "--gate", "all"))
    reasons = _reasons(out)
    wrong += [f"{path.name} was set aside" for path in good if path.name in reasons]
    wrong += (
        [] if len(list(ground.new("mixed/store").glob("contents/*/*"))) >= len(good) else ["good images are missing"]
    )
    for name, path in hostile.items():
        tally.add(wrong or ([] if reasons.get(path.name) else [f"{name}: not set aside"]))
    return tally


def _reasons(out: Path) -> dict[str, str]:
    """Why files were not used, by their names, from both lists beside a datalist."""
    problems, quarantine = (_rows(out.with_suffix(f".{kind}.csv")) for kind in ("problems", "quarantine"))
    unused = {Path(row["item"]).name: row["reason"] for row in problems if row["kind"] != "label"}
    return unused | {Path(row["image"]).name: row["reason"] for row in quarantine}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _process(ground: Ground, good: list[Path]) -> Tally:
    tally = Tally("`mammo process` of a study with them", "the good images analysed, each hostile one refused")
    folder, hostile = _mix(ground, "mixed/study", good)
    out = ground.new("mixed/results")
    run = ground.process(out, folder)
    wrong = succeeded(run) + whole_results(out)
    said = run.said
    wrong += [] if f"analysed {len(good)} of " in said else [f"not all good images were analysed: {said[-300:]}"]
    wrong += _foreign_names(out, {str(pydicom.dcmread(path).StudyInstanceUID) for path in good})
    tally.add(wrong, len(hostile))
    return tally


def _foreign_names(out: Path, studies: set[str]) -> list[str]:
    """Results of any other study than those."""
    return [
        f"{path.name} is of another study"
        for path in out.glob("*.dcm")
        if str(pydicom.dcmread(path).StudyInstanceUID) not in studies
    ]


def _mutated(ground: Ground) -> Tally:
    files = ground.size(400, 10_000)
    tally = Tally("mutated files, read, masked and judged", "an image or one typed error, in 20 s and 1 GB")
    _, wrong, peak_mb = fuzz(_seeds(), files, ground.seed)
    tally.add([], files - len(wrong))
    for text in wrong:
        tally.add([text])
    if peak_mb > LIMIT_MB:
        tally.lost.append(f"{peak_mb:.0f} MB at most")
    return tally


def _seeds() -> list[bytes]:
    """A small file in every transfer syntax that can be written here, and real ones that MAMMO_REAL_DATA names."""
    seeds = [small_file(syntax) for syntax in SYNTAXES]
    real = os.environ.get("MAMMO_REAL_DATA")
    paths = sorted(Path(real, "dicom").rglob("*.dcm")) if real else []
    return seeds + [path.read_bytes() for path in paths if path.stat().st_size < LARGEST_BYTES]
