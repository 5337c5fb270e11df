"""Frozen splits: which patient is in which section, as hashes, so that no list of identifiers is published.

A file holds what is known of each section, or of several joined by ``+``: how many patients and images there are, how
many images of a class, the hashes of the patients, and the hash of all images. What a project without the data cannot
know, a file leaves out, and the counts are checked.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..datasets.labels import encode_labels
from ..datasets.records import Datalist
from ..datasets.schema import SECTIONS, Record
from ..files import write_atomically

__all__ = ["check_split", "freeze", "load_split", "save_split", "split_digest"]

DIGITS = 12
"""Hexadecimal digits of a patient's hash: no two of millions are alike."""

SHOWN = 5
"""Patients that an error names."""


def freeze(datalist: Datalist, *, name: str, rule: str, tasks: Sequence[str] = ()) -> dict[str, Any]:
    """All that a split file can hold of a datalist.

    Args:
        datalist: as an adapter gives it.
        name: of the split.
        rule: how it is made, in words.
        tasks: whose classes are counted.
    """
    sections = {}
    for section in SECTIONS:
        records = _records(datalist, section)
        if records:
            sections[section] = _counts(records) | {
                "labels": {task: _classes(records, task) for task in tasks},
                "images_sha256": _images_digest(records),
                "patients_hashed": sorted(_hashed(records)),
            }
    return {"name": name, "rule": rule, "sections": sections}


def check_split(frozen: Mapping[str, Any], datalist: Datalist) -> list[str]:
    """What of a datalist is not as in a frozen split, a sentence each; nothing where it is that split."""
    everyone = {_hash(record): (section, record["patient_id"]) for section, record in _all(datalist)}
    found: list[str] = []
    for section, known in frozen["sections"].items():
        records = [record for part in section.split("+") for record in _records(datalist, part)]
        found += _wrong_patients(section, known.get("patients_hashed"), records, everyone)
        for what, count in _counts(records).items():
            if what in known and known[what] != count:
                found.append(f"{section}: {count} {what}, and the frozen split has {known[what]}")
        for task, classes in known.get("labels", {}).items():
            found += _wrong_labels(section, task, classes, _classes(records, task))
        if not found and known.get("images_sha256", "") not in ("", _images_digest(records)):
            found.append(f"{section}: as many images as in the frozen split, but others")
    return found


def split_digest(datalist: Datalist) -> str:
    """SHA-256 of who and what is in which section: the same wherever the images lie."""
    content = {section: _images_digest(_records(datalist, section)) for section in SECTIONS}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def load_split(path: Path) -> dict[str, Any]:
    """Read a frozen split.

    Raises:
        ValueError: naming the file, where it is none.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path}: cannot be read as a frozen split ({error}); `mammo reproduce ROW --freeze FILE` writes one"
        ) from error
    sections = content.get("sections") if isinstance(content, dict) else None
    wrong = [part for name in sections or () for part in name.split("+") if part not in SECTIONS]
    if not isinstance(sections, dict) or not sections or wrong:
        raise ValueError(f"{path}: a frozen split has 'sections' of {', '.join(SECTIONS)}, also joined by +")
    return content


def save_split(content: Mapping[str, Any], path: Path) -> None:
    """Write a frozen split, a line for every section's field."""
    write_atomically(path, (_lines(content) + "\n").encode())


def _lines(content: Mapping[str, Any]) -> str:
    head = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in content.items() if key != "sections"]
    sections = []
    for name, known in content["sections"].items():
        fields = ",\n".join(f"   {json.dumps(key)}: {json.dumps(value)}" for key, value in known.items())
        sections.append(f"  {json.dumps(name)}: {{\n{fields}\n  }}")
    return "\n".join(["{", *head, ' "sections": {', ",\n".join(sections), " }", "}"])


def _wrong_patients(
    section: str, hashes: Sequence[str] | None, records: Sequence[Record], everyone: Mapping[str, tuple[str, str]]
) -> Iterator[str]:
    """Patients that are missing from a section, or too many in it."""
    if hashes is None:
        return
    here, wanted = _hashed(records), set(hashes)
    elsewhere = sorted(f"{everyone[one][1]} (in {everyone[one][0]})" for one in wanted - here if one in everyone)
    unknown = sum(one not in everyone for one in wanted - here)
    if unknown:
        yield f"{section}: {unknown} of its {len(wanted)} patients are not there at all"
    if elsewhere:
        yield f"{section}: {len(elsewhere)} of its patients are in another section: {_some(elsewhere)}"
    surplus = sorted(everyone[one][1] for one in here - wanted)
    if surplus:
        yield f"{section}: {len(surplus)} patients do not belong there: {_some(surplus)}"


def _wrong_labels(section: str, task: str, known: Mapping[str, int], found: Mapping[str, int]) -> Iterator[str]:
    for label, count in known.items():
        if found.get(label, 0) != count:
            yield (
                f"{section}: {found.get(label, 0)} images of class {label} of {task}, and the frozen split has {count}"
            )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _records(datalist: Mapping[str, Any], section: str) -> list[Record]:
    return list(datalist.get(section, ()))


def _all(datalist: Datalist) -> Iterator[tuple[str, Record]]:
    for section in SECTIONS:
        for record in _records(datalist, section):
            yield section, record


def _counts(records: Sequence[Record]) -> dict[str, int]:
    return {"patients": len(_hashed(records)), "images": len(records)}


def _classes(records: Sequence[Record], task: str) -> dict[str, int]:
    """Images of each class of a task, by its number; those of unknown class are not counted."""
    labels = Counter(record["label"][0] for record in encode_labels(list(records), [task]))
    return {str(label): count for label, count in sorted(labels.items()) if label >= 0}


def _hashed(records: Sequence[Record]) -> set[str]:
    return {_hash(record) for record in records}


def _hash(record: Record) -> str:
    return hashlib.sha256(f"{record['dataset']}/{record['patient_id']}".encode()).hexdigest()[:DIGITS]


def _images_digest(records: Sequence[Record]) -> str:
    names = sorted(f"{record['dataset']}/{record['patient_id']}/{record['image_id']}" for record in records)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()
