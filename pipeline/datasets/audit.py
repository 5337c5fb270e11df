"""The leakage audit: what training, validation and test share that they must not."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np
from joblib import Parallel, delayed
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from ...transforms.errors import MammogramError
from .audit_report import AuditFinding, AuditReport, Shared, Unread
from .perceptual_hash import THRESHOLD, check_threshold, hash_file, near_duplicates
from .records import Datalist, all_records, check_datalist, declared_patients
from .remote import is_url, local_copy
from .schema import SECTIONS, Record
from .splits import PatientKey, patient_key

__all__ = ["AuditFinding", "AuditReport", "Shared", "Unread", "audit"]


T = TypeVar("T")
Owner = tuple[str, PatientKey]
"""Section and patient: what is shared by two of them is a finding."""


class _Place(NamedTuple):
    section: str
    record: Record

    @property
    def name(self) -> str:
        return f"{self.record['dataset']}/{self.record['image_id']}"

    @property
    def patient(self) -> PatientKey:
        return patient_key(self.record)

    @property
    def study(self) -> tuple[str, str] | None:
        study = self.record.get("study_id")
        return None if study is None else (self.record["dataset"], study)

    @property
    def owner(self) -> Owner:
        return self.section, self.patient


def audit(
    datalist: Datalist,
    *,
    images: bool = True,
    workers: int = 1,
    threshold: int = THRESHOLD,
    progress: bool = False,
) -> AuditReport:
    """Look for what the sections of a datalist share: patients, studies, files and pictures that look the same.

    A patient or a study is one of its dataset. Pictures are compared between datasets too, mirrored too, and over
    all pairs (:mod:`~mammo.pipeline.datasets.perceptual_hash`). A leak that the datalist declares
    (``known_leak``) is found and counted, but does not fail: it covers what only its patients
    (``known_leak_patients``; without, those in several sections) share.

    Args:
        datalist: with absolute paths, as :func:`load_datalist` and adapters give it.
        images: read the files, for equal contents and for pictures that look the same; else only names are
            compared and no file need be there.
        workers: files read at a time; 0 is taken as 1.
        threshold: largest distance of pictures taken for the same, see :func:`near_duplicates`.
        progress: show a progress bar.

    Raises:
        SchemaError: for what is no datalist.
        ValueError: for a threshold out of range, or if no picture at all can be read.
    """
    check_datalist(datalist)
    check_threshold(threshold)
    places = [_Place(section, record) for section, record in all_records(datalist)]
    counts = dict(Counter(place.section for place in places))
    report = AuditReport(datalist.get("name") or "the datalist", datalist.get("known_leak", ""), records=counts)
    findings = _same(Shared.PATIENT, places, [place.patient for place in places])
    findings += _same(Shared.STUDY, places, [place.study for place in places])
    files = [path if is_url(path) else os.path.realpath(path) for path in (place.record["image"] for place in places)]
    if images and places:
        files = _contents(files, workers)
        hashes = _hashes(places, files, workers, progress)
        report.unread = _unread(places, hashes)
        report.compared = len(places) - len(report.unread)
        pictures = _same_pictures(places, files, hashes, threshold)
    else:
        pictures = []
    findings += [*_same(Shared.FILE, places, files), *pictures]
    covered = _covered(datalist, findings)
    report.findings = [replace(found, declared=found.leak and covered.issuperset(found.patients)) for found in findings]
    return report


def _unread(places: Sequence[_Place], hashes: Sequence[np.ndarray | Exception]) -> list[Unread]:
    errors = [(place, found) for place, found in zip(places, hashes, strict=True) if isinstance(found, Exception)]
    if len(errors) == len(places):
        raise ValueError(
            f"none of the {len(places)} pictures can be read, the first: {errors[0][1]}; check the datalist's root, "
            "or compare names only (images=False)"
        )
    return [Unread(place.name, str(error)) for place, error in errors]


def _same(kind: Shared, places: Sequence[_Place], keys: Iterable[Hashable]) -> list[AuditFinding]:
    """Records of equal keys that are of several sections or patients; those without a key (None) are left out."""
    groups: dict[Hashable, list[_Place]] = defaultdict(list)
    for place, key in zip(places, keys, strict=True):
        if key is not None:
            groups[key].append(place)
    return [_finding(kind, group) for group in groups.values() if len({place.owner for place in group}) > 1]


def _finding(kind: Shared, group: Sequence[_Place], distance: int | None = None) -> AuditFinding:
    first = group[0]
    what = {
        Shared.PATIENT: "/".join(first.patient),
        Shared.STUDY: "/".join(first.study or ()),
        Shared.FILE: first.record["image"],
    }
    found = {place.section for place in group}
    return AuditFinding(
        kind=str(kind),
        what=what.get(kind, ""),
        sections=tuple(section for section in SECTIONS if section in found),
        patients=tuple(dict.fromkeys("/".join(place.patient) for place in group)),
        images=tuple(dict.fromkeys(place.name for place in group)),
        distance=distance,
    )


def _contents(files: Sequence[str], workers: int) -> list[str]:
    """For each file its path, or the SHA-256 of its content where another file has the same size."""
    sizes = {path: _size(path) for path in dict.fromkeys(files)}
    shared = Counter(size for size in sizes.values() if size)
    doubtful = [path for path, size in sizes.items() if shared[size] > 1]
    digests = dict(zip(doubtful, _each(_digest, [(path,) for path in doubtful], workers), strict=True))
    return [digests.get(path, path) for path in files]


def _size(path: str) -> int:
    """Bytes of a file; 0 where there are none to compare. That it cannot be read is told with its picture."""
    return os.path.getsize(path) if os.path.isfile(path) else 0


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:  # as for _size
        return path
    return f"sha256 {digest.hexdigest()}"


def _hashes(
    places: Sequence[_Place], files: Sequence[str], workers: int, progress: bool
) -> list[np.ndarray | Exception]:
    """Hash of each record's picture, or why there is none; files of one content are read once."""
    keys = [(file, place.record.get("frame")) for file, place in zip(files, places, strict=True)]
    jobs = {key: (place.record["image"], key[1]) for key, place in zip(keys, places, strict=True)}
    results = tqdm(
        _each(_hash, list(jobs.values()), workers),
        "hashing",
        len(jobs),
        unit="image",
        disable=None if progress else True,
    )
    hashes = dict(zip(jobs, results, strict=True))
    return [hashes[key] for key in keys]


def _hash(path: str, frame: int | str | None) -> np.ndarray | Exception:
    try:
        with local_copy(path) if is_url(path) else nullcontext(path) as local:
            return hash_file(local, frame)
    except (MammogramError, OSError) as error:
        return error


def _each(function: Callable[..., T], arguments: Sequence[tuple], workers: int) -> Iterable[T]:
    jobs = Parallel(n_jobs=max(1, workers), prefer="threads", return_as="generator")
    results: Iterable[T] = jobs(delayed(function)(*given) for given in arguments)
    return results


def _same_pictures(
    places: Sequence[_Place], files: Sequence[str], hashes: Sequence[np.ndarray | Exception], threshold: int
) -> list[AuditFinding]:
    """Groups of pictures that look the same; those that are one file are told as such already."""
    shown = {index: found for index, found in enumerate(hashes) if isinstance(found, np.ndarray)}
    codes, code_of = np.unique(np.stack(list(shown.values())), axis=0, return_inverse=True)
    pairs, distances = near_duplicates(codes, threshold)
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(codes), len(codes)))
    _, group_of = connected_components(links, directed=False)
    owners: dict[int, set[Owner]] = defaultdict(set)
    members: dict[int, list[int]] = defaultdict(list)
    for index, code in zip(shown, code_of.reshape(-1).tolist(), strict=True):
        owners[code].add(places[index].owner)
        members[int(group_of[code])].append(index)
    nearest = {int(group_of[code]): 0 for code, found in owners.items() if len(found) > 1}
    for (first, second), distance in zip(pairs.tolist(), distances.tolist(), strict=True):
        group = int(group_of[first])
        if len(owners[first] | owners[second]) > 1:
            nearest[group] = min(distance, nearest.get(group, distance))
    return [
        _finding(Shared.IMAGE, [places[index] for index in members[group]], distance)
        for group, distance in sorted(nearest.items(), key=lambda item: members[item[0]])
        if len({files[index] for index in members[group]}) > 1
    ]


def _covered(datalist: Datalist, findings: Sequence[AuditFinding]) -> set[str]:
    """The patients, ``dataset/patient_id``, that the datalist's declared leak covers."""
    if not datalist.get("known_leak"):
        return set()
    if datalist.get("known_leak_patients") is None:
        return {patient for found in findings if found.kind == Shared.PATIENT for patient in found.patients}
    return {"/".join(key) for key in declared_patients(datalist)}
