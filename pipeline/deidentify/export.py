"""De-identified copies of DICOM mammograms, for leaving a hospital."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Literal

from joblib import Parallel, delayed
from tqdm import tqdm

from ...transforms.errors import ReadFailure
from ..files import sweep, write_atomically
from ..isolated import Lost, call_isolated, pack
from .one_file import Outcome, Settings, export_file
from .profile import PROFILE_VERSION
from .pseudonyms import Pseudonyms
from .summary import DeidentifyReport, read_crosswalk, update_crosswalk

__all__ = ["SETTINGS_FILE", "deidentify", "find_files"]

_TIMEOUT_S = 600.0
SETTINGS_FILE = "deidentification.json"
"""Says in the output folder how it was made, so that it never holds files of two keys or profiles."""


def deidentify(
    files: Iterable[str | PathLike[str]],
    out: str | PathLike[str],
    *,
    key: bytes,
    burned_in: Literal["refuse", "warn"] = "refuse",
    looks_burned_in: Callable[[Path], bool] | None = None,
    dates: Literal["shift", "remove"] = "shift",
    known_devices: Collection[str] = (),
    crosswalk: str | PathLike[str] | None = None,
    workers: int = 1,
    max_pixels: int = 1 << 26,
    progress: bool = False,
) -> DeidentifyReport:
    """Write copies of DICOM mammograms that hold the allow-list of :mod:`.profile` and nothing else.

    A copy is ``out/<patient's pseudonym>/<hash>.dcm``; it reads to the same pixels as its source. A file that cannot be
    copied safely is set aside with a reason. Interrupted, it leaves whole files only; started again, it keeps them.

    Args:
        files: the sources; see :func:`find_files` for folders.
        out: a new or empty folder, or one of an earlier export with the same key and settings.
        key: at least 32 random bytes; the same key gives the same pseudonyms. See :func:`~.key.load_key`.
        burned_in: ``"refuse"`` sets files aside that declare or show burned-in text; ``"warn"`` exports and counts
            them, with Patient Identity Removed NO. The pixels are never altered.
        looks_burned_in: told a file, whether text is burned in. Without it only files that declare it are found.
        dates: ``"shift"`` moves all dates of a patient back by the same secret number of days; ``"remove"`` leaves
            none. Times of day are never kept.
        known_devices: names of manufacturers and models to keep beside those that are known.
        crosswalk: a CSV file outside ``out`` for identifiers and their pseudonyms, mode 600; none is written without.
        workers: files at a time; more than one work in processes, and one that a file kills or holds up for ten
            minutes costs that file only.
        max_pixels: largest rows x columns that is exported.
        progress: show a progress bar.

    Returns:
        Counts, and the files set aside.

    Raises:
        ValueError: for a weak key, an unknown option, a crosswalk or a source inside ``out``, or an ``out`` that holds
            something else.
        OSError: if a copy cannot be written.
    """
    _check_choice("burned_in", burned_in, ("refuse", "warn"))
    _check_choice("dates", dates, ("shift", "remove"))
    settings = Settings(
        out=Path(out),
        pseudonyms=Pseudonyms(key),
        refuse_burned_in=burned_in == "refuse",
        shift_dates=dates == "shift",
        looks_burned_in=looks_burned_in,
        known_devices=frozenset(known_devices),
        max_pixels=max_pixels,
        with_identity=crosswalk is not None,
    )
    sources, private = [Path(file) for file in files], [Path(crosswalk)] if crosswalk is not None else []
    _check_places(settings.out, sources, private)
    _open_folder(settings)
    outcomes = _export(sources, settings, workers, progress)
    for path in private:
        update_crosswalk(path, outcomes)
    return _counted(outcomes)


def find_files(paths: Iterable[str | PathLike[str]]) -> list[Path]:
    """Files as given, and all files in and below folders, in alphabetical order.

    Raises:
        ValueError: for a path that does not exist.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.is_file())
        elif path.exists():
            found.append(path)
        else:
            raise ValueError(f"{path}: no such file or folder")
    return found


def _export(sources: list[Path], settings: Settings, workers: int, progress: bool) -> list[Outcome]:
    work: Callable[[Path], Outcome | Lost] = partial(export_file, settings=settings)
    if workers > 1:
        work = partial(call_isolated, pack(work), timeout_s=_TIMEOUT_S)
    jobs = Parallel(n_jobs=max(1, workers), prefer="threads", return_as="generator")
    results = jobs(delayed(work)(source) for source in sources)
    bar = tqdm(results, "de-identifying", len(sources), unit="file", disable=None if progress else True)
    return [
        _lost(source, result) if isinstance(result, Lost) else result
        for source, result in zip(sources, bar, strict=True)
    ]


def _lost(source: Path, lost: Lost) -> Outcome:
    reason = ReadFailure.TIMED_OUT if lost.timed_out else ReadFailure.CRASHED
    return Outcome(source, reason=reason, message=f"{lost.message}: a damaged file, or too little memory")


def _counted(outcomes: list[Outcome]) -> DeidentifyReport:
    report, seen = DeidentifyReport(), set[Path]()
    for outcome in outcomes:
        report.add(outcome, is_duplicate=outcome.output in seen)
        if outcome.output is not None:
            seen.add(outcome.output)
    return report


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value!r}; expected one of {', '.join(choices)}")


def _check_places(folder: Path, sources: list[Path], private: list[Path]) -> None:
    """Refuse sources and crosswalks in the output folder, and a crosswalk that would be written over."""
    resolved = folder.resolve()
    for path in (*sources, *private):
        if path.resolve().is_relative_to(resolved):
            what = "a source" if path in sources else "the crosswalk"
            raise ValueError(f"{path} is {what} and lies in the output folder; name a place outside")
    for path in private:
        read_crosswalk(path)


def _open_folder(settings: Settings) -> None:
    """Make the output folder, or make sure that it is one of ours with the same settings.

    Raises:
        ValueError: if it holds anything else.
    """
    folder, file = settings.out, settings.out / SETTINGS_FILE
    said = {
        "profile": PROFILE_VERSION,
        "key": settings.pseudonyms.fingerprint(),
        "dates": "shift" if settings.shift_dates else "remove",
        "burned_in": "refuse" if settings.refuse_burned_in else "warn",
        "pixels_looked_at": settings.looks_burned_in is not None,
        "known_devices": sorted(settings.known_devices),
    }
    text = json.dumps(said, indent=1) + "\n"
    if file.is_file():
        if file.read_text(encoding="utf-8") != text:
            names = ", ".join(said)
            raise ValueError(f"{folder} holds an export with other settings (one of {names}); name another folder")
        sweep(folder)
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not an empty folder; what else lies in it would be exported with the copies")
    write_atomically(file, text.encode())
