"""Several datalists as one: datasets side by side, mammograms beside their lesions."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, cast

from .records import all_records, check_datalist, check_leaks, declared_patients
from .schema import SECTIONS, Datalist, Record, SchemaError

__all__ = ["combine"]

Key = tuple[str, str]


def combine(datalists: Sequence[Datalist], *, name: str, root: str | Path | None = None) -> Datalist:
    """Put several datalists into one, such as MIRAM's pretraining mixes (arXiv:2503.07157).

    Sections are joined in the order given. A record that two lists hold (same dataset, ``image_id``, image, crop and
    frame) is taken once, with what either knows; what they know must agree. Different records of one dataset that
    share an ``image_id`` get ``~2``, ``~3``, ... behind it. A licence of a list goes to those of its records that
    have none.

    A patient of a dataset must be in one section over all lists, unless one of the lists declares the leak.
    Datasets that share women under other names (CBIS-DDSM and DDSM) cannot be told apart here.

    Args:
        datalists: as :func:`load_datalist` and adapters give them; left alone.
        name: of the result.
        root: of the result's paths on disk; None takes the folder that all roots have in common, and none where
            that is the root of the file system: then paths stay absolute.

    Raises:
        ValueError: naming the patients in several sections and the lists that put them there, or for no list.
        SchemaError: for a list that is none, a relative path without a root, or records that contradict each other.
    """
    if not datalists:
        raise ValueError("no datalist to combine; give one or more")
    titles = [_title(datalist, number) for number, datalist in enumerate(datalists, start=1)]
    for title, datalist in zip(titles, datalists, strict=True):
        check_datalist(datalist, where=title)
    merged = _Merged()
    for title, datalist in zip(titles, datalists, strict=True):
        for section, record in all_records(datalist):
            merged.add(section, _absolute(record, datalist, title), title)
    content: dict[str, Any] = {"name": name} | _described(datalists, titles)
    base = _common_root(datalists) if root is None else os.path.abspath(root)
    if base is not None:
        content["root"] = base
    content |= _declared_leaks(datalists)
    content |= {section: merged.sections[section] for section in SECTIONS if any(section in d for d in datalists)}
    combined = cast(Datalist, content)
    merged.check_patients(combined)
    return combined


class _Merged:
    """The records so far, found again by what they show."""

    def __init__(self) -> None:
        self.sections: dict[str, list[Record]] = {section: [] for section in SECTIONS}
        self._same: dict[tuple[Any, ...], tuple[str, Record, str]] = {}
        self._ids: set[Key] = set()
        self._lists: dict[Key, dict[str, str]] = defaultdict(dict)

    def add(self, section: str, record: Record, title: str) -> None:
        patient = record["dataset"], record["patient_id"]
        self._lists[patient].setdefault(section, title)
        shown = (*_key(record), record["image"], tuple(record.get("crop", ())), record.get("frame"), section)
        if shown in self._same:
            _, first, first_title = self._same[shown]
            _merge(first, record, first_title, title)
            return
        fresh = cast(Record, {**record, "split": section})
        fresh["image_id"] = self._free_id(record)
        self._ids.add(_key(fresh))
        self._same[shown] = section, fresh, title
        self.sections[section].append(fresh)

    def check_patients(self, combined: Datalist) -> None:
        """Refuse undeclared leaks; between lists, say which list puts the patient where."""
        try:
            check_leaks(combined)
        except ValueError as error:
            declared = declared_patients(combined)
            leaking = [key for key, found in self._lists.items() if len(found) > 1 and key not in declared]
            if not leaking:
                raise
            patient, found = leaking[0][1], self._lists[leaking[0]]
            places = ", ".join(f"{section} of {title}" for section, title in found.items())
            raise ValueError(f"{error}; patient {patient} is in {places}") from error

    def _free_id(self, record: Record) -> str:
        dataset, image_id = _key(record)
        if (dataset, image_id) not in self._ids:
            return image_id
        return next(name for n in count(2) if (dataset, name := f"{image_id}~{n}") not in self._ids)


def _key(record: Record) -> Key:
    return record["dataset"], record["image_id"]


def _merge(first: Record, second: Record, first_title: str, second_title: str) -> None:
    """Add to a record what another one of the same picture knows.

    Raises:
        SchemaError: where the two contradict each other.
    """
    known, more = cast(dict[str, Any], first), {k: v for k, v in second.items() if k not in ("image_id", "split")}
    for field, value in more.items():
        if known.setdefault(field, value) != value:
            raise SchemaError(
                f"{second['image_id']} of {second['dataset']}: field {field!r} is {known[field]!r} in {first_title} "
                f"and {value!r} in {second_title}; make both lists from the same tables"
            )


def _absolute(record: Record, datalist: Datalist, title: str) -> Record:
    """The record with absolute paths and a licence."""
    result: dict[str, Any] = {**record, "image": _path(record["image"], datalist, title)}
    if "roi_masks" in record:
        result["roi_masks"] = [_path(path, datalist, title) for path in record["roi_masks"]]
    if "findings" in record:
        result["findings"] = [
            {k: _path(cast(str, v), datalist, title) if k in ("roi_mask", "crop") else v for k, v in finding.items()}
            for finding in record["findings"]
        ]
    if "licence" in datalist:
        result.setdefault("licence", datalist["licence"])
    return cast(Record, result)


def _path(path: str, datalist: Datalist, title: str) -> str:
    if os.path.isabs(path) or "://" in path:
        return path
    if "root" not in datalist:
        raise SchemaError(
            f"{title}: the path {path!r} is relative and the list has no root; read it with load_datalist"
        )
    return os.path.normpath(os.path.join(datalist["root"], path))


def _title(datalist: Datalist, number: int) -> str:
    return datalist.get("name") or f"datalist {number}"


def _described(datalists: Sequence[Datalist], titles: Sequence[str]) -> dict[str, str]:
    """Licences, each once, and the descriptions behind the names of their lists."""
    licences = dict.fromkeys(
        licence for datalist in datalists for licence in datalist.get("licence", "").split("; ") if licence
    )
    texts = [
        f"{title} ({datalist['description']})" if datalist.get("description") else title
        for title, datalist in zip(titles, datalists, strict=True)
    ]
    described = {"description": "combined: " + " + ".join(texts)}
    return described | ({"licence": "; ".join(licences)} if licences else {})


def _common_root(datalists: Sequence[Datalist]) -> str | None:
    roots = [datalist.get("root") for datalist in datalists]
    if not all(root and os.path.isabs(root) for root in roots):
        return None
    try:
        common = os.path.commonpath(cast(list[str], roots))
    except ValueError:  # two drives
        return None
    return None if common == os.path.dirname(common) else common


def _declared_leaks(datalists: Sequence[Datalist]) -> dict[str, Any]:
    """Names of the leaks that lists declare, and whose they are; a list that names nobody means its own."""
    names: dict[str, None] = {}
    patients: set[str] = set()
    for datalist in datalists:
        if datalist.get("known_leak"):
            names |= dict.fromkeys(datalist["known_leak"].split(" + "))
            keys = {(record["dataset"], record["patient_id"]) for _, record in all_records(datalist)}
            named = datalist.get("known_leak_patients")
            meant = {key for key in keys if named and (key[1] in named or "/".join(key) in named)}
            patients.update("/".join(key) for key in (declared_patients(datalist) if named is None else meant))
    return {"known_leak": " + ".join(names), "known_leak_patients": sorted(patients)} if names else {}
