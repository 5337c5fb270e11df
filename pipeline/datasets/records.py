"""Datalists on disk: strict reading, atomic writing, their hash, and the leak check that a run begins
with.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from ..files import write_atomically
from .remote import is_url
from .schema import RECORD_FIELDS, SECTIONS, Datalist, Finding, Record, SchemaError, check_record

__all__ = [
    "Datalist",
    "Finding",
    "Record",
    "SchemaError",
    "all_records",
    "check_datalist",
    "check_leaks",
    "datalist_sha256",
    "declared_patients",
    "load_datalist",
    "save_datalist",
]

_TEXT_KEYS = ("name", "description", "licence", "root", "known_leak")
_KEYS = (*_TEXT_KEYS, "known_leak_patients", *SECTIONS)


def load_datalist(path: str | Path, root: str | Path | None = None) -> Datalist:
    """Read a datalist and make its paths absolute.

    Args:
        path: a JSON file in decathlon form.
        root: the folder that its paths are relative to; by default its own ``root``, else the file's folder.

    Returns:
        The datalist with absolute paths, each record's ``split`` filled in and ``root`` set.

    Raises:
        SchemaError: naming the file, the record and the field.
        FileNotFoundError: if ``path`` does not exist.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SchemaError(f"{path}: not a JSON file ({error}); make it with `mammo prepare`") from error
    check_datalist(content, where=str(path))
    base = Path(root) if root is not None else path.parent / content.get("root", "")
    base = Path(os.path.abspath(base))
    for section in SECTIONS:
        if section in content:
            content[section] = [
                {**_map_paths(record, lambda path: _absolute(path, base)), "split": section}
                for record in content[section]
            ]
    return cast(Datalist, {**content, "root": str(base)})


def save_datalist(datalist: Datalist, path: str | Path, *, keep_root: bool = False) -> Path:
    """Check a datalist and write it in one move, its paths relative to its root where they lie below it.

    Args:
        datalist: as an adapter or :func:`load_datalist` gives it.
        path: the JSON file to write; its folder is made.
        keep_root: write ``root`` too, so that the file reads from anywhere on this machine; left out, the
            file names no place of this machine and reads with ``root=`` or from inside the dataset's folder.

    Raises:
        SchemaError: where the datalist does not follow the schema; nothing is written.
    """
    path = Path(path)
    check_datalist(datalist, where=path.name)
    content = _portable(datalist)
    if keep_root and "root" in datalist:
        content = {"root": datalist["root"], **content}
    write_atomically(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    return path


def datalist_sha256(datalist: Datalist) -> str:
    """SHA-256 of a datalist's content: the same wherever its root lies and in whatever order keys are
    written.
    """
    text = json.dumps(_portable(datalist), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def all_records(datalist: Datalist) -> Iterator[tuple[str, Record]]:
    """Each record with the name of its section, in order."""
    for section in SECTIONS:
        for record in cast(Mapping[str, list[Record]], datalist).get(section, ()):
            yield section, record


def check_datalist(datalist: Any, where: str = "datalist") -> None:
    """Refuse what is no datalist.

    Raises:
        SchemaError: naming ``where``, the record and the field; also for an ``image_id`` that occurs twice,
            or a ``split`` that contradicts the section.
    """
    if not isinstance(datalist, Mapping):
        raise SchemaError(f"{where}: expected an object with the lists {', '.join(SECTIONS)}")
    unknown = [key for key in datalist if key not in _KEYS]
    if unknown:
        raise SchemaError(f"{where}: unknown key {unknown[0]!r}; a datalist has {', '.join(_KEYS)}")
    for key in _TEXT_KEYS:
        if not isinstance(datalist.get(key, ""), str):
            raise SchemaError(f"{where}: {key!r} is {datalist[key]!r}; expected a text")
    if not any(section in datalist for section in SECTIONS):
        raise SchemaError(f"{where}: none of the lists {', '.join(SECTIONS)} is there")
    seen: dict[tuple[str, str], str] = {}
    for section in SECTIONS:
        if not isinstance(datalist.get(section, []), list):
            raise SchemaError(f"{where}: {section!r} must be a list of records")
        for index, record in enumerate(datalist.get(section, [])):
            place = f"{where}: {section}[{index}]"
            check_record(record, place)
            if record.get("split", section) != section:
                raise SchemaError(f"{place}: field 'split' is {record['split']!r}, but the record is in {section!r}")
            first = seen.setdefault((record["dataset"], record["image_id"]), place)
            if first != place:
                raise SchemaError(f"{place}: image_id {record['image_id']!r} is already that of {first}")


def check_leaks(datalist: Datalist) -> dict[str, list[str]]:
    """Make sure that each patient is in one section only.

    Returns:
        The sections of each leaking patient, for reports to print: empty, unless the datalist declares the
        leak (``known_leak``, and with ``known_leak_patients`` whose).

    Raises:
        ValueError: naming the patients that leak and are not declared.
    """
    sections: dict[tuple[str, str], set[str]] = {}
    for section, record in all_records(datalist):
        sections.setdefault((record["dataset"], record["patient_id"]), set()).add(section)
    found_in = {key: [s for s in SECTIONS if s in found] for key, found in sorted(sections.items()) if len(found) > 1}
    ids = Counter(patient for _, patient in found_in)
    # Two datasets may call different women alike.
    names = {(data, patient): patient if ids[patient] == 1 else f"{data}/{patient}" for data, patient in found_in}
    leaks = {names[key]: listed for key, listed in found_in.items()}
    known = declared_patients(datalist)
    declared = {name for key, name in names.items() if key in known}
    undeclared = [f"{name} ({', '.join(listed)})" for name, listed in leaks.items() if name not in declared]
    if undeclared:
        shown = ", ".join(undeclared[:20]) + (f" and {len(undeclared) - 20} more" if len(undeclared) > 20 else "")
        raise ValueError(
            f"{len(undeclared)} patients are in more than one section of the datalist: {shown}; "
            "split it by patient, or declare the leak with 'known_leak' (and 'known_leak_patients')"
        )
    return leaks


def declared_patients(datalist: Datalist) -> set[tuple[str, str]]:
    """Dataset and id of the patients that are in several sections of a datalist, and that it declares to be.

    ``known_leak_patients`` holds ids, or ``dataset/id`` where patients of one id leak in several datasets; without it
    the declared leak covers them all.
    """
    if not datalist.get("known_leak"):
        return set()
    sections: dict[tuple[str, str], set[str]] = defaultdict(set)
    for section, record in all_records(datalist):
        sections[record["dataset"], record["patient_id"]].add(section)
    leaking = {key for key, found in sections.items() if len(found) > 1}
    named = datalist.get("known_leak_patients")
    if named is None:
        return leaking
    uses = Counter(patient for _, patient in leaking)
    return {
        (data, patient)
        for data, patient in leaking
        if f"{data}/{patient}" in named or (patient in named and uses[patient] == 1)
    }


def _portable(datalist: Datalist) -> dict[str, Any]:
    """The datalist without its root, paths below the root relative and in POSIX form, known keys first."""
    root = datalist.get("root")

    def relative(path: str) -> str:
        inside = root is not None and Path(path).is_absolute() and Path(path).is_relative_to(root)
        return Path(path).relative_to(cast(str, root)).as_posix() if inside else path

    content = {key: value for key, value in datalist.items() if key in _KEYS and key != "root"}
    for section, records in content.items():
        if section in SECTIONS:
            mapped = (_map_paths(record, relative) for record in cast(list[Record], records))
            # Known fields in one order; `split` repeats the section.
            fields = [name for name in RECORD_FIELDS if name != "split"]
            content[section] = [{name: r[name] for name in fields if name in r} for r in mapped]
    return content


def _absolute(path: str, base: Path) -> str:
    return path if is_url(path) else os.path.normpath(base / path)


def _map_paths(record: Mapping[str, Any], convert: Callable[[str], str]) -> dict[str, Any]:
    result: dict[str, Any] = {**record, "image": convert(record["image"])}
    if "roi_masks" in record:
        result["roi_masks"] = [convert(path) for path in record["roi_masks"]]
    if "findings" in record:
        result["findings"] = [
            {k: convert(v) if k in ("roi_mask", "crop") else v for k, v in finding.items()}
            for finding in record["findings"]
        ]
    return result
